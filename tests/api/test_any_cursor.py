"""Any text as a cursor: a page of one's own rows or a refusal; whoever forged it, from whichever list or hospital."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import ValidationFailed
from backend.web import cursors
from tests.api.bad_values import JSON, encoded
from tests.api.valid_requests import LISTS, OPERATIONS, least, login_for, send
from tests.hospital import Client, Hospital

SHARE = 20  # pages of a list for so many examples of other tests
PARTS: dict[cursors.KeyPart, st.SearchStrategy[Any]] = {
    cursors.text_part: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40),
    cursors.mode_part: st.sampled_from(sorted(cursors.MODES)),
    cursors.time_part: st.datetimes(timezones=st.just(UTC)) | st.just(datetime.min.replace(tzinfo=UTC)),
    cursors.day_part: st.dates() | st.sampled_from([date.min, date.max]),
    cursors.id_part: st.uuids(),
    cursors.number_part: st.integers(0, 2**63 - 1),
    cursors.share_part: st.floats(0, 1),
}
KEYS = sorted({OPERATIONS[name].page for name in LISTS}, key=str)


def key_of(parts: tuple[cursors.KeyPart, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Keys as a list of this kind has them."""
    return st.tuples(*(PARTS[part] for part in parts))


@given(
    parts=st.sampled_from(KEYS), text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | JSON.map(encoded)
)
def test_any_text_is_a_key_or_refused(parts: tuple[cursors.KeyPart, ...], text: str) -> None:
    try:
        after = cursors.page_request(None, text, parts).after
    except ValidationFailed as refused:
        refusal: ValidationFailed | None = refused
    else:
        refusal = None
    if refusal is not None:
        assert [error["pointer"] for error in refusal.members["errors"]] == ["/cursor"]
    else:
        assert after is not None
        assert len(after) == len(parts)


@given(data=st.data(), parts=st.sampled_from(KEYS))
def test_a_key_comes_back_as_it_was(data: st.DataObject, parts: tuple[cursors.KeyPart, ...]) -> None:
    key = data.draw(key_of(parts))
    cursor = cursors.encode(key)
    assert cursors.page_request("7", cursor, parts).after == key
    assert cursors.page_request("7", cursor, parts).limit == 7


@given(limit=st.text(max_size=5) | st.integers(-10, 1_000).map(str))
def test_any_limit_is_a_number_or_refused(limit: str) -> None:
    try:
        assert cursors.page_request(limit, None, ()).limit == int(limit)
    except ValidationFailed:
        assert limit not in {str(number) for number in range(1, 201)}


def _all(client: Client, name: str, hospital: Hospital) -> Iterator[dict[str, Any]]:
    """The whole list, page by page."""
    cursor: dict[str, str] = {}
    while True:
        page = send(client, name, least(name, hospital, limit="200", **cursor)).get_json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("name", LISTS)
def test_a_forged_cursor_shows_no_row_but_ones_own(
    staff: dict[str, Client], ours: Hospital, theirs: Hospital, name: str
) -> None:
    """Among the forged are the ids and texts of another hospital."""
    client = staff[login_for(name)]
    mine = list(_all(client, name, ours))

    @settings(max_examples=max(1, settings().max_examples // SHARE))
    @given(key=key_of(OPERATIONS[name].page), other=st.booleans())
    def ask(key: tuple[Any, ...], other: bool) -> None:
        if other:
            key = tuple(
                theirs.ward_id if part is cursors.id_part else value
                for part, value in zip(OPERATIONS[name].page, key, strict=True)
            )
        response = send(client, name, least(name, ours, cursor=cursors.encode(key)))
        assert response.status_code == 200, (key, response.text)
        assert all(item in mine for item in response.get_json()["items"])

    ask()
