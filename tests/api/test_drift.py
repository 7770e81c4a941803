"""Claims and payer drift over HTTP: what is answered, kept and refused."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from backend.domain.claims import runs
from backend.errors import Busy
from tests.api.valid_requests import assert_problem, everything
from tests.domain.claims.filing import AS_OF, HEADER, claims, csv_of, file_claims, run, states
from tests.hospital import Client, Hospital, now

GOOD = "C1,Aetna,72148,Imaging,2026-01-05,2026-01-20,PAID"
RUN = {
    *("id", "as_of", "baseline_days", "current_days", "min_volume", "adjust", "status", "groups_considered"),
    *("events_created", "failure", "started_by", "started_at", "finished_at"),
}


def upload(client: Client, raw: bytes, **headers: str) -> Any:
    """The answer to a file."""
    return client.request("POST", "/claims/imports", data=raw, content_type="text/csv; charset=utf-8", headers=headers)


def test_a_file_of_claims(hospital: Hospital, clients: dict[str, Client]) -> None:
    raw = f"{HEADER}\n{GOOD}\nx\n{GOOD}\n".encode()
    expected = {
        "accepted": 1,
        "created": 1,
        "changed": 0,
        "unchanged": 0,
        "rejected": 2,
        "rejections": [
            {"line": 3, "errors": [{"pointer": "", "detail": "1 cells, not 7"}]},
            {"line": 4, "errors": [{"pointer": "/claim_id", "detail": "line 2 names this claim"}]},
        ],
        "next_after_line": None,
    }
    response = upload(clients["admin"], raw)
    assert (response.status_code, response.get_json()) == (201, expected)
    before = everything(hospital)["claim_records"]
    again = upload(clients["admin"], raw)
    assert again.get_json() == {**expected, "created": 0, "unchanged": 1}
    assert everything(hospital)["claim_records"] == before
    assert hospital.rows("SELECT imported_by_id FROM claim_records") == [(hospital.staff["admin"].user_id,)]


def test_a_key_of_an_import_belongs_to_its_file(hospital: Hospital, clients: dict[str, Client]) -> None:
    key = {"Idempotency-Key": "monday"}
    first = upload(clients["admin"], f"{HEADER}\n{GOOD}\n".encode(), **key)
    replayed = upload(clients["admin"], f"{HEADER}\n{GOOD}\n".encode(), **key)
    assert (replayed.data, replayed.headers["Idempotent-Replayed"]) == (first.data, "true")
    other = upload(clients["admin"], f"{HEADER}\n{GOOD.replace('PAID', 'DENIED')}\n".encode(), **key)
    assert_problem(other, 422, "idempotency_key_reused")
    assert hospital.rows("SELECT outcome::text FROM claim_records") == [("PAID",)]


def test_what_is_no_file_of_claims_is_told_and_changes_nothing(hospital: Hospital, clients: dict[str, Client]) -> None:
    before = everything(hospital)
    document = assert_problem(upload(clients["admin"], b"a,b\n"), 422, "validation_failed")
    assert [error["pointer"] for error in document["errors"]] == ["/lines/1"]
    response = clients["admin"].post("/claims/imports", {"claims": []})
    assert_problem(response, 415, "unsupported_media_type")
    assert everything(hospital) == before


def test_a_run_and_what_it_found(hospital: Hospital, clients: dict[str, Client]) -> None:
    file_claims(hospital, claims(60, ago=50, denied=6), claims(60, ago=7, denied=30))
    pharmacist = clients["pharmacist"]
    response = pharmacist.post("/drift/runs", {"as_of": AS_OF.isoformat()})
    made = response.get_json()
    assert (response.status_code, set(made)) == (201, RUN)
    assert made == {
        **made,
        "as_of": "2026-06-01",
        "baseline_days": 90,
        "current_days": 14,
        "min_volume": 30,
        "adjust": False,
        "status": "success",
        "groups_considered": 1,
        "events_created": 1,
        "failure": None,
        "started_by": "Pharmacist",
    }
    path = f"/drift/runs/{made['id']}"
    assert pharmacist.get(path).get_json() == made
    assert pharmacist.get("/drift/runs").get_json() == {"items": [made], "next_cursor": None}
    (event,) = pharmacist.get(f"{path}/events").get_json()["items"]
    assert event == {
        **event,
        "payer": "Aetna",
        "cpt_group": "Imaging",
        "drift_type": "DENIAL_RATE",
        "direction": "increase",
        "baseline_value": 0.1,
        "current_value": 0.5,
        "delta_value": 0.4,
        "severity": 0.8,
        "confidence": 1.0,
        "baseline_volume": 60,
        "current_volume": 60,
        "current_undecided": 0,
        "current_undecided_share": 0.0,
        "baseline_start": "2026-02-17",
        "baseline_end": "2026-05-18",
        "current_start": "2026-05-18",
        "current_end": "2026-06-01",
        "survives": None,
    }
    assert event["baseline_low"] < 0.1 < event["baseline_high"] < event["current_low"] < 0.5 < event["current_high"]
    exported = pharmacist.get(f"{path}/events.csv")
    assert exported.content_type.startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(exported.text))
    assert row == {name: "" if value is None else str(value) for name, value in event.items() if name != "id"}


def test_a_run_is_as_of_today_where_nothing_is_said(hospital: Hospital, clients: dict[str, Client]) -> None:
    days = {(now() + timedelta(hours=hours)).date().isoformat() for hours in (0, 2)}
    assert clients["admin"].post("/drift/runs").get_json()["as_of"] in days
    assert states(hospital) == [("success", 0, 0, None, 0)]


def test_a_cell_that_a_spreadsheet_would_compute_is_marked_as_text(
    hospital: Hospital, clients: dict[str, Client]
) -> None:
    formula = {"payer": "=HYPERLINK(0)", "cpt_group": "-1"}
    file_claims(hospital, claims(30, ago=50, **formula), claims(30, ago=7, denied=30, **formula))
    (row,) = csv.DictReader(io.StringIO(clients["admin"].get(f"/drift/runs/{run(hospital)}/events.csv").text))
    assert (row["payer"], row["cpt_group"]) == ("'=HYPERLINK(0)", "'-1")


def test_the_same_key_is_the_same_run_even_after_a_failure(
    hospital: Hospital, clients: dict[str, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    file_claims(hospital, claims(60, ago=50), claims(60, ago=7, denied=30))
    key, body = {"Idempotency-Key": "monday"}, {"as_of": AS_OF.isoformat()}

    def busy(session: Any, **_: Any) -> None:
        raise Busy("later")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "read_groups", busy)
        assert_problem(clients["admin"].post("/drift/runs", body, headers=key), 503, "busy")
    (failed,) = clients["admin"].get("/drift/runs").get_json()["items"]
    assert (failed["status"], failed["failure"], failed["events_created"]) == ("failed", "busy", None)
    first = clients["admin"].post("/drift/runs", body, headers=key)
    assert first.get_json() == {**first.get_json(), "id": failed["id"], "status": "success", "events_created": 1}
    again = clients["admin"].post("/drift/runs", body, headers=key)
    assert (again.data, again.headers["Idempotent-Replayed"]) == (first.data, "true")
    other = clients["admin"].post("/drift/runs", {"as_of": "2026-01-01"}, headers=key)
    assert_problem(other, 422, "idempotency_key_reused")
    assert states(hospital) == [("success", 1, 1, None, 1)]


def test_a_large_file_is_read_as_it_comes(hospital: Hospital, clients: dict[str, Client]) -> None:
    raw = csv_of(claims(20_000, ago=3))
    assert len(raw) > hospital.database.config.body_bytes_max
    assert upload(clients["admin"], raw).get_json()["created"] == 20_000
