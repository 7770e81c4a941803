"""What a client wants to do: a request, and what an answer to it would mean."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import orjson

from backend.actor import Role
from backend.domain.stock.ledger import Shelf
from backend.operations.proving.board import Board
from backend.operations.proving.cupboard import Hands, Look, WriteOff
from backend.operations.proving.exchange import ID
from backend.operations.proving.pool import Pool


class Posted(NamedTuple):
    """Signed units that an answer says have moved: for what, why."""

    reference_id: str
    reason: str
    units: int


class Shown(NamedTuple):
    """What the board of `ward_id` shows of an order after an answer: `dose` as the next one, or a later one.

    An order that is not `open` any more may be gone from the board.
    """

    ward_id: str
    order_id: str
    dose: int
    open: bool


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
Shows = Callable[[Any], Iterable[Shown]]


@dataclass(frozen=True, slots=True)
class Wish:
    """A request that somebody wants to make. `about` is what it was picked from and goes if it is refused.

    `ward_id` is where the person must work for it, where the wish knows; `witness_id` is whom the body names as
    witness. `hands`, `look` and `write_off` say what it has to do with what is physically in a cupboard.
    """

    path: str
    body: Any = None
    method: str = "POST"
    learn: Learn = lambda answer: None
    posts: Posts = lambda answer: ()
    seats: Seats = lambda answer: ()
    shows: Shows = lambda answer: ()
    expects: Sequence[Shown] = ()  # what the answer of a board that is read must show
    ward_id: str = ""
    witness_id: str | None = None
    hands: Hands | None = None
    look: Look | None = None
    write_off: WriteOff | None = None
    once: bool = False  # nobody may want the same at the same time: hands or eyes have begun it
    excused: str = ""  # the problem code that is no bug, whatever the checker thinks of it elsewhere
    about: list[Known] = field(default_factory=list)
    lapse: Callable[[bool], None] = lambda certain: None  # told of the end where it was not acknowledged
    changes: Callable[[Any], bool] = lambda answer: True  # whether this answer says that anything was changed

    @property
    def reads(self) -> bool:
        """Whether it only looks."""
        return self.method == "GET"

    @property
    def ids(self) -> set[bytes]:
        """The ids that it asks with."""
        return {*ID.findall(self.path.encode()), *ID.findall(orjson.dumps(self.body))}

    def forget(self, *, certain: bool) -> None:
        """It was not acknowledged: what it was about is no longer worked on as it was known.

        Where it is `certain` that it never happens, hands put back what they took.
        """
        drop(self.about)
        self.lapse(certain)


class Act(NamedTuple):
    """Something that people of a role do, so often among all that they do; None where there is nothing to do it to.

    `at_cupboard` it begins with hands or eyes, so that nobody of another hospital can want it.
    """

    name: str
    role: Role
    weight: int
    wish: Callable[[Board, Random, int], Wish | None]
    at_cupboard: bool = False


def of_shelf(shelf: Shelf) -> dict[str, str]:
    """The two fields by which a body names a shelf."""
    return {"ward_id": str(shelf.ward_id), "drug_id": str(shelf.drug_id)}


def drop(known: list[Known]) -> None:
    """Takes what was known off the board."""
    for pool, thing, knowledge in known:
        pool.drop(thing, knowledge)
