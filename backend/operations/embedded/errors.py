"""What the embedded server says when it cannot do what it was asked."""

from collections.abc import Iterator
from contextlib import contextmanager


class EmbeddedError(Exception):
    """The private PostgreSQL cannot be used; the message says why and, where there is one, the way out."""


@contextmanager
def explain_os_errors(what: str) -> Iterator[None]:
    """Raises EmbeddedError "cannot `what`: ..." in place of the operating system's errors in its block."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(f"cannot {what}: {error}") from error
