"""How much of a drug a ward wants to hold."""

from backend.db import Session, bump
from backend.domain.formulary.drugs import get_drug
from backend.domain.organizations.wards import get_ward
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import StockLevel
from backend.errors import ValidationFailed


def set_levels(session: Session, shelf: Shelf, *, reorder_point_units: int, par_level_units: int) -> None:
    """Sets the reorder point and par of a shelf; the caller has taken its lane.

    Raises WardNotFound, DrugNotFound, ValidationFailed (par below the reorder point).
    """
    get_ward(session, organization_id=shelf.organization_id, ward_id=shelf.ward_id)
    get_drug(session, organization_id=shelf.organization_id, drug_id=shelf.drug_id)
    if par_level_units < reorder_point_units:
        raise ValidationFailed.of("par_level_units", "not below the reorder point")
    ledger.lock_shelf(session, shelf)
    session.execute(
        bump(StockLevel, reorder_point_units=reorder_point_units, par_level_units=par_level_units).where(
            StockLevel.organization_id == shelf.organization_id,
            StockLevel.ward_id == shelf.ward_id,
            StockLevel.drug_id == shelf.drug_id,
        )
    )
