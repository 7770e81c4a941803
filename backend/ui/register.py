"""The register of controlled drugs."""

from typing import Any
from uuid import UUID

from flask import render_template

from backend.ui.asking import ask
from backend.ui.forms import asked
from backend.ui.pages import blueprint_of

blueprint = blueprint_of("register")
PAGES_MAX = 10  # of 200 drugs


@blueprint.get("/register")
def show_drugs() -> str:
    """The controlled drugs, to choose one."""
    q = asked("q")["q"]
    controlled, cursor = [], ""
    for _ in range(PAGES_MAX):
        answer = ask("GET /drugs", query={"q": q, "limit": 200, "cursor": cursor})
        controlled += [drug for drug in answer["items"] if drug["controlled_schedule"] is not None]
        cursor = answer["next_cursor"] or ""
        if not cursor:
            break
    return render_template("register_drugs.html", drugs=controlled, q=q, more=bool(cursor))


@blueprint.get("/register/<uuid:drug_id>")
def show_register(drug_id: UUID) -> str:
    """Every unit of a drug, newest first."""
    wanted = asked("ward_id", "cursor")
    query: dict[str, Any] = {"drug_id": drug_id, **wanted}
    answer = ask("GET /stock/register", query=query)
    drug = ask("GET /drugs/<uuid:drug_id>", path={"drug_id": drug_id})
    wards = ask("GET /wards", query={"limit": 200})["items"]
    return render_template("register.html", drug=drug, wards=wards, ward_id=wanted["ward_id"], **answer)
