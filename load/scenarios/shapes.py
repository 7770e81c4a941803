"""How many people are at work when. `-u`, `-r` and `-t` mean here what they mean in any run of Locust."""

from argparse import Namespace
from typing import ClassVar

from locust import LoadTestShape, User

from load.scenarios.timetable import hour_at, staffing

PEOPLE, PEOPLE_PER_SECOND = 40, 10.0
Tick = tuple[int, float, list[type[User]] | None]


class Lasting(LoadTestShape):
    """A run with an end: after `-t`, else after `seconds`; with `-u` people, else PEOPLE."""

    abstract = True
    use_common_options = True
    seconds = 180.0
    must_be_flat = False  # memory and connections of the server

    def tick(self) -> Tick | None:
        """Who works now; None at the end."""
        spent: float = self.get_run_time()  # type: ignore[no-untyped-call]
        return None if spent >= self._length else self.staff(spent / self._length)

    def staff(self, share: float) -> Tick:
        """Who works when `share` of the run is over."""
        return self.people, self._rate, None

    @property
    def people(self) -> int:
        """How many there are at most; Locust's own default of 1 is no hospital."""
        given = self._options.num_users or 0
        return given if given > 1 else PEOPLE

    @property
    def _length(self) -> float:
        return float(self._options.run_time or self.seconds)

    @property
    def _rate(self) -> float:
        given = self._options.spawn_rate or 0
        return float(given) if given > 1 else PEOPLE_PER_SECOND

    @property
    def _options(self) -> Namespace:
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert isinstance(options, Namespace)
        return options


class Day(Lasting):
    """The hours of timetable.py; a subclass says who comes for which occasion, and who is there for none."""

    abstract = True
    staff_usual: ClassVar[list[type[User]]] = []
    staff_of: ClassVar[dict[str, type[User]]] = {}

    def staff(self, share: float) -> Tick:
        """The people of that hour; Locust takes those whom it must add from the classes named."""
        now = staffing(hour_at(share), self.people)
        added = [self.staff_of[now.occasion]] if now.occasion else self.staff_usual
        return now.people + now.more, self._rate, added
