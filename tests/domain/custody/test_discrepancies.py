"""Discrepancies: each way they end, what it moves, and that they end once."""

from typing import Any
from uuid import UUID

import pytest

from backend.actor import Actor, Role
from backend.db.transaction import ConstraintViolated
from backend.domain.custody import discrepancies
from backend.domain.custody.counting import Counted
from backend.domain.custody.discrepancies import DiscrepancyNotFound, DiscrepancyResolved
from backend.domain.custody.errors import VarianceOutdated
from backend.domain.custody.models import Resolution
from backend.domain.custody.transfers import Arrived
from backend.domain.identity.queries import UserNotFound
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.stock.ledger import Shelf, StockWouldBeNegative
from backend.errors import ValidationFailed
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital


def _variance(hospital: Hospital, expected: int, found: int, shelf: Shelf | None = None) -> UUID:
    """The discrepancy of a count."""
    where = shelf or hospital.shelf
    hospital.receive(expected, shelf=where, lot="V1")
    return _variance_of(hospital, found, where.ward_id)


def _variance_of(hospital: Hospital, found: int, ward_id: UUID | None = None) -> UUID:
    """The newest discrepancy, of a count that has just found so many units."""
    count_id = day.open_count(hospital, ward_id)
    day.record_count(hospital, count_id, Counted(day.lot_id(hospital, "V1"), found))
    day.complete_count(hospital, count_id)
    return day.discrepancies(hospital)[-1]


def _shortfall(hospital: Hospital, drug_id: UUID | None = None) -> tuple[UUID, Shelf, Shelf]:
    """The discrepancy of a transfer of 6 units of 10 of which 4 arrived, and the shelves at its ends."""
    source = Shelf(hospital.organization_id, hospital.ward_id, drug_id or hospital.drug_id)
    destination = Shelf(hospital.organization_id, hospital.add_ward(), source.drug_id)
    hospital.receive(10, shelf=source)
    transfer_id = day.request(hospital, source.ward_id, destination.ward_id, 6, source.drug_id)
    day.dispatch(hospital, transfer_id)
    day.receive(hospital, transfer_id, [Arrived(source.drug_id, 4)])
    (found_id,) = day.discrepancies(hospital)
    return found_id, source, destination


def _moved(hospital: Hospital, discrepancy_id: UUID) -> list[tuple[Any, ...]]:
    return hospital.rows(
        "SELECT ward_id, reason::text, units FROM stock_movements WHERE reference_id = :p1", discrepancy_id
    )


@pytest.mark.parametrize(
    ("resolution", "found", "reason"),
    [
        (Resolution.CORRECTION, 5, "correction"),
        (Resolution.CORRECTION, 9, "correction"),
        (Resolution.LOSS, 5, "loss"),
    ],
)
def test_a_variance_that_is_true_changes_the_shelf_by_it(
    hospital: Hospital, resolution: Resolution, found: int, reason: str
) -> None:
    discrepancy_id = _variance(hospital, 7, found)
    day.resolve(hospital, discrepancy_id, resolution)
    assert hospital.on_hand() == found
    assert _moved(hospital, discrepancy_id) == [(hospital.ward_id, reason, found - 7)]
    closed = hospital.rows("SELECT status::text, resolution::text, reason, resolved_by_id FROM discrepancies")
    assert closed == [("resolved", resolution.value, "looked into", hospital.staff["pharmacist"].user_id)]


def test_a_variance_counts_from_what_is_there_now(hospital: Hospital) -> None:
    discrepancy_id = _variance(hospital, 7, 5)
    hospital.fulfil(hospital.place(units=3))
    day.resolve(hospital, discrepancy_id, Resolution.CORRECTION)
    assert hospital.on_hand() == 2


def test_a_variance_that_the_shelf_no_longer_holds_is_refused(hospital: Hospital) -> None:
    discrepancy_id = _variance(hospital, 7, 1)
    hospital.fulfil(hospital.place(units=3))
    with day.refused(hospital, StockWouldBeNegative):
        day.resolve(hospital, discrepancy_id, Resolution.LOSS)
    assert (hospital.on_hand(), day.discrepancies(hospital)) == (4, [discrepancy_id])


def test_the_same_missing_units_of_two_counts_are_written_off_once(hospital: Hospital) -> None:
    """Each shift counts, and the first one's variance is still open when the second finds it again."""
    first, second = _variance(hospital, 10, 9), _variance_of(hospital, 9)
    day.resolve(hospital, second, Resolution.LOSS)
    for resolution in (Resolution.LOSS, Resolution.CORRECTION):
        with day.refused(hospital, VarianceOutdated):
            day.resolve(hospital, first, resolution)
    day.resolve(hospital, first, Resolution.MISCOUNT)
    assert hospital.on_hand() == 9
    assert day.discrepancies(hospital) == []


def test_an_entry_in_error_that_explains_a_variance_is_not_corrected_again(hospital: Hospital) -> None:
    """A dose was recorded that stayed on the shelf: the count finds it, and then it is put right where it was wrong."""
    hospital.receive(10, lot="V1")
    hospital.fulfil(hospital.place())
    found_id = _variance_of(hospital, 10)
    ((dose_id,),) = hospital.rows("SELECT id FROM medication_administrations")
    day.mark_in_error(hospital, dose_id)
    with day.refused(hospital, VarianceOutdated):
        day.resolve(hospital, found_id, Resolution.CORRECTION)
    assert hospital.on_hand() == 10


def test_a_miscount_moves_nothing(hospital: Hospital) -> None:
    discrepancy_id = _variance(hospital, 7, 5)
    day.resolve(hospital, discrepancy_id, Resolution.MISCOUNT)
    assert (hospital.on_hand(), _moved(hospital, discrepancy_id), day.discrepancies(hospital)) == (7, [], [])


def test_where_more_was_found_nothing_is_lost(hospital: Hospital) -> None:
    discrepancy_id = _variance(hospital, 7, 9)
    with day.refused(hospital, ValidationFailed):
        day.resolve(hospital, discrepancy_id, Resolution.LOSS)


def test_units_that_turned_up_are_on_the_destinations_shelf(hospital: Hospital) -> None:
    discrepancy_id, source, destination = _shortfall(hospital)
    day.resolve(hospital, discrepancy_id, Resolution.FOUND)
    assert _moved(hospital, discrepancy_id) == [(destination.ward_id, "transfer_in", 2)]
    assert (hospital.on_hand(source), hospital.on_hand(destination), day.custody(hospital)) == (4, 6, (10, 0))
    assert hospital.rows("SELECT received_units FROM stock_transfer_lines") == [(6,)]


def test_units_that_went_back_are_on_the_sources_shelf(hospital: Hospital) -> None:
    discrepancy_id, source, destination = _shortfall(hospital)
    day.resolve(hospital, discrepancy_id, Resolution.RETURNED)
    assert _moved(hospital, discrepancy_id) == [(source.ward_id, "transfer_in", 2)]
    assert (hospital.on_hand(source), hospital.on_hand(destination), day.custody(hospital)) == (6, 4, (10, 0))
    assert hospital.rows("SELECT received_units, returned_units FROM stock_transfer_lots") == [(4, 2)]


def test_units_that_were_lost_on_the_way_are_on_no_shelf(hospital: Hospital) -> None:
    discrepancy_id, source, destination = _shortfall(hospital)
    day.resolve(hospital, discrepancy_id, Resolution.LOSS)
    assert _moved(hospital, discrepancy_id) == []
    assert (hospital.on_hand(source), hospital.on_hand(destination), day.custody(hospital)) == (4, 4, (8, 0))
    assert hospital.rows("SELECT received_units, lost_units FROM stock_transfer_lots") == [(4, 2)]


@pytest.mark.parametrize("resolution", [Resolution.FOUND, Resolution.RETURNED])
def test_a_variance_does_not_end_like_a_shortfall(hospital: Hospital, resolution: Resolution) -> None:
    discrepancy_id = _variance(hospital, 7, 5)
    with day.refused(hospital, ValidationFailed):
        day.resolve(hospital, discrepancy_id, resolution)


@pytest.mark.parametrize("resolution", [Resolution.CORRECTION, Resolution.MISCOUNT])
def test_a_shortfall_does_not_end_like_a_variance(hospital: Hospital, resolution: Resolution) -> None:
    discrepancy_id, *_ = _shortfall(hospital)
    with day.refused(hospital, ValidationFailed):
        day.resolve(hospital, discrepancy_id, resolution)
    assert day.custody(hospital) == (8, 2)


def test_a_discrepancy_is_resolved_once(hospital: Hospital) -> None:
    discrepancy_id = _variance(hospital, 7, 5)
    day.resolve(hospital, discrepancy_id, Resolution.LOSS)
    with day.refused(hospital, DiscrepancyResolved) as refusal:
        day.resolve(hospital, discrepancy_id, Resolution.MISCOUNT)
    assert refusal.value.members == {"resolution": "loss"}


@pytest.mark.concurrency
def test_of_several_who_resolve_at_once_one_does(hospital: Hospital) -> None:
    shortfall, *_ = _shortfall(hospital)
    got = together(*[day.outcome_of(lambda: day.resolve(hospital, shortfall, Resolution.FOUND))] * 3)
    assert sorted(got) == ["DiscrepancyResolved"] * 2 + ["done"]
    assert day.custody(hospital) == (10, 0)


@pytest.mark.concurrency
def test_found_here_and_returned_there_at_once_credit_one_shelf(hospital: Hospital) -> None:
    """The two take different lanes: the discrepancy's row decides."""
    shortfall, *_ = _shortfall(hospital)
    ways = (Resolution.FOUND, Resolution.RETURNED)
    got = together(*(day.outcome_of(lambda way=way: day.resolve(hospital, shortfall, way)) for way in ways))
    assert sorted(got) == ["DiscrepancyResolved", "done"]
    assert day.custody(hospital) == (10, 0)


@pytest.fixture
def morphine(hospital: Hospital) -> Shelf:
    """A shelf of a controlled drug."""
    return Shelf(hospital.organization_id, hospital.ward_id, hospital.add_drug("Morphine", controlled_schedule=2))


def test_a_controlled_variance_needs_a_witness_of_the_ward(hospital: Hospital, morphine: Shelf) -> None:
    discrepancy_id = _variance(hospital, 7, 5, morphine)
    pharmacist, stranger = hospital.staff["pharmacist"], hospital.add_staff("stranger", Role.NURSE)
    for witness_id in (None, pharmacist.user_id, stranger.user_id, hospital.staff["doctor"].user_id):
        with day.refused(hospital, WitnessRequired):
            day.resolve(hospital, discrepancy_id, Resolution.LOSS, witness_id=witness_id)
    day.resolve(hospital, discrepancy_id, Resolution.LOSS, witness_id=hospital.nurse.user_id)
    assert hospital.rows("SELECT witness_id FROM discrepancies") == [(hospital.nurse.user_id,)]
    assert hospital.rows("SELECT witness_id FROM stock_movements WHERE reason = 'loss'") == [(hospital.nurse.user_id,)]


def test_a_controlled_shortfall_needs_a_witness_even_when_it_moves_nothing(hospital: Hospital, morphine: Shelf) -> None:
    discrepancy_id, _, destination = _shortfall(hospital, morphine.drug_id)
    for resolution in (Resolution.LOSS, Resolution.FOUND):
        with day.refused(hospital, WitnessRequired):
            day.resolve(hospital, discrepancy_id, resolution)
    witness = hospital.add_staff("witness", Role.NURSE, (destination.ward_id,))
    day.resolve(hospital, discrepancy_id, Resolution.LOSS, witness_id=witness.user_id)
    assert hospital.rows("SELECT resolution::text, witness_id FROM discrepancies") == [("loss", witness.user_id)]


def _assign(hospital: Hospital, discrepancy_id: UUID, owner: Actor | UUID) -> None:
    owner_id = owner.user_id if isinstance(owner, Actor) else owner
    who = hospital.staff["pharmacist"]
    hospital.database.change(discrepancies.assign.bind(actor=who, discrepancy_id=discrepancy_id, owner_id=owner_id))


def test_a_discrepancy_is_given_to_somebody_to_review(hospital: Hospital) -> None:
    discrepancy_id = _variance(hospital, 7, 5)
    reviewer = day.second_pharmacist(hospital)
    _assign(hospital, discrepancy_id, reviewer)
    assert hospital.rows("SELECT status::text, owner_id FROM discrepancies") == [("under_review", reviewer.user_id)]

    with day.refused(hospital, UserNotFound):
        _assign(hospital, discrepancy_id, hospital.patient_id)
    with day.refused(hospital, DiscrepancyNotFound):
        _assign(hospital, hospital.patient_id, reviewer)
    hospital.change("UPDATE users SET active = false WHERE id = :p1", hospital.staff["doctor"].user_id)
    with day.refused(hospital, ValidationFailed):
        _assign(hospital, discrepancy_id, hospital.staff["doctor"])

    day.resolve(hospital, discrepancy_id, Resolution.MISCOUNT)
    with day.refused(hospital, DiscrepancyResolved):
        _assign(hospital, discrepancy_id, reviewer)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'resolved', resolution = 'loss'", "ck_discrepancies_resolved_with_reason"),
        ("found_units = expected_units", "ck_discrepancies_units_differ"),
        ("count_line_id = NULL", "ck_discrepancies_of_count"),
        ("transfer_lot_id = id", "ck_discrepancies_of_transfer"),
        (
            "status = 'resolved', resolution = 'loss', reason = 'x', resolved_at = now(), resolved_by_id = owner_id,"
            " witness_id = owner_id",
            "ck_discrepancies_witness_is_another",
        ),
    ],
)
def test_the_database_keeps_a_discrepancy_whole(hospital: Hospital, change: str, constraint: str) -> None:
    _variance(hospital, 7, 5)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(f"UPDATE discrepancies SET {change}")
    assert refusal.value.members == {"constraint": constraint}


def test_the_database_knows_a_shortfall_only_as_missing(hospital: Hospital) -> None:
    _shortfall(hospital)
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change("UPDATE discrepancies SET found_units = expected_units + 1")
    assert refusal.value.members == {"constraint": "ck_discrepancies_shortfall"}


@pytest.mark.parametrize("source", ["count_line_id", "transfer_lot_id"])
def test_the_database_has_one_discrepancy_of_one_source(hospital: Hospital, source: str) -> None:
    _variance(hospital, 7, 5) if source == "count_line_id" else _shortfall(hospital)
    columns = "kind, ward_id, drug_id, lot_id, expected_units, found_units, owner_id, due_at"
    with day.refused(hospital, ConstraintViolated) as refusal:
        hospital.change(
            f"INSERT INTO discrepancies (organization_id, id, {columns}, {source})"
            f" SELECT organization_id, gen_random_uuid(), {columns}, {source} FROM discrepancies"
        )
    assert refusal.value.members == {"constraint": f"uq_discrepancies_organization_id_{source}"}
