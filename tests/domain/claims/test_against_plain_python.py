"""A run against the same figures worked out row by row in plain Python, on random claims."""

from datetime import timedelta
from fractions import Fraction
from random import Random
from statistics import median
from typing import Any

from tests.domain.claims.filing import AS_OF, Claim, csv_of, drift, import_csv
from tests.hospital import Hospital, open_hospital

EDGES = [0, 1, 9, 10, 11, 29, 30, 31, 32, 50]  # days before AS_OF at and around the ends of both windows
WINDOWS = {"baseline_days": 20, "current_days": 10}


def a_file(random: Random) -> list[Claim]:
    """Up to 150 claims in a few groups, some of them named twice or known from another file."""
    return [
        Claim(
            ago=random.choice(EDGES),
            days=random.choice([None, *range(13)]),
            denied=random.random() < 0.4,
            payer=random.choice(["Aetna", "Ärzte-Kasse", 'O"Hara, Inc\\n']),
            cpt_group=random.choice(["Imaging", "Surgery"]),
            claim_id=str(random.randrange(120)),
        )
        for _ in range(random.randrange(1, 151))
    ]


def expected(filed: list[list[Claim]], min_volume: int) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    """The events of the last known state of each claim, from the text of the issue."""
    standing: dict[str, Claim] = {}
    for file in filed:
        first: dict[str, Claim] = {}
        for claim in file:
            first.setdefault(claim.claim_id, claim)
        standing |= first
    events = {}
    for payer, group in {(claim.payer, claim.cpt_group) for claim in standing.values()}:
        mine = [claim for claim in standing.values() if (claim.payer, claim.cpt_group) == (payer, group)]
        submitted = {id(claim): AS_OF - timedelta(days=claim.ago) for claim in mine}
        middle = AS_OF - timedelta(days=WINDOWS["current_days"])
        start = middle - timedelta(days=WINDOWS["baseline_days"])
        baseline = [c for c in mine if start <= submitted[id(c)] < middle and c.outcome in {"PAID", "DENIED"}]
        current = [c for c in mine if middle <= submitted[id(c)] < AS_OF and c.outcome in {"PAID", "DENIED"}]
        undecided = sum(1 for c in mine if middle <= submitted[id(c)] < AS_OF and c.outcome == "PENDING")
        if len(baseline) < min_volume or len(current) < min_volume:
            continue
        confidence = min((len(baseline) + len(current)) / (min_volume * 4), 1)
        for kind, least, scale in (
            ("DENIAL_RATE", Fraction("0.05"), Fraction(2)),
            ("DECISION_TIME", Fraction(3), Fraction("0.1")),
        ):
            old, new = (
                Fraction(sum(c.outcome == "DENIED" for c in some), len(some))
                if kind == "DENIAL_RATE"
                else Fraction(median(c.days for c in some if c.days is not None))
                for some in (baseline, current)
            )
            delta = new - old
            if abs(delta) >= least or (old > 0 and abs(delta / old) >= Fraction("0.5")):
                severity = min(abs(delta) * scale, Fraction(1))
                figures = (float(old), float(new), float(delta), float(severity), confidence)
                events[payer, group, kind] = (*figures, len(baseline), len(current), undecided)
    return events


def test_a_run_finds_what_plain_python_finds(hospital: Hospital) -> None:
    """By numbers of Python's own: Hypothesis draws other ones when other modules are loaded, and fewer had events."""
    counts = []
    for seed in range(25):
        random = Random(seed)
        filed, min_volume = [a_file(random) for _ in range(random.randint(1, 3))], random.randint(1, 6)
        place = open_hospital(hospital.database)
        for file in filed:
            assert import_csv(place, csv_of(file)).accepted == len({claim.claim_id for claim in file})
        found = {
            name: (
                *(event.baseline_value, event.current_value, event.delta_value, event.severity, event.confidence),
                *(event.baseline_volume, event.current_volume, event.current_undecided),
            )
            for name, event in drift(place, min_volume=min_volume, **WINDOWS).items()
        }
        assert found == expected(filed, min_volume), seed
        counts.append(len(found))
    assert sum(1 for count in counts if count) > 12, "enough of the files have events"
