"""Guard every change that a request makes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from backend.actor import Actor
from backend.db import Session
from backend.db.use_cases import Place
from backend.domain.custody.blind import refusing_blindly
from backend.domain.identity.standing import ensure_stands
from backend.domain.stock.ledger import Shelf


@contextmanager
def guarded(session: Session, actor: Actor, places: Sequence[Place]) -> Iterator[None]:
    """Look whether the sign-in of `actor` still stands, and hide figures of a blind count from refusals.

    Raises NotAuthenticated where it has ended.
    """
    ensure_stands(session, actor)
    with refusing_blindly(session, actor, [place for place in places if isinstance(place, Shelf)]):
        yield
