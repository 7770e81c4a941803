"""Alerts: opened when a condition holds, one for each thing, cleared when it no longer does.

Decision: nobody raises an alert; `refresh` compares the conditions with the open alerts, whenever somebody looks and on
the operator's schedule (`valmed alerts`). Because a shelf runs low by many ways and an expiry by none but time, and a
fulfilment should not pay for either. Cost: an alert is as old as the last look.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import aliased

from backend.actor import Actor, Role
from backend.db import Prepared, Rows, Session, bump
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.alerts.conditions import CONDITIONS
from backend.domain.alerts.models import Alert, AlertKind
from backend.domain.custody.blind import hidden_from
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User, WardMembership
from backend.domain.organizations.calendar import today_of
from backend.domain.organizations.models import Ward
from backend.domain.stock.hiding import unless
from backend.domain.stock.models import Lot
from backend.errors import NotFound

# Who is told: nurses of what concerns their wards' patients now, pharmacists of everything.
FOR_NURSES = (AlertKind.LOW, AlertKind.OUT, AlertKind.EXPIRED, AlertKind.IN_TRANSIT)
FOR_DOCTORS = (AlertKind.OUT,)
OF_SHELVES = (AlertKind.LOW, AlertKind.OUT, AlertKind.EXPIRED, AlertKind.EXPIRING)  # their figure is what lies there
TOLD = {
    Role.PHARMACIST: tuple(AlertKind),
    Role.ADMIN: tuple(AlertKind),
    Role.NURSE: FOR_NURSES,
    Role.DOCTOR: FOR_DOCTORS,
}


class AlertNotFound(NotFound):
    """There is no such open alert for you."""


_SAME = """a.kind = c.kind AND a.ward_id = c.ward_id AND a.drug_id IS NOT DISTINCT FROM c.drug_id
  AND a.lot_id IS NOT DISTINCT FROM c.lot_id AND a.transfer_id IS NOT DISTINCT FROM c.transfer_id
  AND a.discrepancy_id IS NOT DISTINCT FROM c.discrepancy_id
  AND a.within_days IS NOT DISTINCT FROM c.within_days"""
_REFRESH = Prepared(
    "refresh_alerts",
    f"""WITH c AS MATERIALIZED ({CONDITIONS}), cleared AS (
      UPDATE alerts a SET cleared_at = greatest(:now, a.created_at), version = version + 1
      WHERE a.organization_id = :organization_id AND a.cleared_at IS NULL
        AND NOT EXISTS (SELECT FROM c WHERE {_SAME}))
    INSERT INTO alerts (organization_id, id, kind, ward_id, drug_id, lot_id, transfer_id, discrepancy_id,
      within_days, units, created_at)
    SELECT :organization_id, gen_random_uuid(), c.kind, c.ward_id, c.drug_id, c.lot_id, c.transfer_id,
      c.discrepancy_id, c.within_days, c.units, :now
    FROM c WHERE NOT EXISTS (SELECT FROM alerts a
      WHERE a.organization_id = :organization_id AND a.cleared_at IS NULL AND {_SAME})
    ON CONFLICT DO NOTHING""",  # noqa: S608 - constants
)


def refresh(session: Session, *, organization_id: UUID, now: datetime) -> None:
    """Opens an alert for every condition that has none, and clears every alert whose condition has ended.

    Of two at once that open or clear the same alert, the second fails with 40001 and runs again, as often as `transact`
    lets it: an alert that its snapshot does not show is no duplicate to ON CONFLICT, but a serialization failure.
    """
    today = today_of(session, organization_id=organization_id, now=now)
    session.run(_REFRESH, organization_id=organization_id, today=today, now=now)


def acknowledge(session: Session, *, actor: Actor, alert_id: UUID, now: datetime) -> None:
    """Somebody has seen the alert; a second time changes nothing. Raises AlertNotFound."""
    row = session.execute(_routed(actor).where(Alert.id == alert_id, Alert.cleared_at.is_(None))).one_or_none()
    if row is None:
        raise AlertNotFound()
    if row.acknowledged_at is None:
        session.execute(
            bump(Alert, acknowledged_by_id=actor.user_id, acknowledged_at=now).where(
                Alert.organization_id == actor.organization_id, Alert.id == alert_id
            )
        )


def _routed(actor: Actor) -> Rows:
    """The alerts that the actor is told of: by role, and a nurse's by her wards; without the figure where that is
    hidden from them."""
    alert, acknowledger = Alert, aliased(User)
    hidden = alert.kind.in_(OF_SHELVES) & hidden_from(actor)(ward=alert.ward_id, drug=alert.drug_id)

    rows = (
        select(
            alert.id,
            alert.kind,
            alert.ward_id,
            Ward.name.label("ward_name"),
            alert.drug_id,
            Drug.name.label("drug_name"),
            alert.lot_id,
            Lot.lot_number,
            Lot.expires_on,
            alert.transfer_id,
            alert.discrepancy_id,
            alert.within_days,
            unless(hidden, alert.units).label("units"),
            alert.created_at.label("opened_at"),
            acknowledger.name.label("acknowledged_by"),
            alert.acknowledged_at,
            alert.cleared_at,
        )
        .join(Ward, same_hospital(Ward, by=alert.ward_id))
        .outerjoin(Drug, same_hospital(Drug, by=alert.drug_id))
        .outerjoin(Lot, same_hospital(Lot, by=alert.lot_id))
        .outerjoin(acknowledger, same_hospital(acknowledger, by=alert.acknowledged_by_id))
        .where(alert.organization_id == actor.organization_id, alert.kind.in_(TOLD[actor.role]))
    )
    if actor.role is Role.NURSE:
        membership = WardMembership
        mine = select(membership.ward_id).where(
            membership.organization_id == actor.organization_id, membership.user_id == actor.user_id
        )
        rows = rows.where(alert.ward_id.in_(mine))
    return rows


def get_alert(session: Session, *, actor: Actor, alert_id: UUID) -> Row[Any]:
    """One alert that the actor is told of. Raises AlertNotFound."""
    row = session.execute(_routed(actor).where(Alert.id == alert_id)).one_or_none()
    if row is None:
        raise AlertNotFound()
    return row


def list_alerts(
    session: Session,
    *,
    actor: Actor,
    ward_id: UUID | None,
    kind: AlertKind | None,
    cleared: bool,
    page: PageRequest,
) -> Page:
    """The actor's open alerts, or with `cleared` those that have ended, newest first."""
    ended = Alert.cleared_at.is_not(None) if cleared else Alert.cleared_at.is_(None)
    rows = _routed(actor).where(ended, *equal(Alert, ward_id=ward_id, kind=kind))
    return read_page(session, rows, page, Alert.created_at, Alert.id, descending=True)
