"""Who was given a lot: every patient to call, on the screen, on paper and as a file; every dose by page."""

import csv
import io
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg2.extensions
import pytest

from backend.db.paging import LIMIT_DEFAULT
from backend.ui.frame.downloads import BYTE_ORDER_MARK
from backend.ui.pages.lots import PATIENTS_SHOWN
from tests import day
from tests.domain.reports.many_doses import give_many
from tests.hospital import Hospital
from tests.ui.conftest import Screen

PATIENTS, DOSES = PATIENTS_SHOWN + 5, 2 * LIMIT_DEFAULT + 20


@pytest.fixture
def lot_id(hospital: Hospital, screen: Screen) -> UUID:
    """A lot that three patients were given: one has moved, one is on no ward, one by an entry that was an error."""
    found = hospital.receive(7).lot_id
    for order_id in hospital.place_many(2):
        hospital.fulfil(order_id)
    gone = replace(hospital, patient_id=hospital.admit("Weir, Ann"))
    gone.fulfil(gone.place())
    wrong = replace(hospital, patient_id=hospital.admit("Lund, Bo"))
    wrong.fulfil(wrong.place())
    ((dose,),) = hospital.rows(
        "SELECT a.id FROM medication_administrations a JOIN medication_orders o ON o.id = a.order_id"
        " WHERE o.patient_id = :p1",
        wrong.patient_id,
    )
    day.mark_in_error(hospital, dose)
    hospital.change(
        "UPDATE patients SET ward_id = :p1, bed = '9B' WHERE id = :p2", hospital.add_ward("2 South"), gone.patient_id
    )
    hospital.change("UPDATE patients SET ward_id = NULL, bed = NULL WHERE id = :p1", hospital.patient_id)
    screen.sign_in(hospital, "pharmacist")
    return found


def _table(screen: Screen, selector: str) -> list[list[str]]:
    rows = screen.page.locator(f"{selector} tbody tr").all()
    return [[cell.strip() for cell in row.inner_text().split("\t")] for row in rows]


def _file(screen: Screen, link: str) -> list[dict[str, str]]:
    """The rows of the file behind a link."""
    with screen.page.expect_download() as download:
        screen.page.locator(f"a:has-text('{link}')").click()
    raw = download.value.path().read_bytes()
    assert raw.startswith(BYTE_ORDER_MARK)
    assert download.value.suggested_filename.endswith(".csv")
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig")), strict=True))


def test_recalled_lot_leads_to_its_patients_by_the_ward_of_now(lot_id: UUID, screen: Screen) -> None:
    screen.page.goto(f"{screen.base_url}/lots/{lot_id}")
    screen.page.click("summary:has-text('Recall it')")
    screen.page.fill("#recall-reason", "particles")
    screen.page.click("button:has-text('for good')")
    screen.page.wait_for_selector("text=The lot is recalled")
    assert "3 patients, 4 doses" in screen.page.inner_text("main")
    screen.page.click("a:has-text('All patients and doses')")
    screen.page.wait_for_selector("h2:has-text('Patients to call')")
    heads = screen.page.locator("section[aria-labelledby=patients-title] h3").all_inner_texts()
    assert heads == ["2 South (1)", "On no ward (1)", "Entered in error: not given (1)"]
    (moved,) = _table(screen, "table:has(caption:has-text('on 2 South'))")
    assert (moved[0].split()[:2], moved[1:3]) == (["Weir,", "Ann"], ["9B", "1"])
    (gone,) = _table(screen, "table:has(caption:has-text('on no ward'))")
    assert (gone[0].split()[:2], gone[1:3]) == (["Okafor,", "Grace"], ["–", "2"])
    assert len(_table(screen, "section[aria-labelledby=doses-title]")) == 4


def test_files_hold_every_patient_and_every_dose(lot_id: UUID, screen: Screen) -> None:
    screen.page.goto(f"{screen.base_url}/lots/{lot_id}/doses")
    patients = _file(screen, "Download patients as CSV")
    assert [(row["patient_name"], row["doses"]) for row in patients] == [
        *(("Lund, Bo", "0"), ("Okafor, Grace", "2"), ("Weir, Ann", "1")),
    ]
    assert len(_file(screen, "Download doses as CSV")) == 4


def test_doses_of_one_patient_are_found_by_their_name(lot_id: UUID, screen: Screen) -> None:
    screen.page.goto(f"{screen.base_url}/lots/{lot_id}/doses")
    screen.page.click("section[aria-labelledby=doses-title] a:has-text('Okafor') >> nth=0")
    screen.page.wait_for_selector("h2:has-text('Doses of Okafor, Grace')")
    assert len(_table(screen, "section[aria-labelledby=doses-title]")) == 2
    assert screen.page.locator("h2:has-text('Patients to call')").count() == 0
    assert len(_file(screen, "Download doses as CSV")) == 2
    screen.page.click("a:has-text('All patients and doses')")
    screen.page.wait_for_selector("h2:has-text('Patients to call')")


def test_paper_has_a_column_to_tick_who_was_called(lot_id: UUID, screen: Screen) -> None:
    screen.page.goto(f"{screen.base_url}/lots/{lot_id}/doses")
    column = screen.page.locator("th:has-text('Called') >> nth=0")
    assert not column.is_visible()
    screen.page.emulate_media(media="print")
    assert column.is_visible()
    assert not screen.page.locator("a:has-text('Download patients')").is_visible()


def test_lot_of_many_doses_links_to_all_patients_and_walks_all_doses(
    hospital: Hospital, screen: Screen, superuser: psycopg2.extensions.connection
) -> None:
    many = hospital.receive(7).lot_id
    give_many(superuser, hospital, many, doses=DOSES, patients=PATIENTS)
    screen.sign_in(hospital, "pharmacist")
    screen.page.goto(f"{screen.base_url}/lots/{many}")
    assert len(_table(screen, "section[aria-labelledby=given-to]")) == PATIENTS_SHOWN
    screen.page.click(f"a:text-is('All {PATIENTS} patients')")
    screen.page.wait_for_selector("h2:has-text('Patients to call')")
    assert len(_table(screen, "section[aria-labelledby=patients-title]")) == PATIENTS
    shown = _doses_shown(screen)
    while screen.page.locator("a:text-is('Earlier')").count():
        screen.page.click("a:text-is('Earlier')")
        screen.page.wait_for_load_state()
        shown += _doses_shown(screen)
    assert (len(shown), len(set(shown))) == (DOSES, DOSES)


def _doses_shown(screen: Screen) -> list[tuple[Any, ...]]:
    """The doses of the page; two of them differ by patient or by minute."""
    return [(row[0], row[2]) for row in _table(screen, "section[aria-labelledby=doses-title]")]


def test_axe_finds_nothing_on_the_pages_of_a_recall(lot_id: UUID, tablet: Screen, hospital: Hospital) -> None:
    tablet.sign_in(hospital, "pharmacist")
    for path in (f"/lots/{lot_id}", f"/lots/{lot_id}/doses", f"/lots/{lot_id}/doses?patient_id={hospital.patient_id}"):
        tablet.page.goto(tablet.base_url + path)
        tablet.inspect(path)
