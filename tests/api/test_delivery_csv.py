"""A refused delivery names the line at fault: its place in the JSON list, its line in the CSV file."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from tests.hospital import Hospital, now, sign_in

HEAD = "drug_id,lot_number,expires_on,quantity_units"


def lines(hospital: Hospital, **wrong: object) -> list[dict[str, Any]]:
    """A good line, and one that is `wrong`."""
    good = {
        "drug_id": str(hospital.drug_id),
        "lot_number": "G-1",
        "expires_on": f"{(now() + timedelta(days=90)).date()}",
        "quantity_units": 1,
    }
    return [good, {**good, "lot_number": "B-1", **wrong}]


def refused(hospital: Hospital, app: Flask, *, as_csv: bool, **wrong: object) -> dict[str, Any]:
    sent = lines(hospital, **wrong)
    client = sign_in(app, hospital, "pharmacist")
    if as_csv:
        file = "\r\n".join([HEAD, "", *(",".join(map(str, line.values())) for line in sent)])
        options = {"data": file, "content_type": "text/csv"}
        answer = client.request("POST", f"/wards/{hospital.ward_id}/deliveries", **options)
    else:
        answer = client.post("/stock/deliveries", {"ward_id": str(hospital.ward_id), "lines": sent})
    assert answer.status_code >= 400
    assert hospital.on_hand() == 0
    return answer.get_json()


@pytest.mark.parametrize(("as_csv", "line"), [(False, 1), (True, 4)])
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"expires_on": "2020-01-01"}, "expires_on"),
        ({"expires_on": "tomorrow"}, "expires_on"),
        ({"quantity_units": 0}, "quantity_units"),
        ({"lot_number": "G-1"}, "lot_number"),
    ],
)
def test_a_wrong_field_is_named_with_its_line(
    hospital: Hospital, app: Flask, as_csv: bool, line: int, wrong: dict[str, object], field: str
) -> None:
    problem = refused(hospital, app, as_csv=as_csv, **wrong)
    assert [error["pointer"] for error in problem["errors"]] == [f"/lines/{line}/{field}"]


@pytest.mark.parametrize(("as_csv", "line"), [(False, 1), (True, 4)])
def test_a_drug_that_nobody_knows_is_named_by_its_line(hospital: Hospital, app: Flask, as_csv: bool, line: int) -> None:
    problem = refused(hospital, app, as_csv=as_csv, drug_id=uuid.uuid4().hex)
    assert (problem["code"], problem["line"]) == ("drug_not_found", line)
