"""Bodies in chunks: however they are cut, the application gets what gunicorn alone would have given it, and soon."""

import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from gunicorn.config import Config as GunicornConfig
from gunicorn.http import get_parser
from gunicorn.http.errors import ParseException
from hypothesis import given
from hypothesis import strategies as st

from backend.web.server.worker import Arrival
from tests.hostile.conftest import WORKERS
from tests.hostile.reading import quickly
from tests.hostile.requests import WARDS
from tests.hostile.talking import Server, request, status_of

HEAD = b"POST / HTTP/1.1\r\nHost: valmed.example\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY_MAX = 10_000
SETTINGS = GunicornConfig()
SETTINGS.set("http_parser", "python")
AT_ONCE = 1.0  # seconds
SMALL_CHUNKS = 200_000  # for which gunicorn alone takes two seconds


def _chunk(data: bytes, size: str, extension: bytes, end: bytes) -> bytes:
    return (size % len(data)).encode() + extension + b"\r\n" + data + end


RIGHT = st.builds(_chunk, st.binary(min_size=1, max_size=40), st.just("%x"), st.just(b""), st.just(b"\r\n"))
ODD = st.builds(
    _chunk,
    st.binary(min_size=1, max_size=40),
    st.sampled_from(["%x", "%X", "00%x", "0000000000000000000%x", "%x ", " %x", "-%x", "0x%x", "1%x", "%xg"]),
    st.sampled_from([b"", b";a", b" ; a=b", b';a="b;\\"c"', b"; ", b";", b";a=\x00", b";a\r", b";\n", b";a=b;c=d"]),
    st.sampled_from([b"\r\n", b"\n", b"", b"\r\r\n", b"x\r\n"]),
)
LAST = st.sampled_from(
    [b"0\r\n\r\n"] * 4
    + [
        b"0\r\nX-A: b\r\n\r\n",
        b"000\r\n\r\n",
        b"0;a\r\n\r\n",
        b"0 \r\n\r\n",
        b"0\r\nno\r\n\r\n",
        b"0\n\n",
        b"0\r\n\r\nGET",
    ]
)


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Where requests arrive."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def read_by_gunicorn(raw: bytes) -> bytes | None:
    """The body that gunicorn's parser reads from `raw`; None where it refuses it."""
    try:
        body: bytes = next(get_parser(SETTINGS, iter([raw]), ("127.0.0.1", 1))).body.read()
    except (ParseException, OSError):  # OSError: there is less than was promised
        return None
    return body


def deliver(listener: socket.socket, pieces: list[bytes]) -> bytes | None:
    """What the worker hands to gunicorn of a request that comes in `pieces`; None where it waits for more."""
    with socket.create_connection(listener.getsockname()) as sender:
        arrival = Arrival(listener, 10.0, BODY_MAX)
        with arrival.client:
            for piece in pieces:
                sender.sendall(piece)
                while select.select([arrival.client], [], [], 0.0005)[0]:
                    if arrival.is_there():
                        return bytes(arrival.take())
    return None


@given(
    st.one_of(st.lists(RIGHT, max_size=12), st.lists(st.one_of(RIGHT, ODD), max_size=6)),
    LAST,
    st.lists(st.integers(0, 400), max_size=8),
)
def test_chunks_cut_anywhere_give_the_body_that_gunicorn_reads(
    listener: socket.socket, chunks: list[bytes], last: bytes, cuts: list[int]
) -> None:
    raw = HEAD + b"".join(chunks) + last
    at = sorted({0, len(raw), *(len(HEAD) - 5 + cut for cut in cuts if len(HEAD) - 5 + cut < len(raw))})
    handed = deliver(listener, [raw[start:end] for start, end in pairwise(at)])
    expected = read_by_gunicorn(raw)
    assert (None if handed is None else read_by_gunicorn(handed)) == expected
    if expected is not None and handed is not None:
        assert handed.count(b"\r\n", len(HEAD)) <= expected.count(b"\r\n") + last.count(b"\r\n") + 2  # one chunk


def test_body_above_the_limit_is_handed_over_before_its_end(listener: socket.socket) -> None:
    handed = deliver(listener, [HEAD, *[b"1\r\na\r\n" * 1_000] * (BODY_MAX // 1_000 + 1)])
    assert handed is not None
    assert handed.startswith(HEAD + b"%x\r\n" % (BODY_MAX + 1_000) + b"a" * BODY_MAX)


def test_many_small_chunks_hold_no_worker(server: Server, token: str) -> None:
    """On a busy machine they may be cut off as too slow."""
    body = b"1\r\n[\r\n" * SMALL_CHUNKS + b"0\r\n\r\n"
    said = request("POST", WARDS, "Transfer-Encoding: chunked", body=body, length=False, token=token)
    with ThreadPoolExecutor(2 * WORKERS) as pool:
        answers = [pool.submit(quickly, server, said) for _ in range(2 * WORKERS)]
        while not all(answer.done() for answer in answers):
            health, seconds = quickly(server, request(target="/healthz"))
            assert status_of(health) == 200
            assert seconds < AT_ONCE
        assert {status_of(answer.result()[0]) for answer in answers} <= {400, 408}
