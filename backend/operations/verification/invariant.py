"""What an invariant is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule, the number it has in domain.md, and the query for rows `(what)` that break it."""

    number: int
    title: str
    query: str
