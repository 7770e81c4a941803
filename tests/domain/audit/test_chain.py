"""What is no file of exported seals is one refusal, whatever it is instead."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.engine.url import make_url

from backend.domain.audit.chain import SealsUnreadable
from backend.operations.verification.evidence import check_seals

ANY_SEAL: dict[str, Any] = {
    **dict.fromkeys(("number", "form", "through", "transaction", "horizon"), 1),
    "organization": str(UUID(int=1)),
    "table": "audit_events",
    "sealed_at": "2026-01-05T00:00:00Z",
    "previous": "00" * 32,
    "rows": [],
    "hash": "00" * 32,
}


def line(**changes: Any) -> bytes:
    return json.dumps({**ANY_SEAL, **changes}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"no seal",
        b"\xd0\x00\xff not even text",
        b"[1]",
        b"7",
        line(),
        line(organization=1),
        line(organization="x"),
        line(number=None),
        line(number=float("inf")),
        line(sealed_at="0001-01-01T00:00:00+14:00"),
        line(sealed_at=7),
        line(previous=5),
        line(rows=[1]),
        line(rows=[["x", None]]),
    ],
)
def test_what_is_no_seal_is_told_by_its_line(raw: bytes, tmp_path: Path) -> None:
    file = tmp_path / "seals.jsonl"
    file.write_bytes(raw + b"\n")
    nowhere = make_url("postgresql+psycopg2://nobody@localhost:1/none")  # the file is looked at first
    with pytest.raises(SealsUnreadable, match=r"^Line 1 is not "):
        list(check_seals(nowhere, seals=file))
