"""The register of controlled drugs."""

from typing import Any
from uuid import UUID

from flask import g, render_template

from backend.actor import Role
from backend.ui.asking import ask, ask_all
from backend.ui.forms import asked
from backend.ui.pages import blueprint_of, midnight
from backend.ui.places import wards

blueprint = blueprint_of("register")
READERS = frozenset({Role.PHARMACIST, Role.ADMIN})
DRUG_PAGES = 10
# What a line of the register is, in a person's words.
EVENTS = {
    "dose_waste": "Waste of a dose",
    "fulfilment": "Given",
    "transfer_in": "Transfer in",
    "transfer_out": "Transfer out",
}


@blueprint.get("/register")
def show_drugs() -> str:
    """The controlled drugs, to choose one."""
    g.actor.require(READERS)
    q = asked("q")["q"]
    drugs, more = ask_all("GET /drugs", {"q": q}, pages=DRUG_PAGES)
    controlled = [drug for drug in drugs if drug["controlled_schedule"] is not None]
    return render_template("register_drugs.html", drugs=controlled, q=q, more=more)


@blueprint.get("/register/<uuid:drug_id>")
def show_register(drug_id: UUID) -> str:
    """Every unit of a drug, newest first, of the days from `first` to `last`."""
    wanted = asked("ward_id", "first", "last", "cursor")
    query: dict[str, Any] = {
        "drug_id": drug_id,
        "ward_id": wanted["ward_id"],
        "from": midnight(wanted["first"]),
        "to": midnight(wanted["last"], days_later=1),
        "cursor": wanted["cursor"],
    }
    answer = ask("GET /stock/register", query=query)
    return render_template(
        "register.html",
        drug=ask("GET /drugs/<uuid:drug_id>", path={"drug_id": drug_id}),
        lines=answer["items"],
        more=answer["next_cursor"],
        places=wards(),
        events=EVENTS,
        wanted=wanted,
    )
