"""Alerts."""

from enum import StrEnum
from typing import Any

from marshmallow import fields

from backend.db import Database, Session
from backend.domain.alerts import evaluating
from backend.domain.alerts.evaluating import AlertNotFound
from backend.domain.alerts.models import AlertKind
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Id, PageQuery

resource = Resource("alerts")


class AlertState(StrEnum):
    """Whether the condition still holds."""

    OPEN = "open"
    CLEARED = "cleared"


class AlertQuery(PageQuery):
    """Which alerts; open ones unless said otherwise."""

    ward_id = Id()
    kind = Choice(AlertKind)
    state = Choice(AlertState, load_default=AlertState.OPEN)


class AlertOut(Body):
    """Show an alert. `units` is the figure when it opened, null while you may be counting the shelf blind;
    `within_days` is the horizon of an expiry."""

    id = fields.UUID()
    kind = fields.Enum(AlertKind, by_value=True)
    ward_id = fields.UUID()
    ward_name = fields.String()
    drug_id = fields.UUID(allow_none=True)
    drug_name = fields.String(allow_none=True)
    lot_id = fields.UUID(allow_none=True)
    lot_number = fields.String(allow_none=True)
    expires_on = fields.Date(allow_none=True)
    transfer_id = fields.UUID(allow_none=True)
    discrepancy_id = fields.UUID(allow_none=True)
    within_days = fields.Integer(allow_none=True)
    units = fields.Integer(allow_none=True)
    opened_at = fields.AwareDateTime()
    acknowledged_by = fields.String(allow_none=True)
    acknowledged_at = fields.AwareDateTime(allow_none=True)
    cleared_at = fields.AwareDateTime(allow_none=True)


def _bring_up_to_date(database: Database, call: Call) -> None:
    """Opens and clears alerts before the first page is read."""
    if call.page.after is None:
        database.transact(
            lambda session: evaluating.refresh(session, organization_id=call.organization_id, now=session.now),
            actor=call.actor,
            repeatable=True,
        )


@resource.get(
    "/alerts",
    "Alerts, newest first",
    query=AlertQuery(),
    answer=AlertOut(),
    page=cursors.BY_TIME,
    prepare=_bring_up_to_date,
)
def list_alerts(session: Session, call: Call) -> Any:
    """What asks for your attention: by your role, and a nurse's by her wards."""
    return evaluating.list_alerts(
        session,
        actor=call.actor,
        ward_id=call.query.get("ward_id"),
        kind=call.query.get("kind"),
        cleared=call.query["state"] is AlertState.CLEARED,
        page=call.page,
    )


@resource.post(
    "/alerts/<uuid:alert_id>/acknowledge", "Acknowledge an alert", answer=AlertOut(), raises=(AlertNotFound,)
)
def acknowledge(session: Session, call: Call) -> Any:
    """You have seen it. It stays until its condition ends."""
    evaluating.acknowledge(session, actor=call.actor, now=session.now, **call.path)
    return evaluating.get_alert(session, actor=call.actor, **call.path)
