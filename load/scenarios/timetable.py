"""A day of the hospital, compressed into a run: at which hour who is at work.

Medication rounds begin at 08, 12, 18 and 22; between two rounds fewer people are at the screens. The delivery comes in
the morning, and in the middle of the day a lot is recalled. Occasions do not overlap: Locust adds the people of an
occasion last and takes them away first.
"""

from dataclasses import dataclass

DAY_BEGINS, DAY_ENDS = 6.0, 24.0
ROUNDS, ROUND_HOURS = (8.0, 12.0, 18.0, 22.0), 1.0
DELIVERY, RECALL = (9.5, 11.0), (14.5, 15.5)
QUIET_SHARE, NIGHT_SHARE, NIGHT_BEGINS = 0.6, 0.4, 23.0  # of the people of a round
STAFF_MIN = 3  # a nurse, a pharmacist and a doctor
UNPACKERS, RECALLERS = 2, 1


@dataclass(frozen=True, slots=True)
class Staffing:
    """How many people do everybody's work, and how many more are there for an `occasion`: round, delivery, recall."""

    people: int
    more: int = 0
    occasion: str = ""


def hour_at(share: float) -> float:
    """The hour of the day when `share` of the run, 0 to 1, is over."""
    return DAY_BEGINS + (DAY_ENDS - DAY_BEGINS) * share


def staffing(hour: float, people: int) -> Staffing:
    """Who is at work at `hour` where a round takes `people` in all."""
    quiet = max(STAFF_MIN, round(people * QUIET_SHARE))
    if any(begins <= hour < begins + ROUND_HOURS for begins in ROUNDS):
        return Staffing(quiet, max(1, people - quiet), "round")
    if DELIVERY[0] <= hour < DELIVERY[1]:
        return Staffing(quiet, UNPACKERS, "delivery")
    if RECALL[0] <= hour < RECALL[1]:
        return Staffing(quiet, RECALLERS, "recall")
    if hour >= NIGHT_BEGINS:
        return Staffing(max(STAFF_MIN, round(people * NIGHT_SHARE)))
    return Staffing(quiet)
