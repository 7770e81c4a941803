"""Receipts: new and known lots, and what is refused."""

from datetime import date, timedelta

import pytest

from backend.db import new_id
from backend.db.transaction import ConstraintViolated
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.organizations.wards import WardNotFound
from backend.domain.stock import ledger
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.receipts import LotNotAvailable
from backend.errors import ValidationFailed
from tests.hospital import Hospital, now


def test_a_known_lot_grows_and_another_expiry_is_another_lot(hospital: Hospital) -> None:
    first = hospital.receive(5, lot="A", expires_on=date(2031, 1, 1))
    second = hospital.receive(7, lot="A", expires_on=date(2031, 1, 1))
    third = hospital.receive(1, lot="A", expires_on=date(2032, 1, 1))
    assert first.lot_id == second.lot_id != third.lot_id
    assert [receipt.on_hand_units for receipt in (first, second, third)] == [5, 12, 13]
    assert hospital.rows("SELECT quantity_units FROM stock_lots ORDER BY quantity_units") == [(1,), (12,)]


@pytest.mark.parametrize("status", ["on_hold", "recalled"])
def test_a_held_or_recalled_lot_is_not_received(hospital: Hospital, status: str) -> None:
    hospital.receive(5)
    hospital.change(f"UPDATE lots SET status = '{status}', status_reason = 'particles'")
    before = hospital.counts()
    with pytest.raises(LotNotAvailable) as refused:
        hospital.receive(5)
    assert refused.value.members == {"lot_status": status}
    assert hospital.counts() == before


def test_an_expired_lot_is_not_received(hospital: Hospital) -> None:
    with pytest.raises(ValidationFailed):
        hospital.receive(5, expires_on=(now() - timedelta(days=2)).date())
    assert hospital.rows("SELECT count(*) FROM lots") == [(0,)]


def test_a_shelf_has_an_end(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "UNITS_ON_SHELF_MAX", 10)
    hospital.receive(9)
    with pytest.raises(ValidationFailed):
        hospital.receive(2)
    assert hospital.on_hand() == 9


def test_unknown_wards_and_drugs_are_not_found(hospital: Hospital) -> None:
    with pytest.raises(WardNotFound):
        hospital.receive(1, shelf=Shelf(hospital.organization_id, new_id(), hospital.drug_id))
    with pytest.raises(DrugNotFound):
        hospital.receive(1, shelf=Shelf(hospital.organization_id, hospital.ward_id, new_id()))
    assert hospital.rows("SELECT count(*) FROM stock_levels") == [(0,)]


def test_a_level_cannot_be_raised_past_the_ledger_by_hand(hospital: Hospital) -> None:
    """The numbered ledger: a movement that is not the shelf's next one finds its place taken."""
    hospital.receive(5)
    with pytest.raises(ConstraintViolated):
        hospital.change(
            "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
            " balance_after_units, reason, reference_id, occurred_at) SELECT organization_id, gen_random_uuid(),"
            " ward_id, drug_id, lot_id, 1, 5, 10, 'correction', gen_random_uuid(), now() FROM stock_movements"
        )
