"""Typed rows, and their JSON: what a read returns, what an idempotency key stores, what an answer shows.

Decision: msgspec converts. Because it takes a row, or the JSON that PostgreSQL made of a row's parts, into frozen
dataclasses and back, checks every type on the way, and is faster than code of ours would be. Cost: one library more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import orjson

T = TypeVar("T")


@dataclass(frozen=True)
class Kept:
    """Say of a list in an answer, in its `Annotated` type, what keeps it short enough to be shown whole."""

    because: str


def rows_as(kind: type[T], rows: Iterable[Any]) -> list[T]:
    """Make a `kind` of each row: a dataclass that has the row's columns, and dataclasses of what they hold as JSON.

    Raises msgspec.ValidationError where a column is missing or has another type, which is a bug.
    """
    return [msgspec.convert(row._asdict(), kind) for row in rows]


def to_json(value: Any) -> bytes:
    """Write dataclasses, ids, times and enums as JSON: times in UTC, ids also as keys, all keys in order."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)


def from_json(body: bytes, kind: Any) -> Any:
    """Read what `to_json` wrote of a `kind`."""
    return msgspec.json.decode(body, type=kind)
