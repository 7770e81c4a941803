"""Patients: admitting and finding them."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select

from backend.db import Rows, Session, new_id
from backend.db.filters import equal, same_hospital
from backend.db.paging import Page, PageRequest
from backend.db.searching import named_page
from backend.domain.organizations.models import Ward
from backend.domain.organizations.wards import get_ward
from backend.domain.patients.models import Patient
from backend.errors import Conflict, NotFound


class PatientNotFound(NotFound):
    """There is no such patient in your organization."""


class MrnTaken(Conflict):
    """Another patient of your organization has this medical record number."""


def add_patient(session: Session, *, organization_id: UUID, ward_id: UUID | None, **values: Any) -> UUID:
    """A new patient. Raises MrnTaken, WardNotFound."""
    same = select(Patient.id).where(Patient.organization_id == organization_id, Patient.mrn == values["mrn"])
    if session.execute(same).first() is not None:
        raise MrnTaken()
    if ward_id is not None:
        get_ward(session, organization_id=organization_id, ward_id=ward_id)
    patient_id = new_id()
    session.execute(insert(Patient).values(organization_id=organization_id, id=patient_id, ward_id=ward_id, **values))
    return patient_id


def _patients(organization_id: UUID) -> Rows:
    ward = same_hospital(Ward, by=Patient.ward_id)
    return (
        select(
            Patient.id,
            Patient.name,
            Patient.mrn,
            Patient.date_of_birth,
            Patient.ward_id,
            Ward.name.label("ward_name"),
            Patient.bed,
            Patient.allergies,
        )
        .outerjoin(Ward, ward)
        .where(Patient.organization_id == organization_id)
    )


def get_patient(session: Session, *, organization_id: UUID, patient_id: UUID) -> Row[Any]:
    """One patient. Raises PatientNotFound."""
    row = session.execute(_patients(organization_id).where(Patient.id == patient_id)).one_or_none()
    if row is None:
        raise PatientNotFound()
    return row


def list_patients(
    session: Session, *, organization_id: UUID, ward_id: UUID | None, q: str | None, page: PageRequest
) -> Page:
    """Patients by name, of one ward where given; `q` is a name or a medical record number."""
    rows = _patients(organization_id).where(*equal(Patient, ward_id=ward_id))
    if q and page.after is None:
        same = session.execute(rows.where(Patient.mrn == q)).all()
        if same:
            return Page(same, None)
    if page.after is not None:
        mode, last_id = page.after
        name_key = _name_key(session, organization_id, last_id)
        if name_key is None:
            return Page((), None)
        page = replace(page, after=(mode, name_key, last_id))
    found = named_page(
        session,
        rows,
        name_key=Patient.name_key,
        row_id=Patient.id,
        searched=[Patient.name_key],
        q=q,
        page=page,
    )
    if found.next_key is None:
        return found
    mode, _, last_id = found.next_key
    return Page(found.items, (mode, last_id))


def _name_key(session: Session, organization_id: UUID, patient_id: UUID) -> str | None:
    """The name that the key of a page needs besides the id (db/searching.py). Keys travel in URLs, where no patient is
    named, so it is looked up again. None where the organization has no such patient, after whom nobody comes."""
    known = select(Patient.name_key).where(Patient.organization_id == organization_id, Patient.id == patient_id)
    return session.execute(known).scalar_one_or_none()
