"""Values that no field can mean, by its kind; the tests of bad input send every one of them."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from marshmallow import Schema, fields, validate

from backend.web.fields import Change, Choice, Count, Day, Flag, Id, Line, Moment, ScannedCode, Search

TEXTS = ["", " ", " x", "x ", "a\0b", "a\nb", "a\tb", "\x1b[31m", "a\x7fb", "a\x85b", "a\u2028b", "\ue000", "\uffff"]
NO_TEXT: list[Any] = [5, 1.5, True, [], ["x"], {"a": 1}]
NO_STRING: list[Any] = [5, True, [], {}]
DAYS = ["", "0001-01-01", "9999-12-31", "1900-12-31", "2200-01-01", "2026-02-30", "2026-1-1", "2026-W01-1", "today"]
MOMENTS = [
    *("", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2200-01-01T00:00:00Z", "1767225600"),
    *("2026-W01-1T00:00:00Z", "20260101T000000Z", "2026-01-01T00:00:00+00:00:30", "2026-01-01x00:00:00Z"),
    *("10000-01-01T00:00:00Z", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00\x00Z"),
]
COUNTS: list[Any] = ["5", "", 1.5, 1.0, True, False, [], [1], {}, 0, -1, 10**40, -(10**40), 2**31, 2**63, 2**64, 1e300]
IDS: list[Any] = ["", "x", 5, True, [], {}, "0" * 31, "0" * 33, "00000000-0000-0000-0000-00000000000g", "x" * 100_000]


LONG = "x" * 100_000
WRONG: dict[type[fields.Field[Any]], list[Any]] = {
    Change: [value for value in COUNTS if value != -1],
    Count: COUNTS,
    ScannedCode: [*NO_STRING, "", "a\0b", "a\nb", "caf\xe9", "x" * 201, LONG],
    Line: [*NO_TEXT, *TEXTS, LONG],
    Search: [*NO_TEXT, *(text for text in TEXTS if text.strip() == text != ""), LONG],
    Id: IDS,
    Moment: [*NO_STRING, *MOMENTS, 10**40],
    Day: [*NO_STRING, *DAYS, "2026-01-31T00:00:00Z", 10**40],
    Choice: [*NO_STRING, "", "x", "STAT", "Nurse", "active ", LONG],
    Flag: ["true", "yes", "", 0, 1, 0.0, [], {}],
    fields.String: [*NO_STRING, "", LONG, "a\0b"],
    fields.List: ["x", 5, True, {}, {"0": "x"}, [[]]],
}


def wrong_values(field: fields.Field[Any]) -> Iterator[Any]:
    """Values that the field cannot mean; a kind of field that is not in WRONG is a KeyError."""
    kind = next((kind for kind in type(field).__mro__ if kind in WRONG), type(field))
    allowed = [0] if any(isinstance(check, validate.Range) and check.min == 0 for check in field.validators) else []
    yield from (value for value in WRONG[kind] if not (type(value) is int and value in allowed))
    if not field.allow_none:
        yield None
    if isinstance(field, fields.List):
        yield from ([value] for value in wrong_values(field.inner))
    for check in field.validators:
        if isinstance(check, validate.Range):
            yield from (check.min - 1, check.max + 1)
        if isinstance(check, validate.Length):
            right = str(uuid.uuid4()) if isinstance(getattr(field, "inner", None), Id) else "x"
            yield [right] * (check.max + 1) if isinstance(field, fields.List) else right * (check.max + 1)


def _wrong_lengths(field: fields.List[Any]) -> Iterator[int]:
    for check in field.validators:
        if isinstance(check, validate.Length):
            yield check.max + 1
            yield from [0] * bool(check.min)


def wrong_bodies(schema: Schema, right: dict[str, Any], pointer: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """`right` with one wrong value, and the pointer to it."""
    for name, field in schema.fields.items():
        where = f"{pointer}/{name}"
        if isinstance(field, fields.Nested):
            yield from ((where, {**right, name: value}) for value in (None, 5, "x", True, [], [{}]))
            for inner, body in wrong_bodies(field.schema, right[name], where):
                yield inner, {**right, name: body}
        elif isinstance(field, fields.List) and isinstance(field.inner, fields.Nested):
            yield from ((where, {**right, name: value}) for value in ("x", 5, True, {}, None, [[]], [5], [None]))
            yield from ((where, {**right, name: right[name] * times}) for times in _wrong_lengths(field))
            for inner, body in wrong_bodies(field.inner.schema, right[name][0], f"{where}/0"):
                yield inner, {**right, name: [body, *right[name][1:]]}
        else:
            yield from ((where, {**right, name: value}) for value in wrong_values(field))


def encoded(key: Any) -> str:
    """A cursor of our form that holds `key`."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


ANY_ID = "00000000-0000-7000-8000-000000000000"
CURSORS_OF_NO_LIST = [
    *("", "x", "====", "!!!", "caf\xe9", "x" * 2_001, "bm90IGpzb24", base64.urlsafe_b64encode(b"\xff\xfe").decode()),
    *(encoded(key) for key in (None, 5, "x", {}, [], [None], [1, 2, 3, 4], {"0": "all"})),
    *(encoded([None] * length) for length in (2, 3)),
    *(encoded([[]] * length) for length in (2, 3)),
    *(encoded([{}] * length) for length in (2, 3)),
    *(encoded([1] * length) for length in (2, 3)),
    *(encoded([True, "a", ANY_ID]), encoded(["all", "a", "x"]), encoded(["sideways", "a", ANY_ID])),
    *(encoded([["all"], "a", ANY_ID]), encoded([{"all": 1}, "a", ANY_ID]), encoded(["all", "a\0", ANY_ID])),
    *(encoded(["a\0", ANY_ID]), encoded(["2026-01-01", "x"]), encoded(["2026-01-01T00:00:00Z", [ANY_ID]])),
    *(encoded([day, ANY_ID, ANY_ID]) for day in ("x", "2026-02-30", "2026-01-01T00:00:00Z", 20260101, None)),
    *(encoded(["2026-01-01", "x", ANY_ID]), encoded(["2026-01-01", ANY_ID, None])),
]
CURSORS_OF_NO_TIME = [
    encoded([moment, ANY_ID])
    for moment in (
        "x",
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
    )
]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 10**40, 2**31, 2**63])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from([*TEXTS, *DAYS, *MOMENTS, ANY_ID, "stat", "nurse", "x" * 10_000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
