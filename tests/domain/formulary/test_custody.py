"""Listing the drugs that are controlled, and those that are not."""

from flask import Flask

from tests.api.test_pages import listed
from tests.hospital import Hospital, sign_in


def test_drugs_are_listed_by_whether_they_are_controlled(app: Flask, hospital: Hospital) -> None:
    for name, schedule in (("Morphine", 2), ("Codeine", 5), ("Paracetamol", None)):
        hospital.add_drug(name, controlled_schedule=schedule)
    nurse = sign_in(app, hospital, "nurse")
    assert [row["name"] for row in listed(nurse, "/drugs", limit=1, custody="controlled")] == ["Codeine", "Morphine"]
    assert [row["name"] for row in listed(nurse, "/drugs", custody="controlled", q="orph")] == ["Morphine"]
    assert [row["name"] for row in listed(nurse, "/drugs", custody="ordinary")] == ["Amoxicillin", "Paracetamol"]
    assert nurse.get("/drugs?custody=vault").status_code == 422
