"""Replenishment: par minus available minus inbound, once."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from backend.db.paging import PageRequest
from backend.domain.custody import replenishment
from backend.domain.custody.blind import hidden_from
from backend.domain.custody.errors import NothingToReplenish
from backend.domain.custody.transfers import LINES_MAX, Arrived
from backend.domain.identity.membership import NotOnThisWard
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import LotStatus
from backend.errors import ValidationFailed
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now


def _proposed(hospital: Hospital) -> list[tuple[Any, ...]]:
    """Available, inbound and proposed units by line."""
    where = {"organization_id": hospital.organization_id, "ward_id": hospital.ward_id}
    wanted = {**where, "hides": hidden_from(hospital.nurse), "now": now()}
    lines = day.look(hospital, lambda session: replenishment.propose(session, **wanted)).items
    return [(line.available_units, line.inbound_units, line.proposed_units) for line in lines]


def _replenish(hospital: Hospital, source: UUID) -> UUID:
    wanted = replenishment.replenish.bind(actor=hospital.nurse, ward_id=hospital.ward_id, source_ward_id=source)
    return hospital.database.change(wanted).id


def test_ward_that_lacks_more_than_a_transfer_takes_is_proposed_in_pages(hospital: Hospital, pharmacy: UUID) -> None:
    """Two transfers bring all of it: the second asks for what the first has left."""
    hospital.change(
        "INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit)"
        " SELECT :p1, gen_random_uuid(), 'Bulk ' || n, 'bulk', '1', 'tablet', 'tablet' FROM generate_series(1, :p2) n",
        hospital.organization_id,
        LINES_MAX + 5,
    )
    hospital.change(
        "INSERT INTO stock_levels (organization_id, id, ward_id, drug_id, reorder_point_units, par_level_units)"
        " SELECT organization_id, gen_random_uuid(), :p1, id, length(name) % 2 * 5, 9"
        " FROM drugs WHERE name LIKE 'Bulk%'"
        " ON CONFLICT DO NOTHING",
        hospital.ward_id,
    )
    where = {"organization_id": hospital.organization_id, "ward_id": hospital.ward_id}
    wanted = {**where, "hides": hidden_from(hospital.nurse), "now": now()}
    first = day.look(hospital, lambda session: replenishment.propose(session, **wanted))
    rest = PageRequest(LINES_MAX, first.next_key)
    second = day.look(hospital, lambda session: replenishment.propose(session, **wanted, page=rest))
    assert (len(first.items), len(second.items), second.next_key) == (LINES_MAX, 6, None)
    lines = [*first.items, *second.items]
    assert len({line.drug_id for line in lines}) == LINES_MAX + 6
    urgency = [(not line.below_reorder_point, line.drug_name.lower()) for line in lines]
    assert urgency == sorted(urgency)
    _replenish(hospital, pharmacy)
    assert len(_proposed(hospital)) == 6
    _replenish(hospital, pharmacy)
    assert _proposed(hospital) == []


@pytest.fixture
def pharmacy(hospital: Hospital) -> UUID:
    """Where 100 units lie, while the hospital's ward wants 20."""
    ward_id = hospital.add_ward("Pharmacy")
    hospital.receive(100, lot="P1", shelf=Shelf(hospital.organization_id, ward_id, hospital.drug_id))
    day.set_levels(hospital, 5, 20)
    return ward_id


def test_what_lacks_to_par_becomes_a_transfer_and_counts_until_it_has_arrived(
    hospital: Hospital, pharmacy: UUID
) -> None:
    hospital.receive(3)
    assert _proposed(hospital) == [(3, 0, 17)]
    transfer_id = _replenish(hospital, pharmacy)
    assert hospital.rows(
        "SELECT source_ward_id, destination_ward_id, quantity_units FROM stock_transfers t"
        " JOIN stock_transfer_lines n ON n.transfer_id = t.id"
    ) == [(pharmacy, hospital.ward_id, 17)]
    assert _proposed(hospital) == []  # requested

    day.dispatch(hospital, transfer_id, {hospital.drug_id: 10})
    assert _proposed(hospital) == [(3, 10, 7)]  # dispatched: what was left out is lacking again
    day.receive(hospital, transfer_id, [Arrived(hospital.drug_id, 8)])
    assert _proposed(hospital) == [(11, 0, 9)]


def test_a_cancelled_transfer_is_lacking_again(hospital: Hospital, pharmacy: UUID) -> None:
    day.cancel_transfer(hospital, _replenish(hospital, pharmacy))
    assert _proposed(hospital) == [(0, 0, 20)]


def test_a_second_request_finds_nothing(hospital: Hospital, pharmacy: UUID) -> None:
    _replenish(hospital, pharmacy)
    with day.refused(hospital, NothingToReplenish):
        _replenish(hospital, pharmacy)


def test_expired_and_held_units_are_not_available(hospital: Hospital, pharmacy: UUID) -> None:
    hospital.receive(4, lot="OLD")
    hospital.receive(5, lot="HELD")
    hospital.receive(6, lot="GOOD")
    yesterday = (now() - timedelta(days=3)).date()
    hospital.change("UPDATE lots SET expires_on = :p1 WHERE lot_number = 'OLD'", yesterday)
    day.change_lot(hospital, day.lot_id(hospital, "HELD"), LotStatus.ON_HOLD)
    assert _proposed(hospital) == [(6, 0, 14)]


def test_what_is_below_its_reorder_point_comes_first(hospital: Hospital, pharmacy: UUID) -> None:
    early_in_the_alphabet = hospital.add_drug("Aaa")
    shelf = Shelf(hospital.organization_id, hospital.ward_id, early_in_the_alphabet)
    hospital.receive(8, shelf=shelf, lot="A1")
    day.set_levels(hospital, 2, 10, shelf)
    assert _proposed(hospital) == [(0, 0, 20), (8, 0, 2)]


def test_a_ward_is_not_replenished_from_itself_nor_by_a_nurse_of_another(hospital: Hospital, pharmacy: UUID) -> None:
    with day.refused(hospital, ValidationFailed):
        _replenish(hospital, hospital.ward_id)
    hospital.change("DELETE FROM ward_memberships")
    with day.refused(hospital, NotOnThisWard):
        _replenish(hospital, pharmacy)


@pytest.mark.concurrency
def test_several_at_once_make_one_transfer(hospital: Hospital, pharmacy: UUID) -> None:
    got = together(*[day.outcome_of(lambda: _replenish(hospital, pharmacy))] * 4)
    assert sorted(got) == ["NothingToReplenish"] * 3 + ["done"]
    assert hospital.rows("SELECT quantity_units FROM stock_transfer_lines") == [(20,)]
