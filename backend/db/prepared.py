"""Statements with named parameters, prepared once per connection.

Rule: statements that are hot or cannot be said in SQLAlchemy Core are `Prepared` text with named parameters; all others
are Core. Because parsing and planning are about 40 % of PostgreSQL's work for the statements of a fulfilment, which
PREPARE does once per connection, and because locks, lists of CTEs and `unnest` read better as the SQL that they are;
while Core is checked by mypy, follows a renamed column and puts conditions together. Cost: two ways to write SQL.
SQLAlchemy's `text` is left for what PREPARE is not made for: statements that are put together at run time, those over a
temporary table, reports whose best plan depends on the values (after five runs PostgreSQL may keep one plan for all),
and the tools that open their own connection.

A parameter is written with its name and, in at least one of its places, with its type: `:lot_id::uuid`. The same name
is the same parameter; a cast to another type is written `(:lot_id)::text`. The statement numbers the names itself,
once, when it is defined, so that pieces of SQL can be put together without counting. PostgreSQL gets `$1`, `$2` ...
with the declared types, and the values in this order.

`call` executes the prepared form, `inline` is the same statement with its values in the text, for a transaction
pooler that would give the next message to another server connection (`VALMED_PREPARE_STATEMENTS=0`).
"""

import re
from collections.abc import Mapping
from functools import cached_property

# What is kept as it is comes first: literals, quoted names and comments, in which a colon is a colon, and casts.
_TOKEN = re.compile(
    r"""
    \b[eE]'(?:[^'\\]|\\.|'')*' | '[^']*' | "[^"]*" | \$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$
    | --[^\n]* | /\*.*?\*/ | ::
    | :(?P<name>[a-z_][a-z0-9_]*)(?:::(?P<type>[a-z_][a-z0-9_]*(?:\[\])?))?
    | (?P<number>\$[0-9]+)
    """,
    re.VERBOSE | re.DOTALL,
)


class Prepared:
    """A statement with named parameters.

    `text` is what was written, `sql` is the same with `$1`, `$2` ..., `types` are the names with their SQL types in
    this order. Raises ValueError for a parameter that has no type or two, and for one that is numbered by hand.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = f"valmed_{name}"
        self.text = text.strip()
        self.types = self._find_types()
        self.sql = self.filled({parameter: f"${number}" for number, parameter in enumerate(self.types, start=1)})

    @cached_property
    def prepare(self) -> str:
        """PREPARE, sent once per connection."""
        types = f" ({', '.join(self.types.values())})" if self.types else ""
        return f"PREPARE {self.name}{types} AS {self.sql}"

    @cached_property
    def call(self) -> str:
        """EXECUTE with the driver's placeholders, for the values that `ordered` returns."""
        values = f" ({', '.join(['%s'] * len(self.types))})" if self.types else ""
        return f"EXECUTE {self.name}{values}"

    @cached_property
    def inline(self) -> str:
        """The statement itself with the driver's named placeholders, each with its type, for values by name."""
        return _filled(
            self.text.replace("%", "%%"), {name: f"%({name})s::{type_}" for name, type_ in self.types.items()}
        )

    def ordered(self, values: Mapping[str, object]) -> tuple[object, ...]:
        """Put `values` in the order of `$1`, `$2` ... Raises TypeError unless they are those of the parameters."""
        if values.keys() != self.types.keys():
            missing, unknown = sorted(self.types.keys() - values), sorted(values.keys() - self.types)
            raise TypeError(f"{self.name}: missing {missing}, unknown {unknown}")
        return tuple(map(values.__getitem__, self.types))

    def filled(self, values: Mapping[str, str]) -> str:
        """Write the statement with the SQL text that `values` has for each parameter, in place of name and type."""
        return _filled(self.text, values)

    def _find_types(self) -> dict[str, str]:
        """Find the type of each parameter, in the order in which the parameters first stand in the text."""
        found: dict[str, set[str]] = {}
        for token in _TOKEN.finditer(self.text):
            if token["number"]:
                raise ValueError(f"{self.name}: parameters have names, not {token['number']}")
            if token["name"]:
                found.setdefault(token["name"], set()).update(filter(None, [token["type"]]))
        for parameter, types in found.items():
            if len(types) != 1:
                raise ValueError(f"{self.name}: :{parameter} needs one type, not {sorted(types)}")
        return {parameter: types.pop() for parameter, types in found.items()}


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _TOKEN.sub(lambda token: values[token["name"]] if token["name"] else token[0], text)
