"""Patients.

Decision: what finds a patient can be sent in a body as well as in a query (as FHIR's `_search`). Because a URL stays in
histories and in the logs of whatever lies between, and a name or a medical record number does not belong there. Cost:
two operations with one answer.
"""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.organizations.wards import WardNotFound
from backend.domain.patients import admitting
from backend.domain.patients.admitting import MrnTaken, PatientNotFound
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Day, Id, Line, PageBody, PageQuery, Search, Several, Whole

resource = Resource("patients")


class PatientIn(Body):
    """A new patient."""

    name = Line(required=True)
    mrn = Line(required=True, length=64)
    date_of_birth = Day(required=True)
    ward_id = Id(allow_none=True, load_default=None)
    bed = Line(length=32, allow_none=True)
    allergies = Several(Line(length=100), most=50)


class PatientOut(Body):
    """A patient."""

    id = fields.UUID()
    name = fields.String()
    mrn = fields.String()
    date_of_birth = fields.Date()
    ward_id = fields.UUID(allow_none=True)
    ward_name = fields.String(allow_none=True)
    bed = fields.String(allow_none=True)
    allergies = Whole(fields.String(), because="what stands in the patient's record")


class PatientFilter(Body):
    """Which patients."""

    q = Search(length=100)
    ward_id = Id()


class PatientQuery(PageQuery, PatientFilter):
    """Which patients, in a query."""


class PatientSearch(PageBody, PatientFilter):
    """Which patients, in a body."""


@resource.get("/patients", "Patients by name", query=PatientQuery(), answer=PatientOut(), page=cursors.BY_NAME_OF_ROW)
def list_patients(session: Session, call: Call) -> Any:
    """Patients whose name begins with `q`, else contains it; or the one with this MRN.

    URLs are logged on the way and kept in histories: to search for a person, use POST /patients/search.
    """
    return _found(session, call, call.query)


@resource.post(
    "/patients/search",
    "Patients by name, asked for in the body",
    body=PatientSearch(),
    answer=PatientOut(),
    page=cursors.BY_NAME_OF_ROW,
    changes=False,
)
def search_patients(session: Session, call: Call) -> Any:
    """What GET /patients answers, with nothing of a person in the URL. It changes nothing and takes no key."""
    return _found(session, call, call.body)


def _found(session: Session, call: Call, asked: dict[str, Any]) -> Any:
    wanted = {name: asked.get(name) for name in ("ward_id", "q")}
    return admitting.list_patients(session, organization_id=call.organization_id, page=call.page, **wanted)


@resource.post(
    "/patients",
    "Admit a patient",
    body=PatientIn(),
    answer=PatientOut(),
    status=201,
    roles=frozenset({Role.ADMIN}),
    raises=(MrnTaken, WardNotFound),
)
def add_patient(session: Session, call: Call) -> Any:
    """A new patient."""
    patient_id = admitting.add_patient(session, organization_id=call.organization_id, **call.body)
    return admitting.get_patient(session, organization_id=call.organization_id, patient_id=patient_id)


@resource.get("/patients/<uuid:patient_id>", "One patient", answer=PatientOut(), raises=(PatientNotFound,))
def read_patient(session: Session, call: Call) -> Any:
    """One patient."""
    return admitting.get_patient(session, organization_id=call.organization_id, **call.path)
