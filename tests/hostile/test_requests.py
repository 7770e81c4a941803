"""Hostile requests to the server as it is started: no 5xx, nothing changed, the next one is answered."""

import pytest

from tests.api.valid_requests import everything
from tests.hospital import Hospital
from tests.hostile.requests import HOSTILE
from tests.hostile.talking import Server, request, status_of


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_and_changes_nothing(server: Server, ours: Hospital, token: str, name: str) -> None:
    hostile, expected = HOSTILE[name]
    before = everything(ours)
    answer = server.tell([hostile(token)])
    assert status_of(answer) == expected, answer[:2_000]
    assert everything(ours) == before
    assert status_of(server.tell([request(token=token)])) == 200
