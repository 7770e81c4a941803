"""Where each role may go: the tabs of every page."""

from typing import NamedTuple

from flask import current_app, g, request

from backend.actor import Role


class Tab(NamedTuple):
    """A page to go to, by its endpoint."""

    endpoint: str
    label: str
    also: tuple[str, ...] = ()  # other blueprints whose pages belong to the tab


BOARDS = Tab("board.show_wards", "Board", ("rounds",))
PATIENTS = Tab("patients.show_patients", "Patients", ("care_team",))
TRANSFERS = Tab("transfers.show_transfers", "Transfers", ("replenishing",))
COUNTS = Tab("counts.show_counts", "Counts")
ALERTS = Tab("alerts.show_alerts", "Alerts")
STOCK = Tab("stock.show_stock", "Stock", ("receiving", "adjusting", "lots", "overriding", "charts"))
DISCREPANCIES = Tab("discrepancies.show_discrepancies", "Discrepancies")
REGISTER = Tab("register.show_drugs", "Register")
DRIFT = Tab("drift.show_runs", "Drift")
TABS = {
    Role.NURSE: (BOARDS, PATIENTS, STOCK, TRANSFERS, COUNTS, DISCREPANCIES, ALERTS),
    Role.PHARMACIST: (
        Tab("verifying.show_orders", "Verify"),
        BOARDS,
        STOCK,
        TRANSFERS,
        COUNTS,
        DISCREPANCIES,
        ALERTS,
        REGISTER,
        PATIENTS,
        DRIFT,
    ),
    Role.DOCTOR: (Tab("prescribing.show_orders", "Orders"), PATIENTS, STOCK, ALERTS),
    Role.ADMIN: (
        Tab("staff.show_users", "Staff"),
        Tab("wards.show_wards", "Wards"),
        Tab("policies.show_policies", "Policies"),
        Tab("audit.show_audit", "Audit"),
        PATIENTS,
        STOCK,
        REGISTER,
        DRIFT,
    ),
}


def tabs() -> list[tuple[Tab, bool]]:
    """The tabs of who sits at the screen, each with whether the page shown belongs to it."""
    if "actor" not in g:
        return []
    return [
        (tab, request.blueprint in {tab.endpoint.partition(".")[0], *tab.also})
        for tab in TABS[g.actor.role]
        if tab.endpoint in current_app.view_functions
    ]
