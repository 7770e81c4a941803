"""Read the formulary with what the hospital holds of each drug."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select

from backend.db import Rows, Session
from backend.db.paging import Page, PageRequest
from backend.db.searching import named_page
from backend.domain.formulary.drugs import Custody, DrugNotFound, containing, drugs_of, in_custody
from backend.domain.formulary.models import Drug
from backend.domain.stock.hiding import Hides, unless
from backend.domain.stock.models import StockLevel


def _drugs_with_stock(organization_id: UUID, hides: Hides) -> Rows:
    hidden = hides(drug=Drug.id)
    held = (
        select(func.coalesce(func.sum(StockLevel.on_hand_units), 0))
        .where(StockLevel.organization_id == organization_id, StockLevel.drug_id == Drug.id)
        .scalar_subquery()
    )
    return drugs_of(organization_id).add_columns(
        Drug.unit_price_cents, unless(hidden, held).label("current_stock"), hidden.label("figures_hidden")
    )


def get_drug_with_stock(session: Session, *, organization_id: UUID, drug_id: UUID, hides: Hides) -> Row[Any]:
    """Read a formulary entry with its price and `current_stock`, the sum of its levels; None where a level is hidden.

    Raises DrugNotFound.
    """
    row = session.execute(_drugs_with_stock(organization_id, hides).where(Drug.id == drug_id)).one_or_none()
    if row is None:
        raise DrugNotFound()
    return row


def list_drugs(
    session: Session,
    *,
    organization_id: UUID,
    q: str | None,
    custody: Custody | None = None,
    hides: Hides,
    page: PageRequest,
) -> Page:
    """List drugs by name, each with `current_stock` unless a level of it is hidden; `q` is a name or generic name."""
    return named_page(
        session,
        _drugs_with_stock(organization_id, hides).where(*([in_custody(custody)] if custody is not None else [])),
        name_key=Drug.name_key,
        row_id=Drug.id,
        searched=[Drug.name_key, Drug.generic_name_key],
        containing=containing,
        q=q,
        page=page,
    )
