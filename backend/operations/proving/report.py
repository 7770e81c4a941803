"""What a proof tells: figures of the history, faults and how long they were felt, checks, verdict."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from statistics import median
from typing import Any

from backend.operations.proving.checker import Units, Verdict
from backend.operations.proving.faults import Fault
from backend.operations.proving.history import BUSY, Attempt, History


@dataclass(frozen=True, slots=True)
class Recovery:
    """How often a kind of fault struck, and the seconds until a change was acknowledged that was asked for after it."""

    count: int
    median_seconds: float
    longest_seconds: float


@dataclass(frozen=True)
class Report:
    """A proof and its figures."""

    seed: int
    seconds: float
    hospitals: int
    clients: int
    surroundings: dict[str, Any]  # versions and machine
    operations: int  # changes that clients wanted
    attempts: int  # requests for them
    acknowledged: int
    refused: dict[str, int]  # by problem code
    replayed: int  # answers that repeated an earlier one
    retried: int  # requests after the first, for whatever reason
    busy: int  # answers 503
    unanswered: int  # requests whose outcome was unknown
    tried_again: dict[str, int]  # transactions that the application ran again by itself, by reason
    acts: dict[str, int]  # acknowledged changes by what was done
    tricks: dict[str, int]  # faults of the clients themselves
    faults: dict[str, Recovery]
    longest_silence_seconds: float  # between two acknowledged changes
    verdict: Verdict

    @property
    def acknowledged_per_second(self) -> float:
        """Over the whole run, faults and all."""
        return round(self.acknowledged / self.seconds, 1)

    @property
    def faults_count(self) -> int:
        """How many faults struck, the clients' own left out."""
        return sum(recovery.count for recovery in self.faults.values())

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "verdict": "proven" if self.verdict.proven else "broken",
            **{name: value for name, value in vars(self).items() if name not in {"verdict", "faults"}},
            "acknowledged_per_second": self.acknowledged_per_second,
            "longest_silence_seconds": round(self.longest_silence_seconds, 3),
            "faults_count": self.faults_count,
            "faults": {
                kind: {
                    "count": felt.count,
                    "recovery_median_seconds": round(felt.median_seconds, 3),
                    "recovery_longest_seconds": round(felt.longest_seconds, 3),
                }
                for kind, felt in self.faults.items()
            },
            "units": {slug: _as_plain(units) for slug, units in self.verdict.units.items()},
            "care_team_seats": {**asdict(self.verdict.seats), "missing": self.verdict.seats.missing},
            "cupboards": asdict(self.verdict.cupboards),
            "checks": [
                {"title": check.title, "broken": check.broken, "examples": list(check.examples)}
                for check in self.verdict.checks
            ],
        }

    def lines(self) -> Iterator[str]:
        """Everything for a person."""
        yield (
            f"{self.attempts:,} requests for {self.operations:,} changes: {self.acknowledged:,} acknowledged,"
            f" {sum(self.refused.values()):,} refused, {self.replayed:,} replayed, {self.retried:,} retried"
            f" ({self.busy:,} answers 503, {self.unanswered:,} without an answer);"
            f" {self.acknowledged_per_second:,} acknowledged a second"
        )
        yield ""
        yield from _table("acknowledged", self.acts)
        yield from _table("refused", self.refused)
        yield from _table("tricks of the clients", self.tricks)
        yield from _table("run again by the application", self.tried_again)
        yield f"  {'faults':<58} {'count':>7} {'recovery, median':>27} {'longest':>9}"
        for kind, felt in self.faults.items():
            yield f"    {kind:<56} {felt.count:>7,} {felt.median_seconds:>25.3f} s {felt.longest_seconds:>7.3f} s"
        yield f"    {'all':<56} {self.faults_count:>7,} {'longest silence':>27} {self.longest_silence_seconds:>7.3f} s"
        yield ""
        for slug, units in self.verdict.units.items():
            yield _balance(slug, units)
        seats = self.verdict.seats
        yield f"  care teams: {seats.begun:,} places begun, {seats.ended:,} ended" + (
            f", {seats.missing:,} NOT THE SAME IN THE DATABASE" if seats.missing else ""
        )
        tally = self.verdict.cupboards
        yield (
            f"  cupboards: {tally.counts:,} counts against what was there, {tally.exact:,} to the unit,"
            f" {tally.in_company:,} while ValMed had a request under way; {tally.written_off:,} variances written off"
        )
        yield ""
        for check in self.verdict.checks:
            yield f"  {check.title:<90} {f'BROKEN {check.broken}' if check.broken else 'ok'}"
            yield from (f"      {example}" for example in check.examples)
        yield ""
        yield "  " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.surroundings.items())
        yield f"{'PROVEN' if self.verdict.proven else 'BROKEN'} (seed {self.seed}, {self.seconds:g} s)"


def _balance(slug: str, units: Units) -> str:
    moved = " ".join(f"{value:+,} {reason}" for reason, value in sorted(units.moved.items()))
    return (
        f"  units of {slug}: {units.initial:,} initial {moved} = {units.on_hand:,} on hand"
        f" + {units.on_the_way:,} on their way + {units.lost_on_the_way:,} lost there"
        + (f", {units.missing:,} MISSING" if units.missing else "")
    )


def _as_plain(units: Units) -> dict[str, int]:
    held = {"on_hand": units.on_hand, "on_the_way": units.on_the_way, "lost_on_the_way": units.lost_on_the_way}
    return {"initial": units.initial, **units.moved, **held, "missing": units.missing}


def _table(title: str, counted: dict[str, int]) -> Iterator[str]:
    yield f"  {title:<58} {'count':>7}"
    yield from (f"    {name:<56} {count:>7,}" for name, count in counted.items())
    yield ""


def _by_frequency(names: Sequence[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def summarise(
    history: History, faults: Sequence[Fault], tricks: Sequence[str], verdict: Verdict, **plan: Any
) -> Report:
    """The report of a run; `plan` gives the fields that are not counted here."""
    changes = history.changes
    attempts = [attempt for operation in changes for attempt in operation.attempts]
    replies = [attempt.reply for attempt in attempts if attempt.reply is not None]
    acknowledged = [operation for operation in changes if operation.acknowledged is not None]
    told = [attempt for operation in acknowledged if (attempt := operation.acknowledging) is not None]
    times = sorted(attempt.answered_at for attempt in told)
    return Report(
        **plan,
        operations=len(changes),
        attempts=len(attempts),
        acknowledged=len(acknowledged),
        refused=_by_frequency([operation.refusal for operation in changes if operation.refusal]),
        replayed=sum(reply.replayed for reply in replies),
        retried=len(attempts) - len(changes),
        busy=sum(reply.status == BUSY for reply in replies),
        unanswered=len(attempts) - len(replies),
        acts=_by_frequency([operation.act for operation in acknowledged]),
        tricks=_by_frequency(tricks),
        faults=_recoveries(faults, told),
        longest_silence_seconds=max((after - before for before, after in pairwise(times)), default=0),
        verdict=verdict,
    )


def _recoveries(faults: Sequence[Fault], told: Sequence[Attempt]) -> dict[str, Recovery]:
    """By kind, how long it took until a change that was asked for after the fault was acknowledged; a fault without a
    later change is left out of the seconds."""
    sent = sorted(told, key=lambda attempt: attempt.sent_at)
    soonest = list(accumulate((attempt.answered_at for attempt in reversed(sent)), min))[::-1]
    felt: dict[str, list[float]] = defaultdict(list)
    for fault in faults:
        place = bisect_right(sent, fault.at, key=lambda attempt: attempt.sent_at)
        felt[fault.kind] += [soonest[place] - fault.at] if place < len(sent) else []
    counts = Counter(fault.kind for fault in faults)
    return {
        kind: Recovery(counts[kind], median(felt[kind] or [0]), max(felt[kind], default=0)) for kind in sorted(counts)
    }
