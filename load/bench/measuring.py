"""The rounds: every contestant in turn, orders refilled and processor time read around each interval."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Protocol
from uuid import UUID

from load.bench.figures import Setting
from load.bench.machine import busy_seconds, count_cores, cpu_seconds_of, find_postmaster
from load.bench.orders import OrderStock
from load.bench.pgbench import Pgbench
from load.bench.samples import Interval, Sample, length_of, sample_of
from load.bench.served import serving_baseline, serving_valmed
from load.bench.stand import Stand

SPARE = 2.0  # orders provided for each that the fastest interval so far would have used
SPARE_ORDERS = 500
REPEATS_MAX = 8
LEAVING_SECONDS = 0.3  # until the backends of pgbench have ended and their processor time has been handed up


class Contestant(Protocol):
    """What can be measured."""

    name: str
    guessed_per_second: float  # so that the first interval has orders enough
    master: int | None  # the process whose tree is the application; None without one

    def run(self, orders: Sequence[UUID], *, clients: int, seconds: float) -> Interval:
        """Fulfils `orders` in their order, each at most once, for longer than `seconds`."""


STARTERS: Mapping[str, Callable[[Stand, ExitStack], Contestant]] = {
    "pgbench_prepared": lambda stand, stack: Pgbench(stand, prepared=True),
    "pgbench_simple": lambda stand, stack: Pgbench(stand, prepared=False),
    "valmed": lambda stand, stack: stack.enter_context(serving_valmed(stand)),
    "baseline": lambda stand, stack: stack.enter_context(serving_baseline(stand)),
}


class Measurement:
    """All samples of a run, by setting."""

    def __init__(
        self, stand: Stand, orders: OrderStock, contestants: Sequence[Contestant], *, seconds: float, quiet: float
    ) -> None:
        """An interval in which others used more than `quiet` of the processors is measured again."""
        self.samples: dict[Setting, list[Sample]] = defaultdict(list)
        self.discrepancies: list[str] = []  # where clients were told something else than what is in the database
        self._contestants = contestants
        self._seconds = seconds
        self._quiet = quiet
        self._orders = orders
        self._postmaster = find_postmaster(stand)
        self._fastest: dict[tuple[str, str], float] = {}

    def run(
        self, *, rounds: int, loads: Sequence[str], clients: Sequence[int]
    ) -> Iterator[tuple[int, Setting, Sample]]:
        """Measures every setting once in each round, after a rehearsal that does not count; yields each sample."""
        for contestant in self._contestants:
            self._measure(contestant, Setting(contestant.name, loads[0], clients[0]))
        for number in range(rounds):
            order = self._contestants if number % 2 == 0 else self._contestants[::-1]
            for load in loads:
                for many in clients:
                    for contestant in order:
                        setting = Setting(contestant.name, load, many)
                        sample = self._measure_in_quiet(contestant, setting)
                        self.samples[setting].append(sample)
                        yield number + 1, setting, sample

    def _measure_in_quiet(self, contestant: Contestant, setting: Setting) -> Sample:
        """A sample that others did not disturb; after REPEATS_MAX the least disturbed one."""
        samples: list[Sample] = []
        while len(samples) < REPEATS_MAX:
            samples.append(self._measure(contestant, setting))
            if samples[-1].other_share <= self._quiet:
                break
        return min(samples, key=lambda sample: sample.other_share)

    def _measure(self, contestant: Contestant, setting: Setting) -> Sample:
        kind = (setting.contestant, setting.load)
        expected = max(self._fastest.get(kind, 0.0) * SPARE, contestant.guessed_per_second)
        number = int(expected * length_of(self._seconds)) + SPARE_ORDERS
        orders = self._orders.provide(setting.load, number)
        began, before = time.monotonic(), self._cpu(contestant)
        interval = contestant.run(orders, clients=setting.clients, seconds=self._seconds)
        time.sleep(LEAVING_SECONDS)
        spent = {who: after - before[who] for who, after in self._cpu(contestant).items()}
        spent["client"] = interval.client_cpu_seconds
        other = spent.pop("machine") - sum(spent.values())
        other_share = max(0.0, other) / (time.monotonic() - began) / count_cores()
        completed = self._orders.settle(setting.load)
        if completed != interval.acknowledged:
            self.discrepancies.append(f"{setting}: {interval.acknowledged} good answers, {completed} orders completed")
        sample = sample_of(
            interval,
            clients=setting.clients,
            seconds=self._seconds,
            cpu_seconds=spent,
            other_share=other_share,
        )
        self._fastest[kind] = max(self._fastest.get(kind, 0.0), sample.requests / self._seconds)
        return sample

    def _cpu(self, contestant: Contestant) -> dict[str, float]:
        return {
            "application": cpu_seconds_of(contestant.master),
            "postgresql": cpu_seconds_of(self._postmaster),
            "machine": busy_seconds(),
        }
