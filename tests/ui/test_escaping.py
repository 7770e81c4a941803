"""Whatever a name, a lot or a note holds, a page shows it as text."""

import re
from typing import Any

import pytest
from flask import Flask

from backend.actor import Role
from tests.api.test_tenancy import foreign_id
from tests.db.every_table import furnish
from tests.hospital import Hospital
from tests.ui.test_doors import API, sign_in

PLANTED = "\"'><img src=x onerror=alert(1)>{{7*7}}</script>"
TEXTS = {
    "drugs": ("name", "generic_name", "strength", "form"),
    "patients": ("name", "mrn", "bed"),
    "users": ("name",),
    "wards": ("name",),
    "lots": ("lot_number",),
    "medication_orders": ("dose_text", "route"),
    "organizations": ("name",),
}


@pytest.fixture
def planted(hospital: Hospital) -> Hospital:
    """A hospital with a row of everything and markup in whatever people type."""
    hospital.receive(20)
    hospital.place()
    furnish(hospital)
    hospital.change("DELETE FROM passkeys WHERE organization_id = :p1", hospital.organization_id)  # or it is asked for
    for table, columns in TEXTS.items():
        for column in columns:
            hospital.change(f"UPDATE {table} SET {column} = :p1 || right(id::text, 12)", PLANTED)
    return hospital


def pages(app: Flask, hospital: Hospital) -> list[str]:
    """Every page that is shown, with ids of the hospital in it."""
    found = []
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.rule.startswith((API, "/sign-in")) or "<path:" in rule.rule:
            continue

        def id_of(match: re.Match[str]) -> str:
            return str(foreign_id(hospital, match[1]))

        try:
            found.append(re.sub(r"<uuid:(\w+)>", id_of, rule.rule))
        except (AssertionError, IndexError):  # a page of something that this hospital has none of
            continue
    return found


@pytest.mark.parametrize("role", [role.value for role in Role])
def test_markup_in_what_people_type_is_text_on_every_page(ward_app: Flask, planted: Hospital, role: str) -> None:
    client = ward_app.test_client()
    assert sign_in(client, planted, role).status_code == 302
    shown: dict[str, Any] = {}
    for path in pages(ward_app, planted):
        answer = client.get(path, query_string={"q": PLANTED} if "<" not in path else {})
        assert answer.status_code < 500, path
        if answer.mimetype == "text/csv":  # a file, which no browser renders
            assert answer.headers["Content-Disposition"].startswith("attachment"), path
            assert answer.headers["X-Content-Type-Options"] == "nosniff", path
            continue
        assert "<img src=x" not in answer.text, path
        assert "alert(1)&gt;49" not in answer.text, path
        assert "</script>" not in answer.text.replace("></script>", ""), path
        shown[path] = "&lt;img src=x" in answer.text and answer.status_code == 200
    assert sum(shown.values()) > 8, shown
