"""The audit trail: who changed what, and when."""

from typing import Any

from flask import render_template

from backend.audit.models import AuditEvent
from backend.models import Base
from backend.ui.asking import ask, ask_all
from backend.ui.forms import asked
from backend.ui.pages import blueprint_of

blueprint = blueprint_of("audit")
# Numbers that change with every change say nothing to people.
UNSAID = frozenset({"version", "organization_id", "id"})
TABLES = sorted(set(Base.metadata.tables) - {AuditEvent.__tablename__})
PAGES = 10


@blueprint.get("/audit")
def show_audit() -> str:
    """Changes, newest first: of a table, of a row, by somebody."""
    wanted = asked("table", "row_id", "actor_id", "cursor")
    answer = ask("GET /audit", query=wanted)
    for event in answer["items"]:
        event["changes"] = changes_of(event["before"] or {}, event["after"] or {})
    users, _ = ask_all("GET /users", {}, pages=PAGES)
    return render_template("audit.html", wanted=wanted, tables=TABLES, users=users, **answer)


def changes_of(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The columns that differ, each with what it was and what it is; None where it was not or is not."""
    return [
        (name, before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if name not in UNSAID and before.get(name) != after.get(name)
    ]
