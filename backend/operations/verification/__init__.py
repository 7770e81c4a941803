"""Verify that a database keeps every invariant."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule, as `valmed verify` names it, and the query for rows `(what)` that break it.

    A query reads the tables and nothing else: no cache, no counter of ours. `$organization` is the hospital that is
    checked; the rules of the schema are of none.
    """

    title: str
    query: str
