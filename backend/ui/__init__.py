"""The ward UI: pages for the people of a hospital, rendered on the server, working without JavaScript.

Decision: a page asks the same operations as the API (`ask`), inside the process. Because then there is one place where
roles, lanes, keys and refusals are decided, and no page can do what the API refuses. A page may ask for more before it
asks the operation, as the one for prescribing does: it shows cautions, and the doctor confirms them. Cost: what a page
shows goes through JSON once.
"""

from flask import Flask

from backend.config import Config
from backend.ui.frame import rendering
from backend.ui.frame.session import install_session
from backend.ui.pages import (
    account,
    adjustments,
    alerts,
    audit,
    board,
    care_team,
    counts,
    discrepancies,
    drift,
    lots,
    overrides,
    patients,
    policies,
    prescribing,
    receipts,
    register,
    replenishment,
    rounds,
    sign_in,
    staff,
    stock,
    transfers,
    trends,
    verification,
    wards,
)


def install(app: Flask, config: Config) -> None:
    """Mounts the pages at / with their session, their templates' filters and their security headers."""
    install_session(app, config)
    rendering.install(app)
    stocks = (stock, receipts, adjustments, lots, overrides, trends)
    moves = (verification, transfers, replenishment, counts, discrepancies, alerts, register)
    administration = (staff, wards, policies, audit, drift)
    people = (patients, care_team, prescribing)
    for module in (sign_in, account, board, rounds, *people, *stocks, *moves, *administration):
        app.register_blueprint(module.blueprint)
