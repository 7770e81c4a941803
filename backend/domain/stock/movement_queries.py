"""Read the ledger."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import aliased

from backend.db import Rows, Session
from backend.db.filters import equal, looked_up, within
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.organizations.models import Ward
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.models import Lot, StockMovement


def _movements(organization_id: UUID, hides: Hides) -> Rows:
    """Movements with the names of what they are about; without units where the shelf's figures are hidden, whose sum
    would be its balance."""
    movement, witness = StockMovement, aliased(User)
    hidden = hides(ward=movement.ward_id, drug=movement.drug_id)
    return select(
        movement.id,
        movement.ward_id,
        looked_up(organization_id, Ward, "name", movement.ward_id).label("ward_name"),
        movement.drug_id,
        looked_up(organization_id, Drug, "name", movement.drug_id).label("drug_name"),
        movement.lot_id,
        looked_up(organization_id, Lot, "lot_number", movement.lot_id).label("lot_number"),
        looked_up(organization_id, Lot, "expires_on", movement.lot_id).label("expires_on"),
        movement.sequence,
        unless(hidden, movement.units).label("units"),
        unless(hidden, movement.balance_after_units).label("balance_after_units"),
        hidden.label("figures_hidden"),
        movement.reason,
        movement.reference_id,
        movement.corrects_id,
        movement.note,
        movement.actor_id,
        looked_up(organization_id, User, "name", movement.actor_id).label("actor_name"),
        looked_up(organization_id, witness, "name", movement.witness_id).label("witness_name"),
        movement.occurred_at,
        movement.recorded_at,
    ).where(movement.organization_id == organization_id)


def get_movement_of(session: Session, *, organization_id: UUID, reference_id: UUID, hides: Hides) -> Row[Any]:
    """Read the one movement that was posted for `reference_id`."""
    return session.execute(_movements(organization_id, hides).where(StockMovement.reference_id == reference_id)).one()


def list_movements(
    session: Session,
    *,
    organization_id: UUID,
    ward_id: UUID | None,
    drug_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    hides: Hides,
    page: PageRequest,
) -> Page:
    """The ledger, newest first; `since` counts, `until` does not."""
    movement = StockMovement
    rows = _movements(organization_id, hides).where(
        *equal(movement, ward_id=ward_id, drug_id=drug_id), *within(movement.recorded_at, since, until)
    )
    return read_page(session, rows, page, movement.recorded_at, movement.id, descending=True)
