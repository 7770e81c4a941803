"""A care team that a test changes and looks at."""

from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from backend.actor import Role
from tests.hospital import Client, Hospital, sign_in


class Team:
    """The care team of a hospital's patient, changed by a doctor over HTTP."""

    def __init__(self, app: Flask, hospital: Hospital) -> None:
        self.hospital, self.doctor = hospital, sign_in(app, hospital, "doctor")
        self.path = f"/patients/{hospital.patient_id}/care-team"
        for login in ("ada", "ben", "eva"):
            hospital.add_staff(login, Role.DOCTOR)

    def id_of(self, login: str) -> str:
        """The user's id."""
        return str(self.hospital.staff[login].user_id)

    def assign(self, login: str, role: str, client: Client | None = None) -> TestResponse:
        """POST."""
        return (client or self.doctor).post(self.path, {"provider_id": self.id_of(login), "role": role})

    def change(self, login: str, **body: Any) -> TestResponse:
        """PUT."""
        return self.doctor.put(f"{self.path}/primary", {"provider_id": self.id_of(login), **body})

    def remove(self, assignment_id: str) -> TestResponse:
        """DELETE."""
        return self.doctor.delete(f"{self.path}/{assignment_id}")

    def members(self) -> list[tuple[str, str]]:
        """Name and role of everybody on the team, in the order of the answer."""
        items = self.doctor.get(self.path).get_json()["items"]
        assert all(item["removed_at"] is None for item in items)
        return [(item["provider_name"], item["role"]) for item in items]

    def history(self) -> list[tuple[str, str, bool]]:
        """Name, role and whether it stands, the earliest first."""
        items = self.doctor.get(f"{self.path}/history").get_json()["items"]
        return [(item["provider_name"], item["role"], item["removed_at"] is None) for item in reversed(items)]
