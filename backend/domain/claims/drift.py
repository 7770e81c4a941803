"""What has drifted: two windows of claims, compared group by group.

PostgreSQL counts, since a million claims are a second's work there; here the counts of each group, some hundreds, are
judged by the thresholds. Rates are compared as fractions of whole numbers: 10 of 100 and 15 of 100 differ by 0.05
exactly, which floating point would deny.

Decision: a run takes outcomes as they are known when it runs; `as_of` sets the windows and hides no later decision.
Because a claim's first answer is often corrected and the latest is the best there is. Cost: a run as of last year,
repeated today, may differ from the run of then.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import text

from backend.db import Session
from backend.domain.claims.models import DriftType
from backend.domain.claims.statistics import median_interval, rates_differ, surviving, values_differ, wilson

BASELINE_DAYS, CURRENT_DAYS, MIN_VOLUME = 90, 14, 30
RATE_DELTA_MIN, DAYS_DELTA_MIN, RELATIVE_DELTA_MIN = Fraction(5, 100), Fraction(3), Fraction(1, 2)
RATE_SEVERITY, DAYS_SEVERITY = Fraction(2), Fraction(1, 10)  # severity of a delta of 1
VOLUME_OF_CONFIDENCE = 4  # minimum volumes that both windows together need for full confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What a run compares. A window begins with its first day and ends before its last."""

    as_of: date
    baseline_days: int = BASELINE_DAYS
    current_days: int = CURRENT_DAYS
    min_volume: int = MIN_VOLUME
    adjust: bool = False

    @property
    def current_start(self) -> date:
        """The first day of the current window, at which the baseline ends."""
        return self.as_of - timedelta(days=self.current_days)

    @property
    def baseline_start(self) -> date:
        """The first day of the baseline window."""
        return self.current_start - timedelta(days=self.baseline_days)


@dataclass(frozen=True, slots=True)
class Window:
    """The claims of a group that were submitted in one window; `days` is how often a decision took so long."""

    volume: int
    denied: int
    median_days: Fraction
    days: Mapping[int, int] = field(default_factory=dict)

    @property
    def denial_rate(self) -> Fraction:
        """Denied of decided."""
        return Fraction(self.denied, self.volume)


@dataclass(frozen=True, slots=True)
class Group:
    """Claims to one payer of one group of procedures; `undecided` are those of the current window."""

    payer: str
    cpt_group: str
    baseline: Window
    current: Window
    undecided: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One group by one measure, whether or not it drifted."""

    group: Group
    drift_type: DriftType
    baseline: Fraction
    current: Fraction
    baseline_interval: tuple[float, float]
    current_interval: tuple[float, float]
    p_value: float

    @property
    def delta(self) -> Fraction:
        """By how much the current window exceeds the baseline."""
        return self.current - self.baseline

    @property
    def is_event(self) -> bool:
        """Whether it changed by the threshold, or by half of a baseline that is not nought."""
        least = RATE_DELTA_MIN if self.drift_type is DriftType.DENIAL_RATE else DAYS_DELTA_MIN
        if abs(self.delta) >= least:
            return True
        return self.baseline > 0 and abs(self.delta / self.baseline) >= RELATIVE_DELTA_MIN

    @property
    def severity(self) -> Fraction:
        """From 0 to 1, by the size of the change."""
        of_one = RATE_SEVERITY if self.drift_type is DriftType.DENIAL_RATE else DAYS_SEVERITY
        return min(abs(self.delta) * of_one, Fraction(1))


# A claim stands by its highest revision; revisions have no gaps, so it is superseded exactly where the next one is.
_STANDING = """SELECT c.payer, c.cpt_group, c.outcome, c.submitted_date >= :current_start AS is_current,
    c.decided_date - c.submitted_date AS days
  FROM claim_records c
  LEFT JOIN claim_records newer ON newer.organization_id = :organization_id
    AND newer.claim_id = c.claim_id AND newer.revision = c.revision + 1
  WHERE c.organization_id = :organization_id AND c.submitted_date >= :baseline_start AND c.submitted_date < :as_of
    AND newer.id IS NULL"""
_DECIDED = "outcome <> 'PENDING'"

GROUPS = text(
    f"""WITH claims AS MATERIALIZED ({_STANDING}), windows AS (
      SELECT payer, cpt_group,
        count(*) FILTER (WHERE {_DECIDED} AND NOT is_current) AS baseline_volume,
        count(*) FILTER (WHERE {_DECIDED} AND is_current) AS current_volume,
        count(*) FILTER (WHERE outcome = 'DENIED' AND NOT is_current) AS baseline_denied,
        count(*) FILTER (WHERE outcome = 'DENIED' AND is_current) AS current_denied,
        count(*) FILTER (WHERE outcome = 'PENDING' AND is_current) AS undecided,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY days)
          FILTER (WHERE {_DECIDED} AND NOT is_current) AS baseline_median,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY days)
          FILTER (WHERE {_DECIDED} AND is_current) AS current_median
      FROM claims GROUP BY payer, cpt_group),
    days AS MATERIALIZED (
      SELECT payer, cpt_group, jsonb_agg(jsonb_build_array(is_current, days, volume)) AS histogram
      FROM (SELECT payer, cpt_group, is_current, days, count(*) AS volume FROM claims WHERE {_DECIDED}
        GROUP BY payer, cpt_group, is_current, days) h GROUP BY payer, cpt_group)
    SELECT windows.*, days.histogram FROM windows JOIN days USING (payer, cpt_group)
    WHERE baseline_volume >= :min_volume AND current_volume >= :min_volume ORDER BY payer, cpt_group"""  # noqa: S608 - constants
)


def read_groups(session: Session, *, organization_id: UUID, parameters: Parameters) -> list[Group]:
    """The groups with the minimum volume of decided claims in both windows, by payer and CPT group."""
    rows = session.execute(
        GROUPS,
        {
            "organization_id": organization_id,
            "as_of": parameters.as_of,
            "current_start": parameters.current_start,
            "baseline_start": parameters.baseline_start,
            "min_volume": parameters.min_volume,
        },
    )
    return [_group(row) for row in rows]


def _group(row: Any) -> Group:
    days: dict[bool, Counter[int]] = defaultdict(Counter)
    for is_current, taken, volume in row.histogram:
        days[is_current][taken] = volume
    baseline = Window(row.baseline_volume, row.baseline_denied, Fraction(row.baseline_median), days[False])
    current = Window(row.current_volume, row.current_denied, Fraction(row.current_median), days[True])
    return Group(row.payer, row.cpt_group, baseline, current, row.undecided)


def compare(groups: Iterable[Group]) -> list[Comparison]:
    """Both measures of every group."""
    return [comparison for group in groups for comparison in _comparisons(group)]


def _comparisons(group: Group) -> Iterator[Comparison]:
    before, now = group.baseline, group.current
    yield Comparison(
        group,
        DriftType.DENIAL_RATE,
        before.denial_rate,
        now.denial_rate,
        wilson(before.denied, before.volume),
        wilson(now.denied, now.volume),
        rates_differ(before.denied, before.volume, now.denied, now.volume),
    )
    yield Comparison(
        group,
        DriftType.DECISION_TIME,
        before.median_days,
        now.median_days,
        median_interval(before.days),
        median_interval(now.days),
        values_differ(before.days, now.days),
    )


def events_of(comparisons: list[Comparison], parameters: Parameters) -> list[dict[str, Any]]:
    """The columns of an event for every comparison that is one.

    Benjamini and Hochberg are asked about all comparisons, not only the events: those were chosen by their size.
    """
    standing: list[bool | None] = [None] * len(comparisons)
    if parameters.adjust:
        standing = list(surviving([comparison.p_value for comparison in comparisons]))
    return [
        _event(comparison, survives, parameters)
        for comparison, survives in zip(comparisons, standing, strict=True)
        if comparison.is_event
    ]


def _event(comparison: Comparison, survives: bool | None, parameters: Parameters) -> dict[str, Any]:
    group = comparison.group
    volume = group.baseline.volume + group.current.volume
    return {
        "payer": group.payer,
        "cpt_group": group.cpt_group,
        "drift_type": comparison.drift_type,
        "baseline_value": float(comparison.baseline),
        "current_value": float(comparison.current),
        "delta_value": float(comparison.delta),
        "severity": float(comparison.severity),
        "confidence": float(min(Fraction(volume, parameters.min_volume * VOLUME_OF_CONFIDENCE), Fraction(1))),
        "baseline_low": comparison.baseline_interval[0],
        "baseline_high": comparison.baseline_interval[1],
        "current_low": comparison.current_interval[0],
        "current_high": comparison.current_interval[1],
        "p_value": comparison.p_value,
        "survives": survives,
        "baseline_start": parameters.baseline_start,
        "baseline_end": parameters.current_start,
        "current_start": parameters.current_start,
        "current_end": parameters.as_of,
        "baseline_volume": group.baseline.volume,
        "current_volume": group.current.volume,
        "current_undecided": group.undecided,
    }
