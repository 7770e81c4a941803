"""A day of the sample hospitals around their orders: what fills the pages of a pharmacist's desk.

Transfers in every state, one of them short and one too long under way; a count with a difference and one that is open;
a lot on hold and one recalled; doses refused, mistaken and partly wasted; an override to review; alerts.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from backend.actor import Actor
from backend.db import Session
from backend.domain.administrations import errors_in_entry, remainders, skipping
from backend.domain.administrations.models import Outcome, RemainderKind
from backend.domain.alerts import evaluating
from backend.domain.custody import counting, transfer_queries, transfers
from backend.domain.custody.counting import Counted
from backend.domain.custody.transfers import Arrived, Wanted
from backend.domain.identity.witnesses import Witness
from backend.domain.orders import overrides
from backend.domain.organizations.hospitals import get_organization
from backend.domain.stock import adjustments, ledger, lots
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import LotStatus, MovementReason
from backend.domain.stock.picking import LotOnShelf
from backend.operations.demo.formulary import MEDICINES, Medicine
from backend.operations.demo.people import PHARMACY, WARDS
from backend.operations.demo.site import Hospital

BY_NAME = {medicine.name: medicine for medicine in MEDICINES}
FIRST, SECOND = WARDS[0], WARDS[1]
OVERRIDABLE = ("Norepinephrine", "Insulin lispro")


def play_a_day(hospital: Hospital) -> None:
    """Everything above, in a hospital that has stock, patients and orders."""
    _send_transfers(hospital)
    _waste_a_broken_ampoule(hospital)
    _keep_lots_back(hospital)
    _count_a_ward(hospital)
    _record_doses(hospital)
    _override(hospital)
    hospital.run(
        lambda session: evaluating.refresh(session, organization_id=hospital.organization_id, now=hospital.now)
    )


def _request(hospital: Hospital, ward: str, names: Sequence[str], units: int, when: datetime) -> UUID:
    wanted = transfers.request_transfer.bind(
        actor=hospital.staff["nurse"],
        source_ward_id=hospital.wards[PHARMACY],
        destination_ward_id=hospital.wards[ward],
        lines=[Wanted(hospital.drugs[BY_NAME[name]], units) for name in names],
        at=when,
    )
    return hospital.database.change(wanted).id


def _dispatch(hospital: Hospital, transfer_id: UUID, when: datetime) -> None:
    pharmacist = hospital.staff["pharmacist"]
    hospital.database.change(transfers.dispatch.bind(actor=pharmacist, transfer_id=transfer_id, at=when))


def _receive(hospital: Hospital, transfer_id: UUID, when: datetime, *, missing_units: int = 0) -> None:
    """All of it, but for `missing_units` of its first lot."""
    nurse, database = hospital.staff["nurse"], hospital.database
    sent = database.read(transfer_queries.get_transfer.bind(actor=nurse, transfer_id=transfer_id))
    arrived = [Arrived(line.drug_id, lot.dispatched_units, lot.lot_id) for line in sent.lines for lot in line.lots]
    first = arrived[0]
    arrived[0] = Arrived(first.drug_id, first.quantity_units - missing_units, first.lot_id)
    database.change(transfers.receive_transfer.bind(actor=nurse, transfer_id=transfer_id, arrived=arrived, at=when))


def _send_transfers(hospital: Hospital) -> None:
    now, hour = hospital.now, timedelta(hours=1)
    _request(hospital, SECOND, ("Ibuprofen", "Pantoprazole"), 60, now - hour)
    received = _request(hospital, FIRST, ("Paracetamol", "Ondansetron"), 100, now - 9 * hour)
    short = _request(hospital, FIRST, ("Ceftriaxone",), 40, now - 8 * hour)
    under_way = _request(hospital, SECOND, ("Amoxicillin", "Metformin"), 50, now - 3 * hour)
    too_long = _request(hospital, SECOND, ("Sertraline",), 30, now - 40 * hour)
    _dispatch(hospital, too_long, now - 38 * hour)
    for transfer_id in (received, short, under_way):
        _dispatch(hospital, transfer_id, now - 2 * hour)
    _receive(hospital, received, now - hour)
    _receive(hospital, short, now - hour, missing_units=2)


def _waste_a_broken_ampoule(hospital: Hospital) -> None:
    pharmacist, shelf = hospital.staff["pharmacist"], hospital.shelf(FIRST, BY_NAME["Morphine"])
    hospital.act(
        [shelf],
        lambda session: adjustments.adjust(
            session,
            actor=pharmacist,
            shelf=shelf,
            units=-1,
            reason=MovementReason.WASTE,
            lot_id=None,
            note="Ampoule broken",
            witness=_witness(hospital, "nurse"),
            now=hospital.now - timedelta(hours=5),
        ),
        pharmacist,
    )


def _witness(hospital: Hospital, login: str) -> Witness:
    user_id = hospital.staff[login].user_id
    assert user_id is not None  # noqa: S101 - staff have one
    return Witness(user_id)


def _lots(hospital: Hospital, shelf: Shelf) -> list[LotOnShelf]:
    """The lots of a shelf and what is left of each, first expiring first."""
    return hospital.run(lambda session: ledger.lock_lots(session, shelf, today=date.max))


def _keep_lots_back(hospital: Hospital) -> None:
    """The last lot to expire of one drug on hold, of another recalled."""
    reasons = {
        "Vancomycin": (LotStatus.ON_HOLD, "Cold chain broken on delivery, under inquiry"),
        "Metoclopramide": (LotStatus.RECALLED, "Manufacturer's recall: glass particles"),
    }
    for name, (status, reason) in reasons.items():
        lot_id = _lots(hospital, hospital.shelf(SECOND, BY_NAME[name]))[-1].lot_id
        _keep_back(hospital, lot_id, status, reason)


def _keep_back(hospital: Hospital, lot_id: UUID, status: LotStatus, reason: str) -> None:
    pharmacist, organization_id = hospital.staff["pharmacist"], hospital.organization_id
    shelves = hospital.read(lambda session: lots.shelves_of(session, organization_id=organization_id, lot_id=lot_id))
    hospital.act(
        shelves,
        lambda session: lots.change_status(
            session, actor=pharmacist, lot_id=lot_id, status=status, reason=reason, now=hospital.now
        ),
        pharmacist,
    )


def _count_a_ward(hospital: Hospital) -> None:
    """The controlled drugs of one ward, a tablet short; and a count of another ward that has just begun."""
    pharmacist, now = hospital.staff["pharmacist"], hospital.now
    names = [medicine for medicine in MEDICINES if medicine.schedule is not None]
    begun = now - timedelta(hours=2)

    def open_count(ward: str, when: datetime) -> UUID:
        return hospital.run(
            lambda session: counting.open_count(
                session, actor=pharmacist, ward_id=hospital.wards[ward], drug_ids=None, controlled=True, now=when
            ),
            pharmacist,
        )

    count_id = open_count(FIRST, begun)
    for number, medicine in enumerate(names):
        shelf = hospital.shelf(FIRST, medicine)
        found = [Counted(lot.lot_id, lot.quantity_units) for lot in _lots(hospital, shelf)]
        if number == 0:
            found[0] = Counted(found[0].lot_id, found[0].counted_units - 1)
        hospital.act([shelf], _recorded(pharmacist, count_id, found, now), pharmacist)
    hospital.run(lambda session: counting.complete(session, actor=pharmacist, count_id=count_id, now=now), pharmacist)
    open_count(SECOND, now)


def _recorded(actor: Actor, count_id: UUID, found: Sequence[Counted], now: datetime) -> Callable[[Session], None]:
    return lambda session: counting.record(session, actor=actor, count_id=count_id, lines=found, now=now)


def _order(hospital: Hospital, ward: str, medicine: Medicine, *, doses: int = 1, verified: bool = True) -> UUID:
    """An order that is due now, for the first patient of the ward."""
    due = hospital.now
    return hospital.order(
        hospital.shelf(ward, medicine),
        medicine,
        doctor=hospital.staff["doctor"],
        patient_id=next(patient for patient, where in hospital.patients.items() if where == ward),
        units=2,
        doses=doses,
        interval_minutes=360 if doses > 1 else None,
        first_due_at=due,
        now=due - timedelta(hours=3),
        verified_at=due - timedelta(hours=2) if verified else None,
    )


def _give(hospital: Hospital, order_id: UUID, shelf: Shelf, *, reason: str | None = None) -> UUID:
    """The dose that the nurse gives, the pharmacist being witness."""
    return hospital.give(
        order_id,
        shelf,
        nurse=hospital.staff["nurse"],
        witness=_witness(hospital, "pharmacist"),
        override_reason=reason,
        given_at=hospital.now,
    )


def _record_doses(hospital: Hospital) -> None:
    """A dose refused, one entered for the wrong patient, one of which a unit was wasted before a witness."""
    nurse, now = hospital.staff["nurse"], hospital.now
    shelf = hospital.shelf(FIRST, BY_NAME["Paracetamol"])
    refused = _order(hospital, FIRST, BY_NAME["Paracetamol"], doses=4)
    hospital.act(
        [shelf],
        lambda session: skipping.skip(
            session,
            actor=nurse,
            order_id=refused,
            shelf=shelf,
            dose=1,
            outcome=Outcome.REFUSED,
            note="Nauseous",
            now=now,
        ),
        nurse,
    )
    mistaken = _give(hospital, _order(hospital, FIRST, BY_NAME["Paracetamol"]), shelf)
    hospital.act(
        [shelf],
        lambda session: errors_in_entry.mark_entered_in_error(
            session,
            actor=nurse,
            shelf=shelf,
            administration_id=mistaken,
            reason="Wrong patient",
            witness=None,
            now=now,
        ),
        nurse,
    )
    shelf_of_morphine = hospital.shelf(FIRST, BY_NAME["Morphine"])
    partly = _give(hospital, _order(hospital, FIRST, BY_NAME["Morphine"]), shelf_of_morphine)
    hospital.act(
        [shelf_of_morphine],
        lambda session: remainders.record_remainder(
            session,
            actor=nurse,
            shelf=shelf_of_morphine,
            administration_id=partly,
            kind=RemainderKind.WASTE,
            units=1,
            lot_id=None,
            reason="Half the dose sufficed",
            witness=_witness(hospital, "pharmacist"),
            now=now,
        ),
        nurse,
    )


def _override(hospital: Hospital) -> None:
    """The override lists; where orders must be verified, one dose given without, for a pharmacist to review."""
    organization_id = hospital.organization_id
    for ward in WARDS:
        for name in OVERRIDABLE:
            listed = {"ward_id": hospital.wards[ward], "drug_id": hospital.drugs[BY_NAME[name]]}
            hospital.run(
                lambda session, listed=listed: overrides.list_drug(  # type: ignore[misc]
                    session, organization_id=organization_id, **listed
                )
            )
    policies = hospital.read(lambda session: get_organization(session, organization_id=organization_id))
    if policies.verification_required:
        medicine = BY_NAME["Norepinephrine"]
        order_id = _order(hospital, FIRST, medicine, verified=False)
        _give(hospital, order_id, hospital.shelf(FIRST, medicine), reason="Septic shock, pressure falling")
