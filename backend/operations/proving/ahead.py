"""Run gunicorn with a clock that is ahead.

`python -m backend.operations.proving.ahead SECONDS ...`, then gunicorn's own arguments.

It is for one node of a proof and no part of the product. It moves the clocks that Python code can ask for the time of
day: those of `datetime` and `time.time`. PostgreSQL, the other nodes and every measured duration keep theirs.
"""

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from typing import Any


def set_ahead(seconds: float) -> None:
    """Move the clock of this process, and of what it forks, `seconds` ahead.

    The methods of the built-in types are replaced in place, so that a module that has imported `datetime` by name sees
    the moved clock as well.
    """
    clock, now, ahead = time.time, datetime.now, timedelta(seconds=seconds)

    def moved(_type: type[datetime], tz: tzinfo | None = None) -> datetime:
        return now(tz) + ahead

    time.time = lambda: clock() + seconds
    _replace(datetime, "now", moved)
    _replace(datetime, "today", moved)
    _replace(date, "today", lambda _type: moved(datetime).date())


def _replace(kind: type, name: str, method: Callable[..., Any]) -> None:
    """Give a built-in type another class method: its dictionary is behind a view that refuses it."""
    (methods,) = (found for found in gc.get_referents(kind.__dict__) if isinstance(found, dict))
    methods[name] = classmethod(method)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


if __name__ == "__main__":
    set_ahead(float(sys.argv.pop(1)))

    from gunicorn.app.wsgiapp import run

    run()
