"""A hospital in which anything may be done: every act around a fulfilment, on whatever lies there just then.

An act takes two whole numbers and picks with them what it acts on, so that the same numbers do the same thing to the
same hospital. It ends done or refused; nothing else may happen, whatever else is done at the same moment.
"""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

from backend.actor import Role
from backend.db import Database
from backend.db.transaction import ConstraintViolated
from backend.domain.administrations.models import Outcome, RemainderKind
from backend.domain.administrations.rounds import FULFILLED, Round, fulfil_round, shelves_of
from backend.domain.care_team.assigning import Outgoing
from backend.domain.care_team.models import CareRole
from backend.domain.custody.counting import Counted
from backend.domain.custody.models import Resolution
from backend.domain.custody.transfers import Arrived, Wanted
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import LotStatus, MovementReason
from backend.errors import DomainError
from tests import day
from tests.hospital import Hospital, open_hospital, witness_of

UNITS_MAX = 9
STANDS = "entered_in_error_at IS NULL"


class World:
    """Two wards and two drugs, one of them controlled; `done` counts what succeeded, `refused` why it did not."""

    def __init__(self, database: Database) -> None:
        hospital = open_hospital(database, dose_window_minutes=720)
        self.hospital = hospital
        wards = [hospital.ward_id, hospital.add_ward("2 South")]
        drugs = [hospital.drug_id, hospital.add_drug("Morphine", controlled_schedule=2)]
        self.shelves = [Shelf(hospital.organization_id, ward, drug) for ward in wards for drug in drugs]
        hospital.staff["nurse"] = hospital.add_staff("float", Role.NURSE, tuple(wards))
        self.witness = hospital.add_staff("witness", Role.NURSE, tuple(wards)).user_id
        day.second_pharmacist(hospital)
        self.doctors = [hospital.add_staff(login, Role.DOCTOR).user_id for login in ("ada", "ben", "eva")]
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def act(self, name: str, pick: int, units: int) -> None:
        """Does it, or is refused."""
        try:
            ACTS[name](self, pick, units)
        except ConstraintViolated:
            raise  # what only the database refuses, the use case should have
        except DomainError as refusal:
            self.refused[f"{name}: {refusal.code}"] += 1
        else:
            self.done[name] += 1

    def shelf(self, pick: int) -> Shelf:
        """One of the shelves."""
        return self.shelves[pick % len(self.shelves)]

    def one(self, table: str, pick: int, where: str = "true") -> UUID:
        """A row's id. Raises Nothing where there is none."""
        found = self.hospital.rows(f"SELECT id FROM {table} WHERE {where} ORDER BY id")
        if not found:
            raise Nothing()
        return UUID(str(found[pick % len(found)][0]))


class Nothing(DomainError):
    """There is nothing to act on."""

    code = "nothing"


def receive(world: World, pick: int, units: int) -> None:
    """A delivery of one of two lots of each drug."""
    world.hospital.receive(units, lot=f"L{pick // len(world.shelves) % 2}", shelf=world.shelf(pick))


def place(world: World, pick: int, units: int) -> None:
    """An order of up to three doses, all due by now."""
    world.hospital.place(units=1 + units % 3, doses=1 + pick % 3, shelf=world.shelf(pick))


def fulfil(world: World, pick: int, units: int) -> None:
    """The next dose of an order, with a witness."""
    hospital = world.hospital
    order_id = world.one("medication_orders", pick, "status = 'active'" if units > 1 else "true")
    wanted = {"organization_id": hospital.organization_id, "order_ids": [order_id]}
    shelf = day.look(hospital, lambda session: shelves_of(session, **wanted))[order_id]
    hospital.fulfil(order_id, dose=_next_dose(hospital, order_id), shelf=shelf, witness_id=world.witness)


def _next_dose(hospital: Hospital, order_id: UUID) -> int:
    ((dose,),) = hospital.rows("SELECT least(doses_given + 1, doses) FROM medication_orders WHERE id = :p1", order_id)
    return int(dose)


def go_round(world: World, pick: int, units: int) -> None:
    """Several orders in one transaction; a result for each."""
    hospital = world.hospital
    order_ids = list({world.one("medication_orders", pick + step) for step in range(units)})
    wanted = {"organization_id": hospital.organization_id, "order_ids": order_ids}
    shelves = day.look(hospital, lambda session: shelves_of(session, **wanted))
    asked = Round(hospital.nurse, order_ids, {}, set(shelves.values()), witness_of(world.witness))
    results = day.act(hospital, list(shelves.values()), lambda session: fulfil_round(session, asked), hospital.nurse)
    world.done["dose of a round"] += sum(result["outcome"] == FULFILLED for result in results)


def skip(world: World, pick: int, units: int) -> None:
    """A dose that is not given."""
    hospital = world.hospital
    order_id = world.one("medication_orders", pick, "status = 'active'")
    wanted = {"organization_id": hospital.organization_id, "order_ids": [order_id]}
    shelf = day.look(hospital, lambda session: shelves_of(session, **wanted))[order_id]
    day.skip(hospital, order_id, list(Outcome)[1 + units % 3], dose=_next_dose(hospital, order_id), shelf=shelf)


def mark_in_error(world: World, pick: int, units: int) -> None:
    """An entry that should not have been made; one was already marked where `units` is 1."""
    dose = world.one("medication_administrations", pick, STANDS if units > 1 else "true")
    day.mark_in_error(world.hospital, dose, witness_id=world.witness)


def leave(world: World, pick: int, units: int) -> None:
    """Units of a dose, wasted or returned: more than it had is refused."""
    dose = world.one("medication_administrations", pick, "outcome = 'given'")
    kind = list(RemainderKind)[pick % 2]
    day.leave(world.hospital, dose, 1 + units % 3, kind, witness_id=world.witness)


def adjust(world: World, pick: int, units: int) -> None:
    """Waste, loss or a unit more."""
    reason = (MovementReason.WASTE, MovementReason.LOSS)[pick % 2]
    day.adjust(world.hospital, -units, reason, shelf=world.shelf(pick), witness_id=world.witness)


def correct(world: World, pick: int, _units: int) -> None:
    """Undoes a movement that may be undone, once."""
    found = world.hospital.rows("SELECT id, ward_id, drug_id FROM stock_movements ORDER BY id")
    if not found:
        raise Nothing()
    movement_id, ward_id, drug_id = found[pick % len(found)]
    day.correct(
        world.hospital,
        movement_id,
        shelf=Shelf(world.hospital.organization_id, ward_id, drug_id),
        witness_id=world.witness,
    )


def change_lot(world: World, pick: int, units: int) -> None:
    """Held, recalled or free again."""
    status = (LotStatus.ON_HOLD, LotStatus.AVAILABLE, LotStatus.AVAILABLE, LotStatus.RECALLED)[units % 4]
    day.change_lot(world.hospital, world.one("lots", pick), status)


def request(world: World, pick: int, units: int) -> None:
    """Units of a drug, or of both, from one ward to the other."""
    source = world.shelf(pick)
    there = next(shelf for shelf in world.shelves if shelf.ward_id != source.ward_id)
    more = [Wanted(one.drug_id, 1) for one in world.shelves[:2] if one.drug_id != source.drug_id and units % 2]
    day.request(world.hospital, source.ward_id, there.ward_id, units, source.drug_id, more=more)


def dispatch(world: World, pick: int, units: int) -> None:
    """All of it, or a unit of its drug."""
    transfer_id = world.one("stock_transfers", pick, "status = 'requested'" if units > 1 else "true")
    rows = world.hospital.rows("SELECT drug_id FROM stock_transfer_lines WHERE transfer_id = :p1", transfer_id)
    day.dispatch(world.hospital, transfer_id, {drug_id: 1 for (drug_id,) in rows} if units == 2 else None)


def arrive(world: World, pick: int, units: int) -> None:
    """All of it, or of each lot some."""
    transfer_id = world.one("stock_transfers", pick, "status = 'dispatched'" if units > 1 else "true")
    rows = world.hospital.rows(
        "SELECT n.drug_id, p.dispatched_units, p.lot_id FROM stock_transfer_lots p"
        " JOIN stock_transfer_lines n ON n.id = p.line_id WHERE n.transfer_id = :p1 ORDER BY p.id",
        transfer_id,
    )
    short = [Arrived(drug_id, min(sent, units - 2), lot_id) for drug_id, sent, lot_id in rows] if units > 1 else []
    day.receive(world.hospital, transfer_id, short if units < UNITS_MAX else None)


def cancel_transfer(world: World, pick: int, _units: int) -> None:
    """Before it is dispatched."""
    day.cancel_transfer(world.hospital, world.one("stock_transfers", pick))


def open_count(world: World, pick: int, units: int) -> None:
    """Of a ward, of everything or of controlled drugs."""
    day.open_count(world.hospital, world.shelf(pick).ward_id, controlled=units % 3 == 0)


def record_count(world: World, pick: int, units: int) -> None:
    """What somebody found of every lot: what is there, but of one something else."""
    hospital = world.hospital
    count_id = world.one("stock_counts", pick, "status = 'open'")
    lines = hospital.rows(
        "SELECT n.lot_id, coalesce(p.quantity_units, 0) FROM stock_count_lines n"
        " JOIN stock_counts c ON c.id = n.count_id"
        " LEFT JOIN stock_lots p ON p.lot_id = n.lot_id AND p.ward_id = c.ward_id WHERE c.id = :p1 ORDER BY n.id",
        count_id,
    )
    there = [Counted(lot_id, int(quantity_units)) for lot_id, quantity_units in lines]
    if there and units > 3:
        odd = pick % len(there)
        there[odd] = Counted(there[odd].lot_id, units)
    day.record_count(hospital, count_id, *there)


def complete_count(world: World, pick: int, _units: int) -> None:
    """Whose differences become discrepancies."""
    day.complete_count(world.hospital, world.one("stock_counts", pick, "status = 'open'"))


def cancel_count(world: World, pick: int, _units: int) -> None:
    """Which then found nothing."""
    day.cancel_count(world.hospital, world.one("stock_counts", pick, "status = 'open'"))


def resolve(world: World, pick: int, units: int) -> None:
    """A discrepancy ends, the right way or one that is refused."""
    found = world.one("discrepancies", pick, "status <> 'resolved'" if units > 1 else "true")
    day.resolve(world.hospital, found, list(Resolution)[units % len(Resolution)], witness_id=world.witness)


def join_team(world: World, pick: int, units: int) -> None:
    """A doctor is to care for the patient, as PRIMARY or in another role."""
    hospital, roles = world.hospital, list(CareRole)
    doctor, role = world.doctors[pick % len(world.doctors)], roles[units % len(roles)]
    day.assign(hospital, hospital.patient_id, doctor, role)


def change_primary(world: World, pick: int, units: int) -> None:
    """A doctor takes over, the one before stays or leaves."""
    doctor = world.doctors[pick % len(world.doctors)]
    day.change_primary(world.hospital, world.hospital.patient_id, doctor, list(Outgoing)[units % len(Outgoing)])


def leave_team(world: World, pick: int, units: int) -> None:
    """A doctor leaves the team, or has left it already."""
    assignment_id = world.one("care_team_assignments", pick, "removed_at IS NULL" if units > 1 else "true")
    day.remove(world.hospital, world.hospital.patient_id, assignment_id)


def refresh_alerts(world: World, _pick: int, _units: int) -> None:
    """Opens and clears alerts."""
    day.refresh_alerts(world.hospital)


ACTS: dict[str, Callable[[World, int, int], None]] = {
    act.__name__: act
    for act in (
        receive,
        place,
        fulfil,
        go_round,
        skip,
        mark_in_error,
        leave,
        adjust,
        correct,
        change_lot,
        request,
        dispatch,
        arrive,
        cancel_transfer,
        open_count,
        record_count,
        complete_count,
        cancel_count,
        resolve,
        join_team,
        change_primary,
        leave_team,
        refresh_alerts,
    )
}
