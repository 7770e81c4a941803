"""A delivery note: every line or none. An error names the line of the CSV file, or the place in the JSON list."""

import uuid
from datetime import timedelta

import pytest
from flask import Flask

from backend.domain.stock.receipts import LINES_MAX
from tests.hospital import Client, Hospital, now, sign_in

HEADER = "drug_id,lot_number,expires_on,quantity_units"
SOON = f"{now() + timedelta(days=400):%Y-%m-%d}"


@pytest.fixture
def pharmacist(app: Flask, hospital: Hospital) -> Client:
    return sign_in(app, hospital, "pharmacist")


def _send(client: Client, hospital: Hospital, text: str | bytes, *, ward_id: object = "", **headers: str):
    sent = text if isinstance(text, bytes) else text.encode()
    path = f"/wards/{ward_id or hospital.ward_id}/deliveries"
    return client.post(path, data=sent, headers={"Content-Type": "text/csv", **headers})


def test_every_line_is_received_whatever_the_order_of_the_columns(hospital: Hospital, pharmacist: Client) -> None:
    other = hospital.add_drug()
    file = (
        "\ufeffquantity_units, lot_number ,drug_id,expires_on\r\n"
        f'12,"A,1",{hospital.drug_id},{SOON}\r\n'
        "\r\n"
        f" 5 ,B2,{other},{SOON}\r\n"
        f"3,B3,{other},{SOON}\r\n"
    )
    answer = _send(pharmacist, hospital, file)
    assert answer.status_code == 201, answer.json
    assert [(one["lot_number"], one["quantity_units"], one["on_hand_units"]) for one in answer.json["receipts"]] == [
        ("A,1", 12, 12),
        ("B2", 5, 5),
        ("B3", 3, 8),
    ]
    assert hospital.rows("SELECT sum(on_hand_units) FROM stock_levels") == [(20,)]


@pytest.mark.parametrize(
    ("line", "pointer"),
    [
        ("{drug},L9,2030-02-30,1", "/lines/4/expires_on"),
        ("{drug},L9,{soon},1.5", "/lines/4/quantity_units"),
        ("{drug},L9,{soon},-1", "/lines/4/quantity_units"),
        ("{drug},L9,{soon},99999999999999999999", "/lines/4/quantity_units"),
        ("{drug},L9,{soon},", "/lines/4/quantity_units"),
        ("{drug},,{soon},1", "/lines/4/lot_number"),
        ("{drug},L\x009,{soon},1", "/lines/4/lot_number"),
        ("nobody,L9,{soon},1", "/lines/4/drug_id"),
        ("{drug},L9,{soon}", "/lines/4"),
        ("{drug},L9,{soon},1,more", "/lines/4"),
        ('{drug},"L9,{soon},1', "/lines/4"),
        ("{drug},L1,{soon},1", "/lines/4/lot_number"),
        ("{drug},L9,2020-01-01,1", "/lines/4/expires_on"),
    ],
    ids=[
        "no day",
        "a float",
        "negative",
        "huge",
        "empty",
        "no lot",
        "NUL",
        "no id",
        "short",
        "long",
        "an open quote",
        "twice",
        "expired",
    ],
)
def test_a_bad_row_is_named_by_its_line_and_nothing_is_received(
    hospital: Hospital, pharmacist: Client, line: str, pointer: str
) -> None:
    sound = f"{hospital.drug_id},L1,{SOON},1"
    before = hospital.counts()
    answer = _send(
        pharmacist, hospital, f"{HEADER}\n{sound}\n\n{line.format(drug=hospital.drug_id, soon=SOON)}\n".encode()
    )
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert hospital.counts() == before


def test_an_unknown_drug_in_the_last_row_takes_back_the_first(hospital: Hospital, pharmacist: Client) -> None:
    before = hospital.counts()
    rows = f"{HEADER}\n{hospital.drug_id},L1,{SOON},1\n{uuid.uuid4()},L1,{SOON},1\n"
    answer = _send(pharmacist, hospital, rows)
    assert (answer.status_code, answer.json["code"], answer.json["line"]) == (404, "drug_not_found", 3)
    assert hospital.counts() == before


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"expires_on": "2020-01-01"}, "expires_on"),
        ({"expires_on": "tomorrow"}, "expires_on"),
        ({"quantity_units": 0}, "quantity_units"),
        ({"lot_number": "L1"}, "lot_number"),
    ],
)
def test_a_note_sent_as_json_names_the_place_in_its_list(
    hospital: Hospital, pharmacist: Client, wrong: dict[str, object], field: str
) -> None:
    sound = {"drug_id": str(hospital.drug_id), "lot_number": "L1", "expires_on": SOON, "quantity_units": 1}
    lines = [sound, {**sound, "lot_number": "L2", **wrong}]
    answer = pharmacist.post("/stock/deliveries", {"ward_id": str(hospital.ward_id), "lines": lines})
    assert [error["pointer"] for error in answer.json["errors"]] == [f"/lines/1/{field}"]
    assert hospital.on_hand() == 0


@pytest.mark.parametrize(
    ("file", "detail"),
    [
        (b"", "columns:"),
        (b"drug_id,lot_number,expires_on\n", "columns:"),
        (b"drug_id,drug_id,lot_number,expires_on,quantity_units\n", "columns:"),
        (HEADER.encode() + b"\n\xff\xfe,L1,2030-01-01,1\n", "not UTF-8"),
        (HEADER.encode() + b"\n" + b"x,L,2030-01-01,1\n" * (LINES_MAX + 1), "more than"),
        (HEADER.encode() + b"\n" + b"x" * 200_000 + b",L,2030-01-01,1\n", "not CSV"),
        (HEADER.encode() + b"\n", ""),
    ],
    ids=["empty", "a column short", "a column twice", "not UTF-8", "too long", "a huge cell", "no rows"],
)
def test_what_is_no_delivery_note_is_refused(hospital: Hospital, pharmacist: Client, file: bytes, detail: str) -> None:
    answer = _send(pharmacist, hospital, file)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    assert detail in str(answer.json["errors"])


def test_another_media_type_is_refused(hospital: Hospital, pharmacist: Client) -> None:
    answer = _send(pharmacist, hospital, HEADER, **{"Content-Type": "application/json"})
    assert answer.status_code == 415


def test_a_key_belongs_to_one_ward_and_one_file(hospital: Hospital, pharmacist: Client) -> None:
    key, rows = {"Idempotency-Key": uuid.uuid4().hex}, f"{HEADER}\n{hospital.drug_id},L1,{SOON},7\n"
    first = _send(pharmacist, hospital, rows, **key)
    again = _send(pharmacist, hospital, rows, **key)
    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    for other in (
        _send(pharmacist, hospital, rows.replace(",7", ",8"), **key),
        _send(pharmacist, hospital, rows, ward_id=hospital.add_ward(), **key),
    ):
        assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert hospital.on_hand() == 7
