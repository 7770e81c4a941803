"""Many cases in one test: what is set up for all of them once, and whose failure was it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def naming(case: object) -> Iterator[None]:
    """Add `case` to what is told of an exception that is raised inside."""
    try:
        yield
    except BaseException as failure:
        failure.add_note(f"The case that failed: {case!r}")
        raise
