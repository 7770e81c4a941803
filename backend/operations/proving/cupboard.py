"""What is physically in a cupboard, by the tally of those who have their hands in it, beside what ValMed believes.

The model. A cupboard is a shelf of one controlled drug in one lot. Hands come first and the request after: a nurse
takes the units out and then records the dose, a pharmacist puts the delivery in and then receives it. Where the request
was certainly refused, they undo it. A unit may go and nobody says so. Whoever counts looks at one moment; a count that
does not state that moment keeps the cupboard to itself until it is answered. So the tally is exact at any moment, while
ValMed's books may or may not hold what was under way at that moment, and nothing else. Of that it has to take into
account, when it looks at the count again, what had arrived before somebody looked (arrivals.py).
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from backend.domain.stock.ledger import Shelf
from backend.operations.proving.pool import Pool

COMPANY_SECONDS_MAX, QUIET_SECONDS_MAX, POLL_SECONDS = 0.5, 2.0, 0.002


@dataclass(slots=True, eq=False)
class Hands:
    """Signed `units` that came into the cupboard or left it at `at`, in seconds of the run.

    `back_at` says when that was undone, because the request was refused. `key` is of the operation that records it;
    `heard_at` is when ValMed had certainly got the request that did, if anybody knows.
    """

    ward_id: UUID
    units: int
    at: float
    back_at: float | None = None
    key: tuple[str, str] = ("", "")
    heard_at: float | None = None


@dataclass(slots=True, eq=False)
class Look:
    """What somebody saw at `at`, which is `moment`: `units`, after `lost` of them had gone without a word to anybody.

    Where the request has not `stated` the moment, the cupboard stays closed until it ends.
    """

    ward_id: UUID
    units: int
    lost: int
    at: float
    moment: datetime
    stated: bool


@dataclass(frozen=True, slots=True)
class WriteOff:
    """Signed `units` by which the resolution of a variance is to change ValMed's books, and nothing else."""

    ward_id: UUID
    units: int


class Cupboard:
    """One cupboard, and what the clients know of it. What is taken from its pools is nobody else's meanwhile."""

    def __init__(
        self,
        shelf: Shelf,
        patients: Sequence[UUID],
        units: int,
        now: Callable[[], float],
        has_arrived: Callable[[tuple[str, str]], bool],
    ) -> None:
        """Make a cupboard with `units` that ValMed knows of.

        `now` tells the seconds of the run, `has_arrived` of an operation's key whether a request has reached ValMed.
        """
        self.shelf = shelf
        self.patients = patients
        self._units = units
        self._now = now
        self._has_arrived = has_arrived
        self._lock = threading.Condition()
        self._closed = False  # somebody looks, or is about to
        self._under_way: set[Hands] = set()
        self._being_counted = False
        self.orders = Pool()  # -> the next dose
        self.given = Pool()  # administration -> order, dose, units, whether the order was completed by it
        self.opened = Pool()  # count -> lot
        self.counted = Pool()  # count that is ready to be completed -> what was under way at its look
        self.variances = Pool()  # discrepancy -> units, what was under way when it was heard of
        self.outdated: set[str] = set()  # discrepancies that ValMed did not let anybody write off

    @property
    def under_way(self) -> frozenset[Hands]:
        """Tell whose request has not ended with certainty."""
        with self._lock:
            return frozenset(self._under_way)

    def reach(self, units: int) -> Hands | None:
        """Put `units` in; negative ones are taken out. None where too few are there, or somebody counts."""
        with self._lock:
            if self._closed or self._units + units < 0:
                return None
            self._units += units
            hands = Hands(self.shelf.ward_id, units, self._now())
            self._under_way.add(hands)
            self._lock.notify_all()
            return hands

    def done(self, hands: Hands) -> None:
        """Note that the request of `hands` was acknowledged."""
        with self._lock:
            self._under_way.discard(hands)
            self._lock.notify_all()

    def undo(self, hands: Hands) -> None:
        """Undo what `hands` did: the request certainly changed nothing."""
        with self._lock:
            self._units -= hands.units
            hands.back_at = self._now()
            self._under_way.discard(hands)
            self._lock.notify_all()

    def look_alone(self, *, lost: int, stated: bool) -> Look | None:
        """See what is there once nothing is under way, after `lost` units have gone unseen.

        None where somebody else counts, or it does not become quiet. `look_over` must follow a look.
        """
        with self._lock:
            if self._closed or self._units < lost:
                return None
            self._closed = True
            if self._lock.wait_for(lambda: not self._under_way, QUIET_SECONDS_MAX):
                return self._look(lost, stated)
            self._closed = False
            return None

    def look_in_company(self, *, lost: int, seconds: float) -> Look | None:
        """See what is there as soon as a request has reached ValMed that has not been answered, or after `seconds`.

        None where somebody else counts. `look_over` must follow a look.
        """
        ends = self._now() + min(seconds, COMPANY_SECONDS_MAX)
        while self._now() < ends and not any(self._has_arrived(hands.key) for hands in self.under_way):
            time.sleep(POLL_SECONDS)
        with self._lock:
            if self._closed or self._units < lost:
                return None
            self._closed = True
            return self._look(lost, stated=False)

    def look_over(self, look: Look) -> None:
        """Let others reach into the cupboard again: the request of `look` has ended."""
        if not look.stated:
            with self._lock:
                self._closed = False

    def begin_count(self) -> bool:
        """Begin a count that lasts until `end_count`, and say so; False where one has begun already."""
        with self._lock:
            wanted, self._being_counted = not self._being_counted, True
            return wanted

    def end_count(self) -> None:
        """Note that the count has ended, or never began."""
        with self._lock:
            self._being_counted = False

    def _look(self, lost: int, stated: bool) -> Look:
        """Look into the closed cupboard; where the request states its moment, others may reach into it at once."""
        self._units -= lost
        self._closed = not stated
        return Look(self.shelf.ward_id, self._units, lost, self._now(), datetime.now(UTC), stated)
