"""Patients and their orders, batch by batch: a batch makes some patients and all orders of theirs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from backend.db import new_id
from backend.operations.seeding.formulary import Medicine, medicines
from backend.operations.seeding.loading import Loader, Row
from backend.operations.seeding.people import allergies, bed, birthday, patient_name
from backend.operations.seeding.plan import Plan, slices

ORDERS_PER_BATCH = 20_000
VERIFIED_AFTER = timedelta(minutes=5)
DUE_WITHIN = timedelta(hours=12)  # from an hour ago
PRIORITIES = ("stat", *("routine",) * 17, *("prn",) * 2)

_PATIENT = ("id", "name", "mrn", "date_of_birth", "ward_id", "bed", "allergies")
_ORDER = (
    *("id", "patient_id", "drug_id", "ward_id", "prescriber_id", "units_per_dose", "dose_text", "route", "priority"),
    *("first_due_at", "due_at", "verified_by_id", "verified_at", "created_at"),
)


Patients = Mapping[tuple[int, int], UUID]  # by place and ward


def admit(loader: Loader, plan: Plan, report: Callable[[int], None]) -> tuple[int, Patients]:
    """Adds the patients of every ward and their orders; how many patients, and those of the first batch.

    `report` gets the orders done so far.
    """
    catalogue = tuple(medicines(len(plan.drugs)))
    done = patients = 0
    first: Patients = {}
    for admissions in slices(plan.admissions, max(1, ORDERS_PER_BATCH // plan.orders_per_bed)):
        ids = {(place, ward): new_id() for place in admissions for ward in range(len(plan.wards))}
        first = first or ids
        last = min(plan.orders, admissions.stop * plan.orders_per_bed)
        with loader.batch() as batch:
            patients += batch.insert("patients", _PATIENT, _patients(plan, ids))
            batch.insert("medication_orders", _ORDER, _orders(plan, catalogue, ids, range(done, last)))
        done = last
        report(done)
    return patients, first


def _patients(plan: Plan, ids: Patients) -> Iterator[Row]:
    for (place, ward), patient_id in ids.items():
        number = place * len(plan.wards) + ward
        yield (
            *(patient_id, patient_name(number), f"{number + 1:08d}", birthday(number)),
            *(plan.wards[ward], bed(place), allergies(number)),
        )


def _orders(plan: Plan, catalogue: Sequence[Medicine], patients: Patients, numbers: range) -> Iterator[Row]:
    wards, drugs, staff = plan.wards, plan.drugs, plan.staff
    for number in numbers:
        column, ward = divmod(number, len(wards))
        drug = column % len(drugs)
        units = plan.units_per_dose(drug)
        medicine = catalogue[drug]
        dose_text = f"{units} {medicine.unit}{'s' if units > 1 else ''}"
        priority = PRIORITIES[number % len(PRIORITIES)]
        placed_at = plan.placed_at(number)
        due_at = plan.now - timedelta(hours=1) + DUE_WITHIN * (number * 7 % 720) / 720
        yield (
            *(new_id(), patients[number // plan.orders_per_bed, ward], drugs[drug], wards[ward], staff.doctor),
            *(units, dose_text, medicine.route, priority, due_at, due_at),
            *(staff.pharmacist, placed_at + VERIFIED_AFTER, placed_at),
        )
