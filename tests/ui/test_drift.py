"""Payer drift on the screen: a file of claims, a run, what it found, and the file of it."""

import csv
import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.domain.claims.filing import AS_OF, HEADER, claims, csv_of, file_claims, run, states
from tests.hospital import Hospital
from tests.ui.conftest import Screen, watch

DRIFTED = [*claims(60, ago=50, denied=6), *claims(60, ago=7, denied=30)]
SLOWER = [*claims(60, ago=50, days=(3,), payer="Cigna"), *claims(60, ago=7, days=(9,), payer="Cigna")]


def _upload(screen: Screen, content: bytes) -> None:
    screen.page.goto(f"{screen.base_url}/drift")
    screen.page.click("summary:has-text('Claims from a file')")
    screen.page.set_input_files("#file", {"name": "claims.csv", "mimeType": "text/csv", "buffer": content})
    screen.page.click("button:has-text('Import the file')")
    screen.page.wait_for_selector("h1:has-text('imported'), .refused")


def test_an_admin_imports_claims_and_looks_for_drift(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "admin")
    screen.page.click("nav a:has-text('Drift')")
    assert "There has been no run yet" in screen.page.inner_text("main")
    _upload(screen, csv_of([*DRIFTED, *SLOWER]) + b"x\r\n")
    assert "240 claims imported" in screen.page.inner_text("h1")
    assert screen.page.inner_text("section:has-text('Rejected lines') tbody tr").split() == [
        "242",
        "1",
        "cells,",
        "not",
        "7",
    ]
    assert hospital.rows("SELECT count(*) FROM claim_records") == [(240,)]

    screen.page.click("a:has-text('Back to payer drift')")
    screen.page.fill("#as_of", AS_OF.isoformat())
    screen.page.check("label:has-text('Mark what stands') input")
    screen.page.click("button:has-text('Look for drift')")
    screen.page.wait_for_selector("h1:has-text('Payer drift as of 1 Jun 2026')")
    rows = [row.inner_text() for row in screen.page.query_selector_all("table.drifts tbody tr")]
    assert [row.split("\n")[0] for row in rows] == ["Aetna", "Cigna"]
    for part in ("Up 40.0 points", "Stands", "10.0 %", "50.0 %", "60 claims", "0.80"):
        assert part in rows[0], part
    for part in ("Up 6 days", "3 days", "9 days", "0.60"):
        assert part in rows[1], part
    titles = [title.inner_text() for title in screen.page.query_selector_all("section h2")]
    assert titles == ["Aetna: denial rate", "Cigna: decision time"]
    assert [len(plot.query_selector_all("g.estimate")) for plot in screen.page.query_selector_all("svg.plot")] == [2, 2]
    assert states(hospital) == [("success", 2, 2, None, 2)]

    with screen.page.expect_download() as download:
        screen.page.click("a:has-text('Download as CSV')")
    table = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    assert [(row["payer"], row["drift_type"], row["current_value"]) for row in table] == [
        ("Aetna", "DENIAL_RATE", "0.5"),
        ("Cigna", "DECISION_TIME", "9.0"),
    ]


def test_the_same_file_twice_and_a_file_that_is_none(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "admin")
    raw = csv_of(DRIFTED)
    for known in ("0", "120"):
        _upload(screen, raw)
        assert screen.page.inner_text("dt:has-text('Known already') + dd") == known
    _upload(screen, b"a,b\n1,2\n")
    assert "columns: claim_id, payer" in screen.page.inner_text(".refused")
    assert hospital.rows("SELECT count(*) FROM claim_records") == [(120,)]


def test_a_file_larger_than_other_forms_may_be(hospital: Hospital, screen: Screen) -> None:
    """A form is a megabyte at most, a file of claims four."""
    screen.sign_in(hospital, "admin")
    row = f"\n{'p' * 90},72148,{'g' * 60},2026-01-05,,PENDING"
    raw = (HEADER + "".join(f"\nC{number},{row[1:]}" for number in range(8_000))).encode()
    assert len(raw) > 1_200_000
    _upload(screen, raw)
    assert "8000 claims imported" in screen.page.inner_text("h1")


def test_wrong_parameters_are_told_and_what_was_typed_stays(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "pharmacist")
    screen.page.goto(f"{screen.base_url}/drift")
    assert screen.page.query_selector("#file") is None
    screen.page.fill("#min_volume", "many")
    screen.page.fill("#current_days", "0")
    screen.page.click("button:has-text('Look for drift')")
    told = screen.page.inner_text(".refused")
    assert "Min volume" in told
    assert "Current days" in told
    assert screen.page.input_value("#min_volume") == "many"
    assert states(hospital) == []


def test_a_nurse_has_no_tab_and_no_page(hospital: Hospital, screen: Screen) -> None:
    screen.sign_in(hospital, "nurse")
    assert screen.page.query_selector("nav a:has-text('Drift')") is None
    for path in ("/drift", f"/drift/runs/{uuid.uuid4()}", f"/drift/runs/{uuid.uuid4()}/events.csv"):
        assert screen.page.goto(screen.base_url + path).status == 403


def test_a_failed_run_and_one_that_found_nothing_say_so(hospital: Hospital, screen: Screen) -> None:
    quiet, failed = run(hospital), run(hospital, as_of=AS_OF - timedelta(days=1))
    hospital.change(
        "UPDATE report_runs SET status = 'failed', failure = 'busy', events_created = NULL, groups_considered = NULL"
        " WHERE id = :p1",
        failed,
    )
    screen.sign_in(hospital, "pharmacist")
    screen.page.goto(f"{screen.base_url}/drift/runs/{quiet}")
    assert "No payer has drifted" in screen.page.inner_text("main")
    screen.page.goto(f"{screen.base_url}/drift/runs/{failed}")
    assert "The run failed (busy)" in screen.page.inner_text("main")
    screen.page.goto(f"{screen.base_url}/drift")
    assert "Failed" in screen.page.inner_text("tr:has-text('31 May 2026')")


def test_a_hundred_drifts_have_pages(hospital: Hospital, screen: Screen) -> None:
    filed = [
        claim
        for number in range(60)
        for claim in claims(30, ago=50, cpt_group=f"G{number}") + claims(30, ago=7, denied=30, cpt_group=f"G{number}")
    ]
    file_claims(hospital, filed)
    run_id = run(hospital)
    screen.sign_in(hospital, "pharmacist")
    screen.page.goto(f"{screen.base_url}/drift/runs/{run_id}")
    assert len(screen.page.query_selector_all("table.drifts tbody tr")) == 50
    assert "38 further groups" in screen.page.inner_text("section:has(svg.plot)")
    screen.page.click("a:has-text('Less severe')")
    screen.page.wait_for_load_state()
    assert len(screen.page.query_selector_all("table.drifts tbody tr")) == 10
    assert len(list(csv.reader(io.StringIO(_fetched(screen, f"/drift/runs/{run_id}/events.csv"))))) == 61


def _fetched(screen: Screen, path: str) -> str:
    return str(screen.page.request.get(screen.base_url + path).text())


@pytest.fixture
def plain_page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_all_of_it_without_javascript(hospital: Hospital, base_url: str, plain_page: Any) -> None:
    screen = watch(plain_page, base_url)
    screen.sign_in(hospital, "admin")
    _upload(screen, csv_of(DRIFTED))
    assert "120 claims imported" in plain_page.inner_text("h1")
    plain_page.goto(f"{base_url}/drift")
    plain_page.fill("#as_of", AS_OF.isoformat())
    plain_page.click("button:has-text('Look for drift')")
    assert "Up 40.0 points" in plain_page.inner_text("table.drifts")
    assert states(hospital) == [("success", 1, 1, None, 1)]


def test_axe_finds_nothing_on_the_pages_of_drift(hospital: Hospital, tablet: Screen) -> None:
    file_claims(hospital, [*DRIFTED, *SLOWER])
    run_id = run(hospital, adjust=True)
    tablet.sign_in(hospital, "admin")
    tablet.page.wait_for_selector("nav.tabs")
    for path in ("/drift", f"/drift/runs/{run_id}"):
        tablet.page.goto(tablet.base_url + path)
        tablet.inspect(path)
    _upload(tablet, csv_of(claims(2, ago=3)) + b"x\r\n")
    tablet.page.wait_for_selector("text=Rejected lines")
    tablet.inspect("an import")
