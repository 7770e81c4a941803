"""A pool of things that clients may work on, each with what is known of it."""

import threading
from itertools import islice
from random import Random
from typing import Any

POOL_SIZE_MAX = 400
CROWDED, CROWD = 0.3, 3  # how often a client goes for one of how many that others go for too


class Pool:
    """Things by id with what is known of each; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}

    def put(self, thing: str, knowledge: Any) -> None:
        """Remembers it, or the newer knowledge of it."""
        with self._lock:
            self._known[thing] = knowledge
            while len(self._known) > POOL_SIZE_MAX:
                del self._known[next(iter(self._known))]

    def pick(self, chance: Random) -> tuple[str, Any] | None:
        """One of them, often one of the oldest few, so that clients meet; None where there is none."""
        crowded, place = chance.random() < CROWDED, chance.random()
        with self._lock:
            size = min(CROWD, len(self._known)) if crowded else len(self._known)
            return next(islice(self._known.items(), int(size * place), None), None)

    def drop(self, thing: str, knowledge: Any) -> None:
        """Forgets it, unless somebody has learned something newer of it."""
        with self._lock:
            if thing in self._known and self._known[thing] == knowledge:
                del self._known[thing]

    def take(self, chance: Random) -> tuple[str, Any] | None:
        """Take one out, so that nobody else can pick it until it is put back. None where there is none."""
        place = chance.random()
        with self._lock:
            thing = next(islice(self._known, int(len(self._known) * place), None), None)
            return None if thing is None else (thing, self._known.pop(thing))

    def claim(self, thing: str) -> Any:
        """Take this one out, so that nobody else can pick it, and tell what is known of it; None where it is gone."""
        with self._lock:
            return self._known.pop(thing, None)
