"""Use cases: functions that carry who may call them and which lanes they take.

A use case has a verb for a name. It takes the session first and everything else by keyword, `actor` among it, and
returns a typed value. `change` and `read` declare what it needs; `Database.change` and `Database.read` see to it. Who
calls a use case, be it the API, a page, the command line or a test, knows neither its roles nor its lanes:

    database.change(dispatch.bind(actor=actor, transfer_id=transfer_id, sent=None), key=key)

Called with a session, a use case is its function, for another use case that runs in the same transaction and has
declared the lanes of both.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, get_type_hints

from backend.actor import STAFF, Actor, Role
from backend.db.session import Session

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Place(Protocol):
    """Something whose changes wait for each other in one lane, such as a shelf."""

    @property
    def lane(self) -> int:
        """The number of the lane."""


@dataclass(frozen=True, kw_only=True)
class UseCase(Generic[P, T]):
    """A function `(session, *, actor, ...)`, and who may call it."""

    function: Callable[Concatenate[Session, P], T]
    may: frozenset[Role]
    second_factor: bool
    changes: bool
    places: Callable[..., Iterable[Place]] | None

    def __call__(self, session: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the function in a transaction that is under way."""
        return self.function(session, *args, **kwargs)

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> "Bound[T]":
        """Put the arguments to the use case, for `Database.change` or `Database.read` to run it."""
        return Bound(self, kwargs)

    @property
    def name(self) -> str:
        """The name of the function, with that of its module's package: "custody.dispatch"."""
        return f"{self.function.__module__.split('.')[-2]}.{self.function.__name__}"

    @property
    def answers(self) -> Any:
        """The type of what it returns."""
        return get_type_hints(self.function)["return"]


@dataclass(frozen=True)
class Bound(Generic[T_co]):
    """A use case with its arguments."""

    use_case: UseCase[..., T_co]
    arguments: Mapping[str, Any]

    @property
    def actor(self) -> Actor:
        """Return the person or the operator who asks."""
        actor: Actor = self.arguments["actor"]
        return actor

    def admit(self) -> None:
        """Raise Forbidden, SecondFactorRequired where the actor may not call it."""
        admit(self.use_case, self.actor)

    def places(self, session: Session) -> Sequence[Place]:
        """Find the places whose lanes the use case takes. Raises what its `places` raises if something is not there."""
        find = self.use_case.places
        if find is None:
            return ()
        wanted = {name: self.arguments.get(name) for name in _names(find)}
        return tuple(find(session, **wanted))

    def run(self, session: Session) -> T_co:
        """Run it in a transaction that holds its lanes."""
        return self.use_case.function(session, **self.arguments)


def admit(use_case: UseCase[..., Any], actor: Actor) -> None:
    """Raise Forbidden, SecondFactorRequired where `actor` may not call the use case."""
    actor.require(use_case.may)
    if use_case.second_factor:
        actor.require_second_factor()


def change(
    *,
    may: frozenset[Role] = STAFF,
    second_factor: bool = False,
    places: Callable[..., Iterable[Place]] | None = None,
) -> Callable[[Callable[Concatenate[Session, P], T]], UseCase[P, T]]:
    """Declare a use case that changes something.

    `places` finds whose lanes it takes, from the session of a read before and those of its arguments that `places`
    names. Raises TypeError for a name that the use case does not have.
    """

    def declare(function: Callable[Concatenate[Session, P], T]) -> UseCase[P, T]:
        unknown = set(_names(places)) - set(inspect.signature(function).parameters) if places is not None else set()
        if unknown:
            raise TypeError(f"{function.__name__} has no argument {', '.join(sorted(unknown))}")
        return UseCase(function=function, may=may, second_factor=second_factor, changes=True, places=places)

    return declare


def read(*, may: frozenset[Role] = STAFF) -> Callable[[Callable[Concatenate[Session, P], T]], UseCase[P, T]]:
    """Declare a use case that only reads."""

    def declare(function: Callable[Concatenate[Session, P], T]) -> UseCase[P, T]:
        return UseCase(function=function, may=may, second_factor=False, changes=False, places=None)

    return declare


def _names(function: Callable[..., Any]) -> Sequence[str]:
    """The names of the arguments that follow the session."""
    return tuple(inspect.signature(function).parameters)[1:]
