"""A hospital with more wards than one page of their list: whoever chooses a ward, or ticks some, is shown all."""

import re

import pytest
from flask import Flask

from tests.hospital import Hospital
from tests.ui.test_doors import sign_in

MANY = 2_005  # more than ten of the longest page


@pytest.fixture
def last(hospital: Hospital) -> str:
    """The ward that the alphabet puts last of so many; the nurse works there."""
    hospital.change(
        "INSERT INTO wards (organization_id, id, name, kind) SELECT organization_id, gen_random_uuid(),"
        " 'Ward ' || to_char(n, 'FM0000'), kind FROM wards, generate_series(1, :p1) n",
        MANY,
    )
    ((ward_id,),) = hospital.rows("SELECT id::text FROM wards ORDER BY name DESC LIMIT 1")
    hospital.change("UPDATE ward_memberships SET ward_id = CAST(:p1 AS uuid)", ward_id)
    return str(ward_id)


@pytest.mark.parametrize("path", ["/boards", "/stock", "/patients"])
def test_every_ward_is_to_be_chosen(ward_app: Flask, hospital: Hospital, last: str, path: str) -> None:
    client = ward_app.test_client()
    sign_in(client, hospital, "pharmacist")
    assert last in client.get(path).text


def test_a_ward_that_somebody_works_on_is_ticked_and_so_is_not_taken_away(
    ward_app: Flask, hospital: Hospital, last: str
) -> None:
    client = ward_app.test_client()
    sign_in(client, hospital, "admin")
    page = client.get(f"/staff/{hospital.nurse.user_id}").text
    assert re.findall(r'name="ward_ids" value="([^"]+)" checked', page) == [last]
