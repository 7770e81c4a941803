"""When requests had reached the application, as its messages to PostgreSQL show.

A client knows when a request was sent and answered, not when it arrived: it may have waited for a worker. But the
application asks PostgreSQL about a token first, and PostgreSQL then reads the clock. Only after that does it begin
transactions, and each names the request at its beginning. So a request that is named had arrived.
"""

import re
import time

_NAMED = re.compile(
    rb"app\.organization_id='([0-9a-f-]{36})';SET LOCAL app\.user_id='[^']*';"
    rb"SET LOCAL app\.request_id='([0-9]+-[0-9]+)(\.[0-9]+[ab]?)/"
)


class Arrivals:
    """The requests that were named so far. Safe to use from any thread."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[bytes, bytes], float] = {}
        self._operations: set[tuple[bytes, bytes]] = set()

    def note(self, message: bytes) -> None:
        """Note the request that a message on its way to PostgreSQL names, if it names one."""
        found = _NAMED.search(message)
        if found is not None:
            owner, name, attempt = found.groups()
            self._attempts.setdefault((owner, name + attempt), time.monotonic())
            self._operations.add((owner, name))

    def any_of(self, key: tuple[str, str]) -> bool:
        """Tell whether an attempt at the operation, given by organization and name, has arrived."""
        owner, name = key
        return (owner.encode(), name.encode()) in self._operations

    def of(self, key: tuple[str, str]) -> float | None:
        """Tell by when the request, given by organization and request id, had arrived; None where nobody saw it.

        The answer is in seconds of time.monotonic().
        """
        owner, request_id = key
        return self._attempts.get((owner.encode(), request_id.encode()))
