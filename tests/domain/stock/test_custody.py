"""Controlled drugs have a second name: by constraint where units leave the books, by policy where they change hands."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy.engine.url import URL

from backend.config import Config
from backend.db import Database
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.db.transaction import ConstraintViolated
from backend.domain.administrations import errors_in_entry, remainders
from backend.domain.administrations.models import RemainderKind
from backend.domain.custody import discrepancies, transfers
from backend.domain.custody.counting import Counted
from backend.domain.custody.models import Resolution
from backend.domain.custody.transfers import Arrived
from backend.domain.identity.witnesses import WitnessRequired
from backend.domain.models import Base
from backend.domain.stock import adjustments, receipts
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import MovementReason
from backend.domain.stock.receipts import Delivered
from backend.operations.verification.verify import verify
from tests import day
from tests.hospital import Hospital, now, open_hospital, witness_of

SECOND_NAME = "Whatever was due a second name has one"
ASKING = (adjustments, errors_in_entry, remainders, discrepancies)  # whose checks ask for a witness
Act = Callable[[Hospital, UUID | None], object]


def _as_controlled(hospital: Hospital) -> Hospital:
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(20)
    return hospital


@pytest.fixture
def controlled(hospital: Hospital) -> Hospital:
    """A hospital with 20 units of a controlled drug on its ward; the nurse may witness what the pharmacist does."""
    return _as_controlled(hospital)


def _dose(hospital: Hospital) -> UUID:
    answer = hospital.fulfil(hospital.place(units=2))
    return UUID(orjson.loads(answer.body)["administration_id"])


def _adjust(units: int, reason: MovementReason) -> Act:
    def act(hospital: Hospital, witness_id: UUID | None) -> object:
        return day.adjust(hospital, units, reason, lot=day.lot_id(hospital), witness_id=witness_id)

    return act


def _undo(hospital: Hospital, witness_id: UUID | None) -> object:
    movement = hospital.rows("SELECT id FROM stock_movements WHERE reason = 'receipt'")[0][0]
    return day.correct(hospital, movement, witness_id=witness_id)


def _leave(kind: RemainderKind) -> Act:
    return lambda hospital, witness_id: day.leave(hospital, _dose(hospital), 1, kind, witness_id=witness_id)


def _mark(hospital: Hospital, witness_id: UUID | None) -> object:
    return day.mark_in_error(hospital, _dose(hospital), witness_id=witness_id)


def _variance(resolution: Resolution) -> Act:
    def act(hospital: Hospital, witness_id: UUID | None) -> object:
        count_id = day.open_count(hospital)
        day.record_count(hospital, count_id, Counted(day.lot_id(hospital), 19))
        day.complete_count(hospital, count_id)
        return day.resolve(hospital, day.discrepancies(hospital)[0], resolution, witness_id=witness_id)

    return act


def _shortfall(hospital: Hospital, witness_id: UUID | None) -> object:
    transfer_id = day.request(hospital, hospital.ward_id, _destination(hospital), 2)
    day.dispatch(hospital, transfer_id)
    day.receive(hospital, transfer_id, [Arrived(hospital.drug_id, 1)])
    return day.resolve(hospital, day.discrepancies(hospital)[0], Resolution.LOSS, witness_id=witness_id)


def _destination(hospital: Hospital) -> UUID:
    """Another ward, on which the nurse and a second witness work as well."""
    ward_id = hospital.add_ward()
    for login in ("nurse", "pharmacist2"):
        actor = day.second_pharmacist(hospital) if login == "pharmacist2" else hospital.staff[login]
        hospital.change(
            "INSERT INTO ward_memberships (organization_id, id, user_id, ward_id)"
            " VALUES (:p1, gen_random_uuid(), :p2, :p3)",
            *(hospital.organization_id, actor.user_id, ward_id),
        )
    return ward_id


ACTS: dict[str, tuple[str, Act]] = {
    "waste": ("stock_movements", _adjust(-1, MovementReason.WASTE)),
    "loss": ("stock_movements", _adjust(-1, MovementReason.LOSS)),
    "correction": ("stock_movements", _adjust(1, MovementReason.CORRECTION)),
    "return": ("stock_movements", _adjust(-1, MovementReason.RETURN)),
    "undone receipt": ("stock_movements", _undo),
    "entry in error": ("stock_movements", _mark),
    "rest of a dose put back": ("dose_remainders", _leave(RemainderKind.RETURN)),
    "rest of a dose wasted": ("dose_remainders", _leave(RemainderKind.WASTE)),
    "variance written off": ("discrepancies", _variance(Resolution.LOSS)),
    "miscount": ("discrepancies", _variance(Resolution.MISCOUNT)),
    "transfer written off": ("discrepancies", _shortfall),
}


def _nobody_asks(patch: pytest.MonkeyPatch) -> None:
    """The checks of the application are out: only the database is left."""
    for module in ASKING:
        patch.setattr(module, "admit_witness", lambda *_session, **_asked: None)


def _second(hospital: Hospital, name: str) -> UUID:
    """Somebody of the ward who is not who acts: the nurse, or for what she does herself a colleague."""
    if name in {"entry in error", "rest of a dose put back", "rest of a dose wasted"}:
        hospital.add_staff("witness", hospital.nurse.role, (hospital.ward_id,))
        return UUID(str(hospital.staff["witness"].user_id))
    return UUID(str(hospital.nurse.user_id))


@pytest.mark.parametrize("name", ACTS)
def test_the_application_asks_for_a_second_name(controlled: Hospital, name: str) -> None:
    with pytest.raises(WitnessRequired):
        ACTS[name][1](controlled, None)


@pytest.mark.parametrize("name", ACTS)
def test_the_database_refuses_one_name(controlled: Hospital, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    _nobody_asks(monkeypatch)
    table, act = ACTS[name]
    with pytest.raises(ConstraintViolated) as refusal:
        act(controlled, None)
    assert refusal.value.members == {"constraint": f"ck_{table}_witness_when_due"}


@pytest.mark.parametrize("name", ACTS)
def test_two_names_are_written_down(controlled: Hospital, name: str) -> None:
    table, act = ACTS[name]
    witness_id = _second(controlled, name)
    act(controlled, witness_id)
    assert (witness_id, True) in controlled.rows(f"SELECT witness_id, witness_due FROM {table}")


@pytest.mark.parametrize("name", ACTS)
def test_an_uncontrolled_drug_needs_one_name(hospital: Hospital, name: str) -> None:
    hospital.receive(20)
    table, act = ACTS[name]
    act(hospital, None)
    assert set(hospital.rows(f"SELECT witness_id, witness_due FROM {table}")) <= {(None, False), (None, None)}


@pytest.mark.parametrize("name", ["waste", "rest of a dose wasted", "transfer written off"])
def test_verify_names_a_row_with_one_name(fresh_config: Config, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The check of the application and the constraint are both out."""
    _nobody_asks(monkeypatch)
    table, act = ACTS[name]
    url = normalised_url(fresh_config.database_url)
    database = Database(fresh_config, application_url(fresh_config))
    hospital = _as_controlled(open_hospital(database))
    owner = connect(url)
    with owner.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_witness_when_due")
    owner.close()
    act(hospital, None)
    database.engine.dispose()
    assert SECOND_NAME in _broken(url)


def _broken(url: URL) -> set[str]:
    return {finding.invariant.title for finding in verify(url, Base.metadata) if finding.broken}


def test_what_was_true_then_stays_when_the_schedule_changes(hospital: Hospital, owner: Any, config: Config) -> None:
    hospital.receive(20)
    day.adjust(hospital, -1)
    hospital.change("UPDATE drugs SET controlled_schedule = 2 WHERE id = :p1", hospital.drug_id)
    day.adjust(hospital, -2, witness_id=hospital.nurse.user_id)
    _variance(Resolution.MISCOUNT)(hospital, hospital.nurse.user_id)
    hospital.change("UPDATE drugs SET controlled_schedule = NULL WHERE id = :p1", hospital.drug_id)
    day.adjust(hospital, -3)
    hospital.change("UPDATE discrepancies SET version = version + 1")
    due = hospital.rows("SELECT units, witness_due FROM stock_movements WHERE reason = 'waste' ORDER BY sequence")
    assert due == [(-1, False), (-2, True), (-3, False)]
    assert hospital.rows("SELECT witness_due FROM discrepancies") == [(True,)]
    broken = verify(normalised_url(config.database_url), Base.metadata, organization=hospital.slug)
    assert [finding.invariant.title for finding in broken if finding.broken] == []


def test_nobody_writes_down_that_no_second_name_was_due(controlled: Hospital) -> None:
    """As a writer might who knows the column: the database judges for itself."""
    with pytest.raises(ConstraintViolated) as refusal:
        controlled.change(
            "INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,"
            " balance_after_units, reason, reference_id, actor_id, occurred_at, witness_due)"
            " SELECT organization_id, gen_random_uuid(), ward_id, drug_id, lot_id, 2, -1, 19, 'waste',"
            " gen_random_uuid(), actor_id, now(), false FROM stock_movements"
        )
    assert refusal.value.members == {"constraint": "ck_stock_movements_witness_when_due"}


# By policy


def _receive(hospital: Hospital, witness_id: UUID | None) -> object:
    return hospital.receive(5, lot="NEW", witness_id=witness_id)


def _deliver(hospital: Hospital, witness_id: UUID | None) -> object:
    pharmacist, expires_on = hospital.staff["pharmacist"], now().date().replace(year=2100)
    other = hospital.add_drug()
    lines = [Delivered(drug_id, "NEW", expires_on, 5) for drug_id in (hospital.drug_id, other)]
    shelves = [Shelf(hospital.organization_id, hospital.ward_id, line.drug_id) for line in lines]
    where = {"actor": pharmacist, "ward_id": hospital.ward_id, "lines": lines, "witness": witness_of(witness_id)}
    return day.act(
        hospital, shelves, lambda session: receipts.receive_delivery(session, now=now(), **where), pharmacist
    )


def _dispatch(hospital: Hospital, witness_id: UUID | None) -> object:
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 2)
    return day.dispatch(hospital, transfer_id, witness_id=witness_id)


def _accept(hospital: Hospital, witness_id: UUID | None) -> object:
    transfer_id = day.request(hospital, hospital.ward_id, _destination(hospital), 2)
    day.dispatch(hospital, transfer_id, witness_id=hospital.nurse.user_id)
    return day.receive(hospital, transfer_id, witness_id=witness_id)


BY_POLICY: dict[str, Act] = {"receipt": _receive, "delivery": _deliver, "dispatch": _dispatch, "acceptance": _accept}


@pytest.fixture
def asking(controlled: Hospital) -> Hospital:
    """The same hospital, which asks for a witness of receipts and transfers."""
    controlled.change("UPDATE organizations SET custody_witness_required = true")
    return controlled


@pytest.mark.parametrize("name", BY_POLICY)
def test_without_the_policy_custody_passes_with_one_name(controlled: Hospital, name: str) -> None:
    if name == "acceptance":
        _destination(controlled)
    BY_POLICY[name](controlled, None)
    assert (None, False) in controlled.rows("SELECT witness_id, witness_due FROM stock_movements")


@pytest.mark.parametrize("name", BY_POLICY)
def test_with_the_policy_custody_takes_a_second_name(asking: Hospital, name: str) -> None:
    with pytest.raises(WitnessRequired):
        BY_POLICY[name](asking, None)
    with pytest.raises(WitnessRequired):
        BY_POLICY[name](asking, asking.staff["admin"].user_id)  # who works on no ward
    BY_POLICY[name](asking, asking.nurse.user_id)
    ((witness_id, due),) = asking.rows(
        "SELECT witness_id, witness_due FROM stock_movements WHERE drug_id = :p1 ORDER BY recorded_at DESC LIMIT 1",
        asking.drug_id,
    )
    assert (witness_id, due) == (asking.nurse.user_id, True)


@pytest.mark.parametrize("name", BY_POLICY)
def test_with_the_policy_the_database_refuses_one_name(
    asking: Hospital, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in (receipts, transfers):
        monkeypatch.setattr(module, "admit_custody_witness", lambda *_session, **_asked: None)
    with pytest.raises(ConstraintViolated) as refusal:
        BY_POLICY[name](asking, None)
    assert refusal.value.members == {"constraint": "ck_stock_movements_witness_when_due"}


@pytest.mark.parametrize("name", BY_POLICY)
def test_with_the_policy_an_uncontrolled_drug_passes(asking: Hospital, name: str) -> None:
    asking.drug_id = asking.add_drug()
    asking.receive(20, lot="PLAIN")
    BY_POLICY[name](asking, None)
