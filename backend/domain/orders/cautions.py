"""What a doctor must confirm before an order is placed: an allergy of the drug's name, an order of the same drug.

Decision: names are compared, nothing else. Because the formulary holds no classes of drugs, and a warning that pretends
to know them would be trusted. Cost: amoxicillin for a patient allergic to penicillin passes; the page says so.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import select

from backend.actor import Actor
from backend.db import Session, read
from backend.db.filters import same_hospital
from backend.db.typed import Kept, rows_as
from backend.domain.care_team.queries import on_team
from backend.domain.formulary.drugs import get_drug
from backend.domain.formulary.models import Drug
from backend.domain.identity.models import User
from backend.domain.orders.models import MedicationOrder, OrderStatus, Priority
from backend.domain.patients.admitting import get_patient
from backend.domain.patients.models import Patient

WORD_MIN = 4  # letters: shorter words are strengths, salts and "of"
ORDERS_MAX = 1_000  # active orders of one patient that are compared: more than one person has
REVIEWED_MAX = 5_000  # active orders that are compared with the orders of one page


class CautionKind(StrEnum):
    """What speaks against an order."""

    ALLERGY = "allergy"
    DUPLICATE = "duplicate"
    ORDERS_UNREAD = "orders_unread"


@dataclass(frozen=True, slots=True)
class ActiveOrder:
    """An order of a patient that is active: what a doctor compares a new one with."""

    id: UUID
    patient_id: UUID
    drug_id: UUID
    drug_name: str
    strength: str
    unit: str
    quantity_units: int
    dose_text: str | None
    route: str | None
    priority: Priority
    doses: int
    interval_minutes: int | None
    due_at: datetime
    prescriber_name: str


@dataclass(frozen=True, slots=True)
class Caution:
    """One thing to confirm, by its `key`: an allergy by its name, the order that is already active, or that the patient
    has more active orders than were compared."""

    key: str
    kind: CautionKind
    text: str
    allergy: str | None = None
    order: ActiveOrder | None = None


@dataclass(frozen=True, slots=True)
class Cautions:
    """What speaks against an order of a drug for a patient."""

    cautions: Annotated[list[Caution], Kept("the patient's allergies, and at most a thousand orders, are compared")]


@dataclass(frozen=True, slots=True)
class Review:
    """What a pharmacist weighs before an order is verified."""

    order_id: UUID
    prescriber_name: str
    prescriber_on_care_team: bool
    cautions: list[Caution]


@dataclass(frozen=True, slots=True)
class _Reviewed:
    order_id: UUID
    patient_id: UUID
    allergies: list[str]
    drug_id: UUID
    drug_name: str
    generic_name: str
    prescriber_name: str
    prescriber_on_care_team: bool


ORDERS_UNREAD = Caution(
    "orders unread", CautionKind.ORDERS_UNREAD, "Not all orders were compared: the patient may have one of this drug."
)


def find_cautions(session: Session, *, organization_id: UUID, patient_id: UUID, drug_id: UUID) -> Cautions:
    """Find what speaks against the drug for the patient. Raises PatientNotFound, DrugNotFound."""
    patient = get_patient(session, organization_id=organization_id, patient_id=patient_id)
    drug = get_drug(session, organization_id=organization_id, drug_id=drug_id)
    active, more = _active_orders(session, organization_id, [patient_id], ORDERS_MAX)
    found = list(_cautions_of(patient.allergies, drug.id, (drug.name, drug.generic_name), active))
    return Cautions(found + [ORDERS_UNREAD] * more)


@read()
def review_orders(session: Session, *, actor: Actor, order_ids: Collection[UUID]) -> dict[UUID, Review]:
    """Read who prescribed each order, and what else speaks against it, by the order's id, in two statements.

    `order_ids` are those of one page; what is not there is left out.
    """
    reviewed = _reviewed(session, actor.organization_id, order_ids)
    patients = {order.patient_id for order in reviewed}
    active, more = _active_orders(session, actor.organization_id, patients, REVIEWED_MAX)
    by_patient: dict[UUID, list[ActiveOrder]] = {}
    for other in active:
        by_patient.setdefault(other.patient_id, []).append(other)
    reviews = {}
    for order in reviewed:
        others = [other for other in by_patient.get(order.patient_id, []) if other.id != order.order_id]
        found = list(_cautions_of(order.allergies, order.drug_id, (order.drug_name, order.generic_name), others))
        found += [ORDERS_UNREAD] * more
        reviews[order.order_id] = Review(order.order_id, order.prescriber_name, order.prescriber_on_care_team, found)
    return reviews


def _reviewed(session: Session, organization_id: UUID, order_ids: Collection[UUID]) -> list[_Reviewed]:
    order = MedicationOrder
    rows = (
        select(
            order.id.label("order_id"),
            order.patient_id,
            Patient.allergies,
            order.drug_id,
            Drug.name.label("drug_name"),
            Drug.generic_name,
            User.name.label("prescriber_name"),
            on_team(order.organization_id, order.patient_id, order.prescriber_id).label("prescriber_on_care_team"),
        )
        .join(Patient, same_hospital(Patient, by=order.patient_id))
        .join(Drug, same_hospital(Drug, by=order.drug_id))
        .join(User, same_hospital(User, by=order.prescriber_id))
        .where(order.organization_id == organization_id, order.id.in_(order_ids))
    )
    return rows_as(_Reviewed, session.execute(rows))


def _active_orders(
    session: Session, organization_id: UUID, patient_ids: Collection[UUID], most: int
) -> tuple[list[ActiveOrder], bool]:
    """At most `most` active orders of the patients, newest first, and whether there are more."""
    order = MedicationOrder
    columns: list[Any] = [
        order.id,
        order.patient_id,
        order.drug_id,
        Drug.name.label("drug_name"),
        Drug.strength,
        Drug.unit,
        order.units_per_dose.label("quantity_units"),
        order.dose_text,
        order.route,
        order.priority,
        order.doses,
        order.interval_minutes,
        order.due_at,
        User.name.label("prescriber_name"),
    ]
    rows = (
        select(*columns)
        .join(Drug, same_hospital(Drug, by=order.drug_id))
        .join(User, same_hospital(User, by=order.prescriber_id))
        .where(order.organization_id == organization_id, order.patient_id.in_(patient_ids))
        .where(order.status == OrderStatus.ACTIVE)
        .order_by(order.created_at.desc(), order.id.desc())
        .limit(most + 1)
    )
    found = rows_as(ActiveOrder, session.execute(rows))
    return found[:most], len(found) > most


def _cautions_of(
    allergies: Iterable[str], drug_id: UUID, names: tuple[str, str], active: Iterable[ActiveOrder]
) -> Iterator[Caution]:
    """What speaks against the drug of the `names`, its own and the generic one: allergies, then active orders of it.

    An order of another strength or form counts: it is the same drug where its id or its name is.
    """
    for allergy in allergies:
        if any(names_match(allergy, name) for name in names):
            text = f"The patient is allergic to {allergy}."
            yield Caution(f"allergy {allergy}", CautionKind.ALLERGY, text, allergy=allergy)
    for order in active:
        if order.drug_id == drug_id or order.drug_name.casefold() == names[0].casefold():
            text = f"Another order of {order.drug_name} {order.strength} is active."
            yield Caution(f"order {order.id}", CautionKind.DUPLICATE, text, order=order)


def names_match(one: str, other: str) -> bool:
    """Whether a word of one begins a word of the other: Sulfa and Sulfamethoxazole, PENICILLIN and penicillins."""
    return any(a.startswith(b) or b.startswith(a) for a in _words(one) for b in _words(other))


def _words(name: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]+", name.casefold()) if len(word) >= WORD_MIN]
