"""The tests mean the same under `nohup` and in a background job as in a terminal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from backend.operations.embedded.ending import SIGNALS
from tests.signalling import signals_of_a_terminal

OBEYED = "import signal, sys; print(signal.getsignal(int(sys.argv[1])) is not signal.SIG_IGN)"


@pytest.fixture(params=SIGNALS, ids=lambda each: each.name)
def ignored(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that this process ignores, as after `nohup`."""
    before = signal.signal(request.param, signal.SIG_IGN)
    yield request.param
    signal.signal(request.param, before)


def test_started_program_obeys_a_signal_that_the_tests_ignore(ignored: signal.Signals) -> None:
    def obeyed() -> bool:
        command = [sys.executable, "-c", OBEYED, str(int(ignored))]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"

    assert not obeyed()
    with signals_of_a_terminal():
        os.kill(os.getpid(), ignored)  # ends nothing
        assert obeyed()
    assert signal.getsignal(ignored) is signal.SIG_IGN
    assert not obeyed()


def test_signals_of_this_session_are_not_ignored() -> None:
    assert [each for each in SIGNALS if signal.getsignal(each) is signal.SIG_IGN] == []
