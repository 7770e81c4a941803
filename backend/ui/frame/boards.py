"""A ward's whole board, whatever its size: the API answers it in pages."""

from typing import Any
from uuid import UUID

from backend.ui.frame.asking import ask


def whole_board(ward_id: UUID | str) -> dict[str, Any]:
    """Read all pages of a board as one; a patient whose orders lie on two pages is one again.

    Raises what GET /mar raises.
    """
    board: dict[str, Any] = ask("GET /mar", query={"ward_id": ward_id})
    patients = {patient["patient_id"]: patient for patient in board["patients"]}
    cursor = board["next_cursor"]
    while cursor:
        page = ask("GET /mar", query={"ward_id": ward_id, "cursor": cursor})
        for patient in page["patients"]:
            known = patients.setdefault(patient["patient_id"], patient)
            if known is not patient:
                known["orders"] += patient["orders"]
        cursor = page["next_cursor"]
    return {**board, "patients": list(patients.values()), "truncated": False, "next_cursor": None}
