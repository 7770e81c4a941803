"""The end of a command that has started servers: whatever signals come, and however often, it tidies up once.

A supervisor, `timeout` and a person at the keyboard all signal twice: the process and its group, or out of impatience.
"""

import atexit
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128  # a shell calls an end by signal n 128 + n


class Ended(SystemExit):
    """A signal ended the command; `code` is what a shell calls that."""


def end_once() -> None:
    """From here on the first of SIGNALS raises Ended in the main thread, and those after it nothing.

    What is ignored already stays so: nohup, a job in the background.
    """
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _end)


def hold_signals() -> None:
    """SIGNALS wait, also in the program that this process becomes, until `take_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def take_signals() -> None:
    """What `hold_signals` kept waiting comes now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _end(number: int, _frame: object) -> None:
    for each in SIGNALS:
        if signal.getsignal(each) is _end:
            signal.signal(each, _ignore)
    atexit.register(_ignore_to_the_last)
    raise Ended(SIGNALLED + number)


def _ignore(_number: int, _frame: object) -> None:
    """Not SIG_IGN, which the programs started meanwhile would inherit."""


def _ignore_to_the_last() -> None:
    """The interpreter ends by giving every handler of ours back to the system, which would end the process by it."""
    for each in SIGNALS:
        if signal.getsignal(each) is _ignore:
            signal.signal(each, signal.SIG_IGN)
