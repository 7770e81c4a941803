"""The condition of a join and the change of a row that the domain writes a hundred times."""

from sqlalchemy import case
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import aliased
from sqlalchemy.sql import ClauseElement

from backend.db import bump
from backend.db.filters import same_hospital
from backend.domain.organizations.models import Ward
from backend.domain.patients.models import Patient
from tests.hospital import Hospital


def written(clause: ClauseElement) -> str:
    return " ".join(str(clause.compile(dialect=postgresql.dialect())).split())


def test_a_join_compares_the_hospital_and_the_id() -> None:
    assert written(same_hospital(Ward, by=Patient.ward_id)) == (
        "wards.organization_id = patients.organization_id AND wards.id = patients.ward_id"
    )


def test_a_join_by_a_column_of_an_alias_takes_the_hospital_of_the_alias() -> None:
    ward, patient = aliased(Ward, name="w"), aliased(Patient, name="p")
    assert written(same_hospital(ward, by=patient.ward_id)) == (
        "w.organization_id = p.organization_id AND w.id = p.ward_id"
    )


def test_a_join_by_an_expression_takes_the_hospital_of_the_table_it_names() -> None:
    where = case((Patient.bed == "1", Patient.ward_id))
    assert written(same_hospital(Ward, by=where, of=Patient)).startswith(
        "wards.organization_id = patients.organization_id AND wards.id = CASE"
    )


def test_a_bump_sets_the_values_and_raises_the_version_of_its_rows_alone(hospital: Hospital) -> None:
    hospital.add_ward()
    before = dict(hospital.rows("SELECT id, version FROM wards"))
    assert len(before) == 2
    hospital.run(lambda session: session.execute(bump(Ward, name="East").where(Ward.id == hospital.ward_id)))
    expected = {ward: version + (ward == hospital.ward_id) for ward, version in before.items()}
    assert dict(hospital.rows("SELECT id, version FROM wards")) == expected
    assert hospital.rows("SELECT id FROM wards WHERE name = 'East'") == [(hospital.ward_id,)]
