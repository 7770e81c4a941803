"""What came of the requests beyond Locust's success and failure, summed over all worker processes.

Counted are doses given, replays, refusals by their code and answers `busy`. A refusal that a ward meets every day is
no failure; a failure is what Locust's own statistics say, so that its tables and this summary cannot part.
"""

from collections import Counter
from typing import Any

from locust.env import Environment

REFUSED = "refused "
_REPORTED = "valmed_outcomes"


class Outcomes:
    """The counts of this process; on the master those of all workers."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: str) -> None:
        """Counts one `what`."""
        self._counts[what] += 1

    def count(self, what: str) -> int:
        """How many `what` there were."""
        return self._counts[what]

    def refusals(self) -> dict[str, int]:
        """How many refusals there were of each problem code, the most frequent first."""
        return {
            what.removeprefix(REFUSED): number
            for what, number in self._counts.most_common()
            if what.startswith(REFUSED)
        }

    def clear(self, **_: Any) -> None:
        """Forgets everything: a new test begins."""
        self._counts.clear()

    def hand_over(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """On a worker: puts what was counted since the last report into the next one."""
        data[_REPORTED] = dict(self._counts)
        self._counts.clear()

    def take_over(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        """On the master: adds what a worker reported."""
        self._counts.update(data.get(_REPORTED, {}))


OUTCOMES = Outcomes()


def problems_of(environment: Environment) -> list[str]:
    """Why the run does not count as passed, in words; empty when it does."""
    assert environment.runner is not None
    total = environment.stats.total
    answered = total.num_requests - total.num_failures - OUTCOMES.count("busy")
    fulfilments = environment.stats.entries.get(("/api/v1/orders/{id}/fulfill", "POST"))
    attempts = fulfilments.num_requests if fulfilments else 0
    problems = []
    if answered <= 0:
        problems.append("nothing was answered, so nothing was shown")
    if attempts and not OUTCOMES.count("doses given"):
        problems.append(f"{attempts} requests to fulfil and no dose given, so nothing was shown")
    if total.num_failures:
        problems.append(f"{total.num_failures} errors")
    if exceptions := sum(int(each["count"]) for each in environment.runner.exceptions.values()):
        problems.append(f"{exceptions} exceptions in the scenarios")
    return problems


def summary_of(environment: Environment) -> str:
    """The counts as lines of text."""
    total = environment.stats.total
    refusals = OUTCOMES.refusals()
    by_code = ", ".join(f"{code} {number}" for code, number in refusals.items())
    done = (
        *("doses given", "doses given in rounds", "doses refused in rounds", "doses skipped", "replays"),
        *("orders placed", "orders verified", "orders discontinued"),
        *("lots received", "transfers dispatched", "transfers received", "units wasted", "lots recalled"),
    )
    lines = [
        f"requests     {total.num_requests}",
        *(f"  {what:<24} {OUTCOMES.count(what)}" for what in done),
        f"refusals     {sum(refusals.values())}{f' ({by_code})' if by_code else ''}",
        f"busy (503)   {OUTCOMES.count('busy')}",
        f"errors       {total.num_failures}",
    ]
    return "\n".join(lines)
