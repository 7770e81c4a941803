"""The ward UI: pages for the people of a hospital, rendered on the server, working without JavaScript.

Decision: a page asks the same operations as the API (`ask`), inside the process. Because then there is one place where
roles, lanes, keys and refusals are decided, and nothing a page does can differ from what the API promises. Cost: what a
page shows goes through JSON once.
"""

from flask import Flask

from backend.config import Config
from backend.ui import (
    account,
    adjusting,
    alerts,
    audit,
    board,
    care_team,
    charts,
    counts,
    discrepancies,
    drift,
    lots,
    overriding,
    pages,
    patients,
    policies,
    prescribing,
    receiving,
    register,
    replenishing,
    rounds,
    signing_in,
    staff,
    stock,
    transfers,
    verifying,
    wards,
)
from backend.ui.session import install_session


def install(app: Flask, config: Config) -> None:
    """Mounts the pages at / with their session, their templates' filters and their security headers."""
    install_session(app, config)
    pages.install(app)
    stocks = (stock, receiving, adjusting, lots, overriding, charts)
    moves = (verifying, transfers, replenishing, counts, discrepancies, alerts, register)
    administration = (staff, wards, policies, audit, drift)
    people = (patients, care_team, prescribing)
    for module in (signing_in, account, board, rounds, *people, *stocks, *moves, *administration):
        app.register_blueprint(module.blueprint)
