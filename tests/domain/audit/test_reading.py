"""Reading the trail: who changed what, by table, row, user and time; secrets and other hospitals are not in it."""

from typing import Any

import pytest
from flask import Flask

from tests.hospital import Client, Hospital, now, sign_in


@pytest.fixture
def admin(app: Flask, hospital: Hospital) -> Client:
    return sign_in(app, hospital, "admin")


def _read(client: Client, **query: Any) -> list[dict[str, Any]]:
    response = client.get(
        "/audit", query_string={"limit": "200", **{name: str(value) for name, value in query.items()}}
    )
    assert response.status_code == 200, response.get_json()
    items: list[dict[str, Any]] = response.get_json()["items"]
    return items


def test_a_change_says_who_what_before_and_after(hospital: Hospital, admin: Client) -> None:
    assert admin.patch("/organization", {"transit_hours": 7}).status_code == 200
    newest = _read(admin, table="organizations")[0]
    assert (newest["operation"], newest["actor_name"], newest["row_id"]) == (
        "UPDATE",
        "Admin",
        str(hospital.organization_id),
    )
    assert (newest["before"]["transit_hours"], newest["after"]["transit_hours"]) == (24, 7)
    assert newest["request_id"]


def test_each_filter_leaves_its_own(hospital: Hospital, admin: Client) -> None:
    began = now()
    ward_id = hospital.add_ward("9 South")
    admin.post("/wards", {"name": "10 West"})
    assert {event["after"]["name"] for event in _read(admin, table="wards", row_id=ward_id)} == {"9 South"}
    mine = _read(admin, actor_id=hospital.staff["admin"].user_id, table="wards")
    assert [event["after"]["name"] for event in mine] == ["10 West"]
    assert len(_read(admin, table="wards", **{"from": began.isoformat()})) == 2
    assert _read(admin, to="2020-01-01T00:00:00Z") == []
    assert _read(admin, table="no_such_table") == []


def test_no_secret_is_in_the_trail_that_is_read(hospital: Hospital, admin: Client) -> None:
    admin.patch(f"/users/{hospital.nurse.user_id}", {"password": "a new long password"})
    users = _read(admin, table="users")
    assert users
    for event in users:
        for row in (event["before"], event["after"]):
            assert not {"password_hash", "totp_secret"} & set(row or {})
