"""The register of controlled drugs."""

from typing import Any
from uuid import UUID

from flask import g, render_template

from backend.actor import Role
from backend.domain.formulary.drugs import Custody
from backend.ui.frame.asking import ask
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, midnight
from backend.ui.frame.ward_choice import wards

blueprint = blueprint_of("register")
READERS = frozenset({Role.PHARMACIST, Role.ADMIN})
# What a line of the register is, in a person's words.
EVENTS = {
    "dose_waste": "Waste of a dose",
    "fulfilment": "Given",
    "transfer_in": "Transfer in",
    "transfer_out": "Transfer out",
}


@blueprint.get("/register")
def show_drugs() -> str:
    """Show a page of the controlled drugs, to choose one."""
    g.actor.require(READERS)
    wanted = query_fields("q", "cursor")
    page = ask("GET /drugs", query={**wanted, "custody": Custody.CONTROLLED.value})
    return render_template("register_drugs.html", drugs=page["items"], more=page["next_cursor"], q=wanted["q"])


@blueprint.get("/register/<uuid:drug_id>")
def show_register(drug_id: UUID) -> str:
    """Every unit of a drug, newest first, of the days from `first` to `last`."""
    wanted = query_fields("ward_id", "first", "last", "cursor")
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
