"""The signals that programs started by a test obey, whoever started the tests."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from backend.operations.embedded.ending import SIGNALS


@contextmanager
def signals_of_a_terminal() -> Iterator[None]:
    """Let the programs started inside obey SIGNALS, as those that a person starts in a terminal do.

    `nohup` and the background jobs of a script ignore SIGHUP and SIGINT, and so does every program that they start. A
    handler that does nothing ignores them as well, so that this process lives on, but no program inherits it. To be
    used in the main thread, as the interpreter asks for handlers.
    """
    ignored = [each for each in SIGNALS if signal.getsignal(each) is signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, lambda *_: None)
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)
