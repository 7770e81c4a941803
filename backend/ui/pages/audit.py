"""The audit trail: who changed what, and when."""

from typing import Any
from uuid import UUID

from flask import render_template

from backend.domain.audit.models import AuditEvent
from backend.domain.identity.queries import UserNotFound
from backend.domain.models import Base
from backend.ui.frame.asking import ask, ask_all
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of

blueprint = blueprint_of("audit")
# Numbers that change with every change say nothing to people.
UNSAID = frozenset({"version", "organization_id", "id"})
TABLES = sorted(set(Base.metadata.tables) - {AuditEvent.__tablename__})
PAGES = 1  # of LIMIT_MAX staff to choose from; a search finds the others


@blueprint.get("/audit")
def show_audit() -> str:
    """Changes, newest first: of a table, of a row, by somebody. `q` narrows the staff to choose from."""
    wanted, q = query_fields("table", "row_id", "actor_id", "cursor"), query_fields("q")["q"]
    answer = ask("GET /audit", query=wanted)
    for event in answer["items"]:
        event["changes"] = changes_of(event["before"] or {}, event["after"] or {})
    users, many = ask_all("GET /users", {"q": q}, pages=PAGES)
    users = _with_chosen(users, wanted["actor_id"])
    return render_template("audit.html", wanted=wanted, q=q, tables=TABLES, users=users, many=many, **answer)


def _with_chosen(users: list[dict[str, Any]], actor_id: str) -> list[dict[str, Any]]:
    """The staff to choose from, with whoever is chosen already at their head where the list lacks them."""
    if not actor_id or any(user["id"] == actor_id for user in users):
        return users
    try:
        return [ask("GET /users/<uuid:user_id>", path={"user_id": UUID(actor_id)}), *users]
    except UserNotFound:
        return users


def changes_of(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The columns that differ, each with what it was and what it is; None where it was not or is not."""
    return [
        (name, before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if name not in UNSAID and before.get(name) != after.get(name)
    ]
