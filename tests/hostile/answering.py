"""A WSGI application that answers in every way that an application may, under ValMed's gunicorn with one worker."""

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.cli.running import ROOT, clean_environment
from tests.hostile.talking import Server, request, status_of

HOST = "127.0.0.1"
PIECE_BYTES = 50_000
STOP_SECONDS = 60.0
Start = Callable[[str, list[tuple[str, str]]], object]


@cache
def content(length: int) -> bytes:
    """`length` bytes, always the same, of which no two parts are alike, so that one that is lost or doubled shows."""
    return Random(length).randbytes(length)


def answer(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """Answers /KIND/LENGTH with `content(LENGTH)`; /busy/LENGTH takes so many milliseconds as well."""
    _, kind, length = environ["PATH_INFO"].split("/")
    time.sleep(int(length) / 1_000 if kind == "busy" else 0)
    body = content(int(length))
    sized = [("Content-Length", length)] if kind in {"sized", "file"} else []
    start("200 OK", [("Content-Type", "text/plain"), *sized])
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    if kind == "file":
        file = tempfile.TemporaryFile()  # noqa: SIM115 - gunicorn closes it
        file.write(body)
        file.seek(0)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped
    return _pieces(io.BytesIO(body), fails=kind == "fails")


def _pieces(body: io.BytesIO, *, fails: bool) -> Iterator[bytes]:
    while piece := body.read(PIECE_BYTES):
        yield piece
    if fails:
        raise RuntimeError("The application fails in the middle of its answer.")


class Answering:
    """A server of `answer`, and its processes."""

    def __init__(self, server: Server, process: subprocess.Popen[bytes]) -> None:
        self.server = server
        self._process = process

    def stop(self) -> float:
        """Ask it to finish and to end; the seconds that it took."""
        asked = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STOP_SECONDS)
        return time.monotonic() - asked

    def processor_seconds(self) -> float:
        """What its worker has used of the processor."""
        master = self._process.pid
        (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        figures = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        return (int(figures[11]) + int(figures[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving_answers(folder: Path, *options: str, seconds: float, buffer: int = 0) -> Iterator[Answering]:
    """`answer` under ValMed's gunicorn with one worker and more of gunicorn's `options`; it has answered once.

    The kernel takes about `buffer` bytes of an answer at once, where that is not 0.
    """
    log = folder / "log"
    with socket.create_server((HOST, 0)) as listener, log.open("wb") as output:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        bind = ["--bind", f"fd://{listener.fileno()}", "--workers", "1", *options]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "--config",
                "backend/operations/gunicorn.conf.py",
                *bind,
                f"{__name__}:answer",
            ],
            cwd=ROOT,
            env=clean_environment(request_seconds_max=str(seconds)),
            stdout=output,
            stderr=output,
            pass_fds=[listener.fileno()],
        )
        port = listener.getsockname()[1]
    try:
        server = Server(HOST, port, log)
        assert status_of(server.tell([request(target="/sized/5")])) == 200
        yield Answering(server, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)
