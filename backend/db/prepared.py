"""Statements of the fulfil path, prepared once per connection.

Parsing and planning are about 40 % of PostgreSQL's work for these statements. A statement is written once, with `$1`;
`call` executes the prepared form, `inline` is the same statement with its values in the text, for a transaction
pooler that would give the next message to another server connection (`VALMED_PREPARE_STATEMENTS=0`).
"""

import re
from collections.abc import Sequence
from functools import cached_property


class Prepared:
    """A named statement with the SQL types of its parameters, in the order of `$1`, `$2` ..."""

    def __init__(self, name: str, types: Sequence[str], sql: str) -> None:
        self.name = f"valmed_{name}"
        self.types = tuple(types)
        self.sql = sql.strip()

    @cached_property
    def prepare(self) -> str:
        """PREPARE, sent once per connection."""
        types = f" ({', '.join(self.types)})" if self.types else ""
        return f"PREPARE {self.name}{types} AS {self.sql}"

    @cached_property
    def call(self) -> str:
        """EXECUTE with the driver's placeholders."""
        values = f" ({', '.join(['%s'] * len(self.types))})" if self.types else ""
        return f"EXECUTE {self.name}{values}"

    @cached_property
    def inline(self) -> str:
        """The statement itself with the driver's named placeholders `p1`, `p2` ..., each with its type."""

        def placeholder(match: re.Match[str]) -> str:
            number = int(match[1])
            return f"%(p{number})s::{self.types[number - 1]}"

        return re.sub(r"\$(\d+)", placeholder, self.sql.replace("%", "%%"))

    def named(self, values: Sequence[object]) -> dict[str, object]:
        """`values` by the names that `inline` uses."""
        return {f"p{number}": value for number, value in enumerate(values, start=1)}
