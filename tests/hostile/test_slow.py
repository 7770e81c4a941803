"""Clients who are slow, or silent, or do not hang up: they hold no worker, and not for ever a connection."""

import json
import socket
import struct
import time
from contextlib import ExitStack, closing

import pytest

from tests.api.valid_requests import everything
from tests.hospital import Hospital, sign_in
from tests.hostile.conftest import SECONDS, WORKERS
from tests.hostile.requests import WARDS
from tests.hostile.talking import CLOSED, Server, chunked, hear, request, status_of

SLOW = 10 * WORKERS
AT_ONCE = 0.75 * SECONDS  # what an answer may take on a busy machine: who waits for the slow waits for SECONDS
LATE = 8.0  # far from PATIENCE, which whoever is not cut off would use up
LONG = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 8_000) for number in range(20))  # still within gunicorn's limits


def begin(server: Server, stack: ExitStack, said: bytes) -> socket.socket:
    """A connection on which `said` was said and no more."""
    connection = stack.enter_context(closing(server.connect()))
    connection.sendall(said)
    return connection


def beginnings(token: str) -> dict[str, bytes]:
    """Requests that stop in the middle."""
    body = {"Content-Length": 500, "Transfer-Encoding": "chunked"}
    length, chunks = (
        request("POST", WARDS, f"{name}: {value}", body=b'{"na', length=False, token=token)
        for name, value in body.items()
    )
    return {
        "before the first byte": b"",
        "in the first line": b"GET /api",
        "in the headers": request(token=token)[:-2] + b"X-Slow: ",
        "in the body": length,
        "in a body that waits to go on": length[:-4].replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1),
        "in the last of long headers": request(token=token)[:-2] + LONG,
        "in a chunk that reads like the end": chunks.removesuffix(b'{"na') + b"500\r\nab\r\n0\r\n\r\n",
        "in a chunk": chunks.removesuffix(b'{"na') + b"500\r\nab",
        "between two chunks": chunks.removesuffix(b'{"na') + chunked(b'{"na').removesuffix(b"0\r\n\r\n"),
    }


def test_others_are_answered_at_once_and_the_slow_are_cut_off(server: Server, ours: Hospital, token: str) -> None:
    """Of every kind so many at the same time."""
    before = everything(ours)
    with ExitStack() as stack:
        began = time.monotonic()
        slow = {where: [begin(server, stack, said) for _ in range(SLOW)] for where, said in beginnings(token).items()}
        for _ in range(5):
            asked = time.monotonic()
            assert status_of(server.tell([request(token=token)])) == 200
            assert time.monotonic() - asked < AT_ONCE
        answers = {where: {status_of(hear(one)) for one in connections} for where, connections in slow.items()}
        assert SECONDS - 0.5 < time.monotonic() - began < SECONDS + LATE
    assert answers == {where: {CLOSED if where == "before the first byte" else 408} for where in answers}
    assert everything(ours) == before


def test_a_byte_now_and_then_gains_no_time(server: Server, token: str) -> None:
    began = time.monotonic()
    answer = server.tell([b"G", b"E", b"T", b" ", *[b"/"] * 200], pause=0.1)
    assert status_of(answer) in {408, CLOSED}
    assert time.monotonic() - began < SECONDS + LATE


def test_a_request_in_small_pieces_is_answered(server: Server, ours: Hospital, token: str) -> None:
    whole = request(token=token)
    pieces = [whole[at : at + 40] for at in range(0, len(whole), 40)]
    answer = server.tell(pieces, pause=0.02)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["organization"] == ours.slug


def test_who_waits_to_go_on_is_told_to(server: Server, token: str) -> None:
    sent = request("POST", WARDS, "Expect: 100-continue", body=b'{"name": 5}', token=token)
    with server.connect() as connection:
        connection.sendall(sent[: -len(b'{"name": 5}')])
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b'{"name": 5}')
        assert status_of(hear(connection)) == 422


def test_who_has_gone_when_told_to_go_on_ends_no_worker(server: Server, token: str) -> None:
    """A reset that came right behind the headers: they are read, and the answer to them fails."""
    headers = request("POST", WARDS, "Expect: 100-continue", "Content-Length: 11", length=False, token=token)
    at_once = struct.pack("ii", 1, 0)  # of SO_LINGER: close() resets
    for _ in range(SLOW):
        with server.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            connection.sendall(headers)
    for _ in range(WORKERS):
        assert status_of(server.tell([request(token=token)])) == 200
    assert "Exception in worker process" not in server.log.read_text()


@pytest.mark.parametrize("sized", [True, False])
def test_a_body_in_pieces_arrives_as_it_was_sent(server: Server, ours: Hospital, token: str, sized: bool) -> None:
    """Nearly as large as it may be: nothing of it is lost between the worker and the application."""
    body = json.dumps({"name": 5, "kind": "x" * 1_000_000}).encode()
    pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
    if sized:
        sent = [request("POST", WARDS, body=body, token=token)[: -len(body)], *pieces]
    else:
        head = request("POST", WARDS, "Transfer-Encoding: chunked", body=b"x", length=False, token=token)[:-1]
        sent = [head, *(chunked(piece).removesuffix(b"0\r\n\r\n") for piece in pieces), b"0\r\n\r\n"]
    answer = server.tell(sent, pause=0.01)
    assert status_of(answer) == 422
    assert b"/name" in answer
    assert b"/kind" in answer


@pytest.mark.parametrize("limit", [1_048_576, 4_194_304])
def test_a_file_in_chunks_above_its_limit_is_refused_and_not_cut_short(
    server: Server, ours: Hospital, token: str, limit: int
) -> None:
    """Its last line lies beyond the limit; what lies before it is a whole file."""
    if limit == 4_194_304:
        path, header = "/api/v1/claims/imports", "claim_id,payer,cpt,cpt_group,submitted_date,decided_date,outcome"
        lines = [f"C-{number},Aetna,72148,Imaging,2020-01-05,2020-01-20,PAID" for number in (1, 2)]
    else:
        path, header = f"/api/v1/wards/{ours.ward_id}/deliveries", "drug_id,lot_number,expires_on,quantity_units"
        lines = [f"{ours.drug_id},L{number},2031-05-31,10" for number in (1, 2)]
        token = sign_in(None, ours, "pharmacist").token
    file = f"{header}\n{lines[0]}\n".encode() + b"\n" * limit + lines[1].encode()
    pieces = [file[at : at + 65_536] for at in range(0, len(file), 65_536)]
    options = {"body": chunked(*pieces), "length": False, "kind": "text/csv", "token": token}
    before = everything(ours)
    assert status_of(server.tell([request("POST", path, "Transfer-Encoding: chunked", **options)])) == 413
    assert everything(ours) == before


def test_who_does_not_hang_up_holds_nobody(server: Server, token: str) -> None:
    with ExitStack() as stack:
        for _ in range(SLOW):
            connection = begin(server, stack, request(token=token))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        asked = time.monotonic()
        assert status_of(server.tell([request(token=token)])) == 200
        assert time.monotonic() - asked < AT_ONCE


def test_more_of_them_than_a_worker_keeps(server: Server, token: str) -> None:
    """The oldest give way; who comes last is answered."""
    with ExitStack() as stack:
        for _ in range(250 * WORKERS):
            begin(server, stack, b"GET /")
        asked = time.monotonic()
        assert status_of(server.tell([request(token=token)])) == 200
        assert time.monotonic() - asked < SECONDS
