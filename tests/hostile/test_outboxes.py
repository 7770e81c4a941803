"""Answers that wait for their clients, in every form that an answer may have: whole, within limits, and to the end."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backend.web.server.outbox import ANSWER_BYTES_MAX
from backend.web.server.worker import BYTES_MAX, ENDING_SECONDS, OUTBOXES_MAX
from tests.hostile.answering import PIECE_BYTES, Answering, content, serving_answers
from tests.hostile.reading import ask, body_of, is_cut_off, quickly, read_steadily
from tests.hostile.talking import Server, chunked, hear, request, status_of

SECONDS = 2.0
LENGTH = 1_200_000
PACE = 250_000  # bytes a second: LENGTH takes longer than SECONDS, and several times what a client must read


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answering]:
    """One worker for this module, which outlives every test."""
    with serving_answers(tmp_path_factory.mktemp("answering"), seconds=SECONDS) as made:
        yield made
    said = made.server.log.read_text()
    assert "WORKER TIMEOUT" not in said
    assert "Exception in worker process" not in said


@pytest.fixture
def bare(answering: Answering) -> Server:
    """Where it listens."""
    return answering.server


def dropped(server: Server, reason: str) -> list[dict[str, Any]]:
    """The log lines of readers who were dropped for `reason`."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "reader_dropped" and line["reason"] == reason]


FORMS = {
    "of a known length": request(target=f"/sized/{LENGTH}"),
    "in chunks": request(target=f"/chunks/{LENGTH}"),
    "until the end of the connection": request(target=f"/open/{LENGTH}", version="HTTP/1.0"),
    "of a file": request(target=f"/file/{LENGTH}"),
    "to a client that waited to go on": request("POST", f"/sized/{LENGTH}", "Expect: 100-continue", body=b"x"),
    "to a client that would keep the connection": request("GET", f"/sized/{LENGTH}", "Connection: keep-alive"),
}


def test_steady_readers_get_the_whole_of_every_form_of_answer(bare: Server) -> None:
    """Several of each form at the same time, though each takes longer than a reader who stops is waited for."""
    forms = [*FORMS] * 4
    with ExitStack() as stack, ThreadPoolExecutor(len(forms)) as pool:
        began = time.monotonic()
        connections = [ask(bare, stack, FORMS[form]) for form in forms]
        answers = [*pool.map(lambda connection: read_steadily(connection, PACE), connections)]
        assert time.monotonic() - began > 2 * SECONDS
    pieces = [content(LENGTH)[at : at + PIECE_BYTES] for at in range(0, LENGTH, PIECE_BYTES)]
    for form, answer in zip(forms, answers, strict=True):
        head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
        assert b"\r\nConnection: close" in head, form
        assert body == (chunked(*pieces) if form == "in chunks" else content(LENGTH)), form


def test_head_of_a_large_answer_has_no_body(bare: Server) -> None:
    for kind in ("sized", "file"):
        answer, _ = quickly(bare, request("HEAD", f"/{kind}/{LENGTH}", length=False))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % LENGTH in answer


def test_reader_who_stops_is_reset_and_not_told_a_short_answer(bare: Server) -> None:
    """Nobody can take the part for the whole where no length was promised."""
    before = len(dropped(bare, "slow"))
    with ExitStack() as stack:
        connection = ask(bare, stack, FORMS["until the end of the connection"])
        time.sleep(2 * SECONDS)
        with pytest.raises(ConnectionResetError):
            read_steadily(connection, 10 * PACE)
    lines = dropped(bare, "slow")[before:]
    assert len(lines) == 1
    assert SECONDS <= lines[0]["seconds"] < 3 * SECONDS
    assert 0 < lines[0]["bytes_left"] < LENGTH


def test_answer_above_the_limit_of_one_is_cut_off_and_a_smaller_is_not(bare: Server) -> None:
    before = len(dropped(bare, "answer_too_large"))
    with ExitStack() as stack:
        connection = ask(bare, stack, request(target=f"/sized/{ANSWER_BYTES_MAX + 5_000_000}"))
        assert is_cut_off(connection, 10, pause=0.1)
    assert len(dropped(bare, "answer_too_large")) == before + 1
    length = ANSWER_BYTES_MAX // 2
    assert body_of(quickly(bare, request(target=f"/sized/{length}"))[0]) == content(length)


def test_bytes_of_all_answers_are_limited_and_the_slowest_give_way(tmp_path: Path) -> None:
    length = BYTES_MAX // 6
    with serving_answers(tmp_path, seconds=30) as made, ExitStack() as stack, ThreadPoolExecutor() as pool:
        steady = pool.submit(read_steadily, ask(made.server, stack, FORMS["of a known length"]), PACE)
        time.sleep(1)  # the steady reader is under way before the others come
        for _ in range(10):
            assert ask(made.server, stack, request(target=f"/sized/{length}")).recv(1) == b"H"
        assert quickly(made.server, request(target="/sized/5"))[0].endswith(content(5))
        assert 10 - 6 <= len(dropped(made.server, "too_many")) <= 10 - 4
        assert body_of(steady.result()) == content(LENGTH)


def test_more_readers_than_a_worker_keeps_and_the_slowest_give_way(tmp_path: Path) -> None:
    """The first of all reads steadily and gets everything; among those who do not read the oldest go."""
    with serving_answers(tmp_path, seconds=30) as made, ExitStack() as stack, ThreadPoolExecutor() as pool:
        steady = pool.submit(read_steadily, ask(made.server, stack, FORMS["of a known length"]), PACE)
        stopped = [ask(made.server, stack, request(target="/sized/250000")) for _ in range(OUTBOXES_MAX + 20)]
        assert stopped[-1].recv(1) == b"H"
        answer, seconds = quickly(made.server, request(target="/sized/5"))
        assert answer.endswith(content(5))
        assert seconds < 1
        assert len(dropped(made.server, "too_many")) in {20, 21}  # the steady one may have got all by now
        assert body_of(steady.result()) == content(LENGTH)
        assert is_cut_off(stopped[0], 5, pause=0.1)
        assert body_of(b"H" + hear(stopped[-1])) == content(250_000)


def test_reader_who_waits_for_the_worker_is_not_late(tmp_path: Path) -> None:
    """It reads all that the kernel takes, which is little, while the worker is busy for longer than readers have."""
    with (
        serving_answers(tmp_path, seconds=SECONDS, buffer=2_048) as made,
        ExitStack() as stack,
        ThreadPoolExecutor() as pool,
    ):
        connection = ask(made.server, stack, request(target="/sized/250000"))
        assert connection.recv(1) == b"H"
        reading = pool.submit(read_steadily, connection, PACE)
        quickly(made.server, request(target=f"/busy/{1_500 * SECONDS:.0f}"))
        assert body_of(b"H" + reading.result()) == content(250_000)


def test_readers_who_go_away_in_the_middle_leave_nothing(answering: Answering) -> None:
    bare, before = answering.server, len(dropped(answering.server, "too_many"))
    for _ in range(OUTBOXES_MAX + 10):
        with ExitStack() as stack:
            assert ask(bare, stack, FORMS["of a known length"]).recv(1) == b"H"
    quickly(bare, request(target="/sized/5"))
    used = answering.processor_seconds()
    time.sleep(SECONDS / 2)
    assert answering.processor_seconds() - used < 0.1
    assert len(dropped(bare, "too_many")) == before


def test_application_that_fails_in_the_middle_ends_no_worker(bare: Server) -> None:
    """The client can tell: the last chunk never comes."""
    with ExitStack() as stack:
        answer = read_steadily(ask(bare, stack, request(target=f"/fails/{LENGTH}")), 10 * PACE)
    assert content(LENGTH)[-100:] in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert status_of(quickly(bare, request(target="/sized/5"))[0]) == 200


def test_worker_that_is_told_to_stop_finishes_answers_that_are_read(tmp_path: Path) -> None:
    with serving_answers(tmp_path, seconds=30) as made, ExitStack() as stack, ThreadPoolExecutor() as pool:
        steady = pool.submit(read_steadily, ask(made.server, stack, FORMS["of a known length"]), LENGTH / 3)
        time.sleep(0.5)
        assert 1 < made.stop() < ENDING_SECONDS
        assert body_of(steady.result()) == content(LENGTH)


def test_worker_that_is_told_to_stop_waits_for_nobody_for_long(tmp_path: Path) -> None:
    """And sleeps meanwhile, though somebody new waits at its door."""
    with serving_answers(tmp_path, seconds=30) as made, ExitStack() as stack, ThreadPoolExecutor() as pool:
        stopped = ask(made.server, stack, FORMS["of a known length"])
        assert stopped.recv(1) == b"H"
        ends = pool.submit(made.stop)
        time.sleep(1)
        ask(made.server, stack, FORMS["of a known length"])
        used = made.processor_seconds()
        time.sleep(ENDING_SECONDS / 2)
        assert made.processor_seconds() - used < 0.1
        assert ENDING_SECONDS - 1 < ends.result() < ENDING_SECONDS + 5
        assert len(hear(stopped)) < LENGTH


def test_worker_that_has_answered_enough_finishes_before_the_next_begins(tmp_path: Path) -> None:
    with serving_answers(tmp_path, "--max-requests", "1", seconds=30) as made, ExitStack() as stack:
        answers: list[bytes] = []
        connection = ask(made.server, stack, FORMS["of a known length"])
        reader = threading.Thread(target=lambda: answers.append(read_steadily(connection, LENGTH / 2)))
        reader.start()
        answer, _ = quickly(made.server, request(target="/sized/5"))
        assert answer.endswith(content(5))
        reader.join()
        assert body_of(answers[0]) == content(LENGTH)


def test_readers_who_stop_do_not_keep_the_worker_busy(answering: Answering) -> None:
    """It sleeps while nobody takes anything."""
    with ExitStack() as stack:
        for _ in range(20):
            ask(answering.server, stack, FORMS["of a known length"])
        quickly(answering.server, request(target="/sized/5"))
        before = answering.processor_seconds()
        time.sleep(SECONDS / 2)
        assert answering.processor_seconds() - before < 0.1
