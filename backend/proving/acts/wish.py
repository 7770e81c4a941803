"""What a client wants to do: a request, and what an answer to it would mean."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import orjson

from backend.actor import Role
from backend.proving.board import Board, Pool
from backend.proving.exchange import ID
from backend.stock.ledger import Shelf


class Posted(NamedTuple):
    """Signed units that an answer says have moved: for what, why."""

    reference_id: str
    reason: str
    units: int


class Seat(NamedTuple):
    """A place on a care team that an answer says has begun or ended."""

    begins: bool
    patient_id: str
    provider_id: str
    role: str


Known = tuple[Pool, str, Any]
Learn = Callable[[Any], None]
Posts = Callable[[Any], Iterable[Posted]]
Seats = Callable[[Any], Iterable[Seat]]


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that somebody wants to make. `about` is what it was picked from and goes if it is refused."""

    path: str
    body: Any = None
    method: str = "POST"
    learn: Learn = lambda answer: None
    posts: Posts = lambda answer: ()
    seats: Seats = lambda answer: ()
    excused: str = ""  # the problem code that is no bug, whatever the checker thinks of it elsewhere
    about: list[Known] = field(default_factory=list)
    changes: Callable[[Any], bool] = lambda answer: True  # whether this answer says that anything was changed

    @property
    def reads(self) -> bool:
        """Whether it only looks."""
        return self.method == "GET"

    @property
    def ids(self) -> set[bytes]:
        """The ids that it asks with."""
        return {*ID.findall(self.path.encode()), *ID.findall(orjson.dumps(self.body))}

    def forget(self) -> None:
        """What it was about is no longer worked on as it was known."""
        drop(self.about)


class Act(NamedTuple):
    """Something that people of a role do, so often among all that they do; None where there is nothing to do it to."""

    name: str
    role: Role
    weight: int
    wish: Callable[[Board, Random, int], Wish | None]


def of_shelf(shelf: Shelf) -> dict[str, str]:
    """The two fields by which a body names a shelf."""
    return {"ward_id": str(shelf.ward_id), "drug_id": str(shelf.drug_id)}


def drop(known: list[Known]) -> None:
    """Takes what was known off the board."""
    for pool, thing, knowledge in known:
        pool.drop(thing, knowledge)
