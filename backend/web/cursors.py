"""Opaque cursors of keyset lists: the key of the last row, as base64url of JSON."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import orjson

from backend.db.paging import LIMIT_DEFAULT, LIMIT_MAX, PageRequest
from backend.errors import ValidationFailed

CURSOR_LENGTH_MAX = 2_000  # a name of 200 characters, four bytes each, and an id in base64
MODES = frozenset({"all", "begins", "contains"})
_LIMIT = re.compile(r"[1-9][0-9]{0,2}")

KeyPart = Callable[[Any], Any]


def text_part(value: Any) -> str:
    """A text without NUL, which the database could not compare."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def mode_part(value: Any) -> str:
    """How a search was done (db/searching.py)."""
    if text_part(value) not in MODES:
        raise ValueError
    return str(value)


def time_part(value: Any) -> datetime:
    """A time with its offset, within the years that UTC can name."""
    moment = datetime.fromisoformat(text_part(value))
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def day_part(value: Any) -> date:
    """A calendar day."""
    return date.fromisoformat(text_part(value))


def id_part(value: Any) -> UUID:
    """An id."""
    return UUID(text_part(value))


def number_part(value: Any) -> int:
    """A number that the database counted."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError
    return value


def either_part(value: Any) -> int:
    """Return 0 or 1, which say in which of two parts of a list a row stands."""
    if number_part(value) > 1:
        raise ValueError
    return int(value)


def share_part(value: Any) -> float:
    """A number from 0 to 1."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError
    return float(value)


BY_EXPIRY = (day_part, id_part)
BY_NUMBER = (number_part,)
BY_SEVERITY = (share_part, id_part)
BY_TIME = (time_part, id_part)
BY_NAME = (mode_part, text_part, id_part)
BY_NAME_OF_ROW = (mode_part, id_part)  # where no URL may tell the name: whoever lists looks it up by the id
BY_ROW = (id_part,)  # the same of a list in one order
BY_TEXT = (text_part, id_part)
BY_RANK = (number_part, time_part, id_part)
BY_BED = (number_part, text_part, id_part, either_part, time_part, id_part)  # an order on a board, without the name
BY_LACK = (either_part, text_part, id_part)
BY_DAY = (day_part, id_part, id_part)
BY_DRUG_AND_LOT = (text_part, id_part, day_part, id_part)


def encode(key: tuple[Any, ...] | None) -> str | None:
    """The cursor that stands for `key`."""
    return None if key is None else base64.urlsafe_b64encode(orjson.dumps(tuple(key))).decode().rstrip("=")


def page_request(
    limit: str | int | None, cursor: str | None, parts: Sequence[KeyPart], *, unless_said: int = LIMIT_DEFAULT
) -> PageRequest:
    """The page that `cursor` and `limit`, or else `unless_said`, ask for. Raises ValidationFailed."""
    return PageRequest(unless_said if limit is None else _limit(str(limit)), _decode(cursor, parts))


def _limit(text: str) -> int:
    if not (_LIMIT.fullmatch(text) and int(text) <= LIMIT_MAX):
        raise ValidationFailed.of("limit", f"a whole number from 1 to {LIMIT_MAX}")
    return int(text)


def _decode(cursor: str | None, parts: Sequence[KeyPart]) -> tuple[Any, ...] | None:
    if cursor is None:
        return None
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or len(values) != len(parts):
            raise ValueError
        return tuple(part(value) for part, value in zip(parts, values, strict=True))
    except (ValueError, binascii.Error, OverflowError):
        raise ValidationFailed.of("cursor", "not a cursor of this list") from None
