"""The rounds: every contestant in turn, orders refilled and processor time read around each interval."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from typing import Protocol
from uuid import UUID

from load.bench.figures import Setting
from load.bench.machine import busy_seconds, count_cores, cpu_seconds_of, find_postmaster
from load.bench.pgbench import Pgbench
from load.bench.requests import in_rounds, one_by_one
from load.bench.samples import Interval, Sample, length_of, sample_of
from load.bench.served import serving_baseline, serving_valmed
from load.bench.stand import Stand

SPARE = 2.0  # orders provided for each that the fastest interval so far would have used
SPARE_ORDERS = 500
REPEATS_MAX = 8
ORDERS, ROUNDS = "/api/v1/orders", "/api/v1/fulfillments"
ROUND_SIZE = 20  # orders of a medication round
LEAVING_SECONDS = 0.3  # until the backends of pgbench have ended and their processor time has been handed up


class Contestant(Protocol):
    """What can be measured."""

    name: str
    guessed_per_second: float  # so that the first interval has orders enough
    master: int | None  # the process whose tree is the application; None without one

    def run(self, orders: Sequence[UUID], *, clients: int, seconds: float) -> Interval:
        """Fulfils `orders` in their order, each at most once, for longer than `seconds`."""


class Orders(Protocol):
    """What the contestants of a measurement are given to do."""

    def provide(self, load: str, number: int) -> Sequence[UUID]:
        """At least `number` orders to fulfil."""

    def settle(self, load: str) -> int | None:
        """How many of them were fulfilled since; None where nothing is changed."""


STARTERS: Mapping[str, Callable[[Stand, ExitStack], Contestant]] = {
    "pgbench_prepared": lambda stand, stack: Pgbench(stand, prepared=True),
    "pgbench_simple": lambda stand, stack: Pgbench(stand, prepared=False),
    "valmed": lambda stand, stack: stack.enter_context(
        serving_valmed(stand, "valmed", one_by_one(ORDERS, stand.token))
    ),
    "valmed_round": lambda stand, stack: stack.enter_context(
        serving_valmed(stand, "valmed_round", in_rounds(ROUNDS, ROUND_SIZE, stand.token))
    ),
    "baseline": lambda stand, stack: stack.enter_context(serving_baseline(stand)),
}


class Measurement:
    """What is measured on one stand."""

    def __init__(
        self, stand: Stand, orders: Orders, contestants: Sequence[Contestant], *, seconds: float, quiet: float
    ) -> None:
        """An interval in which others used more than `quiet` of the processors is measured again."""
        self.contestants = contestants
        self.size = stand.size
        self.discrepancies: list[str] = []  # where clients were told something else than what is in the database
        self._seconds = seconds
        self._quiet = quiet
        self._orders = orders
        self._postmaster = find_postmaster(stand)
        self._fastest: dict[tuple[str, str], float] = {}

    def measure_in_quiet(self, contestant: Contestant, load: str, clients: int) -> Sample:
        """A sample that others did not disturb; after REPEATS_MAX the least disturbed one."""
        samples: list[Sample] = []
        while len(samples) < REPEATS_MAX:
            samples.append(self.measure(contestant, load, clients))
            if samples[-1].other_share <= self._quiet:
                break
        return min(samples, key=lambda sample: sample.other_share)

    def measure(self, contestant: Contestant, load: str, clients: int) -> Sample:
        """The figures of one interval; compares what clients were told with what is in the database."""
        kind = (contestant.name, load)
        expected = max(self._fastest.get(kind, 0.0) * SPARE, contestant.guessed_per_second)
        number = int(expected * length_of(self._seconds)) + SPARE_ORDERS
        orders = self._orders.provide(load, number)
        began, before = time.monotonic(), self._cpu(contestant)
        interval = contestant.run(orders, clients=clients, seconds=self._seconds)
        time.sleep(LEAVING_SECONDS)
        spent = {who: after - before[who] for who, after in self._cpu(contestant).items()}
        spent["client"] = interval.client_cpu_seconds
        other = spent.pop("machine") - sum(spent.values())
        other_share = max(0.0, other) / (time.monotonic() - began) / count_cores()
        completed = self._orders.settle(load)
        if completed is not None and completed != interval.acknowledged:
            told = f"{interval.acknowledged} orders were told to be fulfilled, {completed} are"
            self.discrepancies.append(f"{contestant.name}, {load}, {clients} clients: {told}")
        sample = sample_of(
            interval,
            clients=clients,
            seconds=self._seconds,
            cpu_seconds=spent,
            other_share=other_share,
        )
        self._fastest[kind] = max(self._fastest.get(kind, 0.0), sample.asked / self._seconds)
        return sample

    def _cpu(self, contestant: Contestant) -> dict[str, float]:
        return {
            "application": cpu_seconds_of(contestant.master),
            "postgresql": cpu_seconds_of(self._postmaster),
            "machine": busy_seconds(),
        }


def measure_rounds(
    measurements: Sequence[Measurement], *, rounds: int, loads: Sequence[str], clients: Sequence[int]
) -> Iterator[tuple[int, Setting, Sample]]:
    """Measures every setting once in each round, after a rehearsal of each contestant; yields each sample."""
    turns = [(measurement, contestant) for measurement in measurements for contestant in measurement.contestants]
    for measurement, contestant in turns:
        measurement.measure(contestant, loads[0], clients[0])
    for number, load, many in product(range(rounds), loads, clients):
        for measurement, contestant in turns if number % 2 == 0 else reversed(turns):
            setting = Setting(contestant.name, load, many, measurement.size)
            yield number + 1, setting, measurement.measure_in_quiet(contestant, load, many)
