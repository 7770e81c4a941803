"""`search_drugs` runs as the owner, who may read every hospital's drugs: it alone keeps them apart."""

from typing import Any

import pytest

from backend.db import Database
from tests.hospital import Hospital, open_hospital

NAMES = ("Xylomorph", "xylo%morph", "xylo_morph", "xylo\\morph", "Äxylo")


@pytest.fixture
def two(database: Database) -> tuple[Hospital, Hospital]:
    """Two hospitals with drugs of the same names."""
    hospitals = open_hospital(database), open_hospital(database)
    for hospital in hospitals:
        for name in NAMES:
            hospital.add_drug(name, generic_name=f"generic of {name.lower()}")
    return hospitals


def found(hospital: Hospital, needle: str) -> list[str]:
    """The names that the function finds, called bare as the application role; a drug of somebody else is an error."""
    ids = [row[0] for row in hospital.rows("SELECT search_drugs(:p1)", needle)]
    names: dict[Any, str] = dict(hospital.rows("SELECT id, name FROM drugs"))
    return sorted(names[drug_id] for drug_id in ids)


@pytest.mark.parametrize("needle", ["xylo", "morph", "lo", "x", "generic of"])
def test_a_search_finds_no_drug_of_another_hospital(two: tuple[Hospital, Hospital], needle: str) -> None:
    for hospital in two:
        ids = {row[0] for row in hospital.rows("SELECT search_drugs(:p1)", needle)}
        theirs = {row[0] for row in hospital.rows("SELECT id FROM drugs")}
        assert ids
        assert ids <= theirs


@pytest.mark.parametrize(
    ("needle", "names"),
    [
        ("o%m", ["xylo%morph"]),
        ("%", ["xylo%morph"]),
        ("o_m", ["xylo_morph"]),
        ("_", ["xylo_morph"]),
        ("o\\m", ["xylo\\morph"]),
        ("\\", ["xylo\\morph"]),
        ("\\\\", []),
        ("ä", ["Äxylo"]),
        ("äxyl", ["Äxylo"]),
        ("omor", ["Xylomorph"]),
        ("generic of xylom", ["Xylomorph"]),
        ("Xylo", []),  # the needle comes in lower case
        ("nothing", []),
        ("", ["Amoxicillin", *NAMES]),
        ("'", []),
    ],
)
def test_a_needle_is_taken_letter_by_letter(two: tuple[Hospital, Hospital], needle: str, names: list[str]) -> None:
    assert found(two[0], needle) == sorted(names)
