"""Make everything that a serving process says a line of its log, whoever says it: gunicorn, SQLAlchemy, Python itself.

Decision: of what others log the sentence stays, with its numbers; every other value is left out, and of an error its
kind and frames stay. Because a driver's message, a refused header or a warning may hold a patient's name or a password,
and nobody can tell by looking at a text. Cost: less to read than a traceback; where it happened is always there.

Decision: a worker's standard error is a pipe that a thread of its own reads. Because C code prints there past Python:
libpq does, of a connection that is ended while it begins. Cost: a thread, and the last words of a worker that crashes.
"""

import logging
import os
import re
import signal
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, TextIO

from gunicorn.config import Config as GunicornConfig
from gunicorn.glogging import Logger

from backend.config import Config
from backend.observability import configure_logging, log

STDERR = 2
_VALUE_BEGINS = re.compile(r"""[:=<\[{"'`]""")
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_Caught = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class ServerLog(Logger):  # type: ignore[misc]
    """gunicorn's own log, as lines of ours; from its start on everything else that the process says is one too."""

    def setup(self, cfg: GunicornConfig) -> None:
        """Follows gunicorn's settings, but for where and how lines are written."""
        super().setup(cfg)
        config = Config.from_env()
        configure_logging(config.log_level, config.log_file)
        for each in (self.error_log, self.access_log):
            each.handlers.clear()
            each.propagate = True
        take_over()


def take_over() -> None:
    """Make one line of the log of whatever would go to standard error from here on."""
    root = logging.getLogger()
    root.handlers[:] = [_ToLog()]
    root.setLevel(logging.WARNING)
    warnings.showwarning = _warned
    sys.excepthook = lambda *caught: _uncaught("uncaught_error", caught)
    threading.excepthook = lambda args: _uncaught("uncaught_error", (args.exc_type, args.exc_value, args.exc_traceback))
    sys.unraisablehook = lambda args: _uncaught("ignored_error", (args.exc_type, args.exc_value, args.exc_traceback))


def take_over_stderr() -> None:
    """Make one line of the log of each that this process writes to the descriptor of standard error from here on. Once
    in each worker: the thread that does it does not outlive a fork."""
    reading, writing = os.pipe()
    os.dup2(writing, STDERR)
    os.close(writing)
    threading.Thread(target=_tell_lines, args=(reading,), name="stderr", daemon=True).start()


def _tell_lines(descriptor: int) -> None:
    with os.fdopen(descriptor, "rb") as lines:
        for line in lines:
            log.warning("printed", message=_before_values(line.decode(errors="replace")))


class _ToLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of `record`."""
        log.log(
            max((level for level in _LEVELS if level <= record.levelno), default=logging.DEBUG),
            "library_logged",
            logger=record.name,
            message=_without_values(record),
            where=f"{record.pathname}:{record.lineno} {record.funcName}",
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def _without_values(record: logging.LogRecord) -> str:
    """The sentence as it stands in the code, with its numbers. Where it came already filled in, up to the first value
    that a sign leads to."""
    said = str(record.msg)
    if not isinstance(record.args, tuple) or not record.args:
        return _before_values(said)
    try:
        return said % tuple(value if _is_harmless(value) else "?" for value in record.args)
    except (TypeError, ValueError):  # %d of what is no number
        return said


def _is_harmless(value: object) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, str) and value in signal.Signals.__members__)


def _before_values(said: str) -> str:
    return _VALUE_BEGINS.split(said, maxsplit=1)[0].strip()


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log.warning("python_warned", category=category.__name__, where=f"{filename}:{lineno}")


def _uncaught(event: str, caught: _Caught | Any) -> None:
    log.error(event, exc_info=caught)
