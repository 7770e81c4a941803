"""Lists that are longer than a page shows: the page says that there is more, and every row can be reached."""

import html
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.hospital import Hospital
from tests.ui.test_doors import sign_in

GTIN = "04012345000016"
LINE = {"drug_id": "x", "drug_name": "x", "scan": "", "lot_number": "C-7", "expires_on": "2031-05-31",
        "quantity_units": "3"}  # fmt: skip
PAGES_MAX = 9  # that a test turns: a page that leads to itself fails
MORE = re.compile(r'<a class="btn" href="([^"]+)">More')


@pytest.fixture
def pharmacist(ward_app: Flask, hospital: Hospital) -> FlaskClient:
    """The pharmacist's tab."""
    tab = ward_app.test_client()
    assert sign_in(tab, hospital, "pharmacist").status_code == 302
    return tab


def add_drugs(hospital: Hospital, name: str, count: int, *, schedule: int | None = None) -> None:
    """Add drugs called `name` and a number of three digits from 001 on."""
    hospital.change(
        "INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit, controlled_schedule)"
        " SELECT :p1, gen_random_uuid(), :p2 || ' ' || to_char(n, 'FM000'), 'generic', '1 mg', 'tablet', 'tablet', :p4"
        " FROM generate_series(1, :p3) n",
        hospital.organization_id,
        name,
        count,
        schedule,
    )


def walk(tab: FlaskClient, path: str, row: str) -> list[list[str]]:
    """The matches of `row` on the page at `path` and on those that follow it."""
    found: list[list[str]] = []
    while path and len(found) < PAGES_MAX:
        page = tab.get(path)
        assert page.status_code == 200, page.text
        found.append(re.findall(row, page.text))
        following = MORE.search(page.text)
        path = html.unescape(following[1]) if following else ""
    return found


@pytest.mark.parametrize("q", ["", "zomorph", "morph"])
def test_register_lists_every_controlled_drug_behind_a_long_formulary(
    hospital: Hospital, pharmacist: FlaskClient, q: str
) -> None:
    """Whatever precedes them in the alphabet takes no place on the page: the database leaves it out."""
    add_drugs(hospital, "Aspirin", 60)
    add_drugs(hospital, "Zomorph other", 60)
    add_drugs(hospital, "Zomorph", 60, schedule=2)
    pages = walk(pharmacist, f"/register?q={q}", r"Zomorph \d{3}")
    assert [len(page) for page in pages] == [50, 10]
    assert len({name for page in pages for name in page}) == 60
