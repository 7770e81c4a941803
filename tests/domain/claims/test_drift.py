"""What drifts: figures worked out by hand on small files."""

from datetime import timedelta

import pytest

from tests.domain.claims.filing import AS_OF, Claim, claims, csv_of, drift, file_claims, import_csv, run, states
from tests.hospital import Hospital, open_hospital

BEFORE, LATELY = 50, 7  # days before AS_OF: a day of the baseline, a day of the current window
RATE, TIME = ("Aetna", "Imaging", "DENIAL_RATE"), ("Aetna", "Imaging", "DECISION_TIME")


def test_a_denial_rate_by_hand(hospital: Hospital) -> None:
    """12 of 100 denied, then 18 of 50; ten more are not decided yet."""
    pending = [Claim(LATELY, None) for _ in range(10)]
    file_claims(hospital, claims(100, ago=BEFORE, denied=12), claims(50, ago=LATELY, denied=18), pending)
    found = drift(hospital)
    assert set(found) == {RATE}
    event = found[RATE]
    assert (event.baseline_value, event.current_value, event.direction) == (0.12, 0.36, "increase")
    assert event.delta_value == pytest.approx(0.24)
    assert event.severity == pytest.approx(0.48)
    assert event.confidence == 1.0, "150 claims of the 120 that full confidence needs"
    assert (event.baseline_volume, event.current_volume, event.current_undecided) == (100, 50, 10)
    assert event.current_undecided_share == pytest.approx(10 / 60)
    assert (event.baseline_low, event.baseline_high) == (
        pytest.approx(0.0700, abs=1e-4),
        pytest.approx(0.1981, abs=1e-4),
    )
    assert (event.current_low, event.current_high) == (pytest.approx(0.2414, abs=1e-4), pytest.approx(0.4986, abs=1e-4))
    days = timedelta(days=1)
    assert (event.baseline_start, event.baseline_end) == (AS_OF - 104 * days, AS_OF - 14 * days)
    assert (event.current_start, event.current_end) == (AS_OF - 14 * days, AS_OF)
    assert event.survives is None
    assert states(hospital) == [("success", 1, 1, None, 1)]


def test_a_decision_time_by_hand(hospital: Hospital) -> None:
    """Half took 10 days and half 11, a median of 10.5; then 5, 6 and 30 in turn, a median of 6."""
    file_claims(hospital, claims(40, ago=BEFORE, days=(10, 11)), claims(36, ago=LATELY, days=(5, 6, 30)))
    event = drift(hospital)[TIME]
    assert (event.baseline_value, event.current_value, event.delta_value) == (10.5, 6.0, -4.5)
    assert (event.direction, event.severity) == ("decrease", 0.45)
    assert event.confidence == pytest.approx(76 / 120)
    assert (event.baseline_low, event.baseline_high) == (10, 11)


def test_severity_and_confidence_end_at_one(hospital: Hospital) -> None:
    file_claims(hospital, claims(100, ago=BEFORE, days=(1,)), claims(100, ago=LATELY, denied=90, days=(21,)))
    found = drift(hospital)
    assert [(found[name].severity, found[name].confidence) for name in (RATE, TIME)] == [(1.0, 1.0)] * 2
    assert found[RATE].baseline_value == 0.0


@pytest.mark.parametrize(
    ("before", "lately", "is_event"),
    [
        ((100, 10), (100, 15), True),  # 0.05, which 0.15 - 0.10 in floating point is not
        ((100, 40), (100, 45), True),
        ((300, 100), (60, 23), True),  # 1/3 and 23/60: 0.05 exactly
        ((100, 20), (200, 49), False),  # 0.045, a fifth more
        ((100, 6), (100, 9), True),  # 0.03, but half as much again
        ((200, 12), (200, 17), False),  # 0.025, less than a half of 0.06
        ((100, 6), (100, 3), True),  # half as much
        ((100, 0), (100, 4), False),  # no relative change of nought
        ((100, 0), (100, 5), True),
        ((100, 100), (100, 95), True),
        ((100, 0), (100, 0), False),
    ],
)
def test_the_thresholds_of_a_denial_rate(
    hospital: Hospital, before: tuple[int, int], lately: tuple[int, int], is_event: bool
) -> None:
    file_claims(
        hospital, claims(before[0], ago=BEFORE, denied=before[1]), claims(lately[0], ago=LATELY, denied=lately[1])
    )
    assert (RATE in drift(hospital)) is is_event


@pytest.mark.parametrize(
    ("before", "lately", "is_event"),
    [
        ((20,), (23,), True),
        ((20,), (22,), False),
        ((20, 21), (23, 24), True),  # medians 20.5 and 23.5
        ((20, 21), (23,), False),  # 2.5
        ((20,), (17,), True),
        ((4,), (6,), True),  # half as long again
        ((4,), (5,), False),
        ((0,), (2,), False),  # no relative change of nought
        ((0,), (3,), True),
        ((2,), (1,), True),
    ],
)
def test_the_thresholds_of_a_decision_time(
    hospital: Hospital, before: tuple[int, ...], lately: tuple[int, ...], is_event: bool
) -> None:
    file_claims(hospital, claims(40, ago=BEFORE, days=before), claims(40, ago=LATELY, days=lately))
    assert (TIME in drift(hospital)) is is_event


@pytest.mark.parametrize(
    ("baseline", "current", "groups"), [(30, 30, 1), (29, 30, 0), (30, 29, 0), (0, 100, 0), (100, 0, 0)]
)
def test_a_group_needs_the_minimum_volume_in_both_windows(
    hospital: Hospital, baseline: int, current: int, groups: int
) -> None:
    file_claims(hospital, claims(baseline, ago=BEFORE), claims(current, ago=LATELY, denied=current))
    drift(hospital)
    assert states(hospital) == [("success", groups, groups, None, groups)]


def test_pending_claims_make_no_volume(hospital: Hospital) -> None:
    pending = [Claim(LATELY, None) for _ in range(30)]
    file_claims(hospital, claims(50, ago=BEFORE), claims(29, ago=LATELY, denied=29), pending)
    assert drift(hospital) == {}


def test_the_edges_of_the_windows(hospital: Hospital) -> None:
    """Days 104 to 15 before are the baseline, 14 to 1 the current window; the day itself and all before are neither."""
    inside = claims(30, ago=104) + claims(30, ago=15) + claims(30, ago=14, denied=30) + claims(30, ago=1, denied=30)
    outside = claims(500, ago=105, denied=500) + claims(500, ago=0)
    file_claims(hospital, inside, outside)
    event = drift(hospital)[RATE]
    assert (event.baseline_volume, event.current_volume) == (60, 60)
    assert (event.baseline_value, event.current_value) == (0.0, 1.0)


def test_the_parameters_of_a_run(hospital: Hospital) -> None:
    file_claims(hospital, claims(10, ago=8), claims(10, ago=3, denied=5))
    assert drift(hospital) == {}
    event = drift(hospital, baseline_days=5, current_days=5, min_volume=10)[RATE]
    assert (event.baseline_volume, event.current_volume, event.confidence) == (10, 10, 0.5)
    later = {"as_of": AS_OF + timedelta(days=5), "baseline_days": 5, "current_days": 5, "min_volume": 10}
    assert drift(hospital, **later) == {}, "what was current is the baseline, and nothing came after"


def test_groups_are_kept_apart_and_sorted_by_severity(hospital: Hospital) -> None:
    steady, worse = {"payer": "Cigna"}, {"cpt_group": "Surgery"}
    file_claims(
        hospital,
        claims(50, ago=BEFORE, denied=5, **steady) + claims(50, ago=LATELY, denied=5, **steady),
        claims(50, ago=BEFORE, denied=5) + claims(50, ago=LATELY, denied=10),
        claims(50, ago=BEFORE, denied=5, **worse) + claims(50, ago=LATELY, denied=25, **worse),
    )
    assert list(drift(hospital)) == [("Aetna", "Surgery", "DENIAL_RATE"), RATE]
    assert states(hospital) == [("success", 3, 2, None, 2)]


def test_the_latest_that_is_known_of_a_claim_counts(hospital: Hospital) -> None:
    """Filed as pending, then as paid, then as denied: once, as denied."""
    names = [f"C-{number}" for number in range(40)]
    file_claims(hospital, claims(40, ago=BEFORE))
    file_claims(hospital, [Claim(LATELY, None, claim_id=name) for name in names])
    assert drift(hospital) == {}
    for denied in (False, True):
        again = [Claim(LATELY, 10, denied, claim_id=name) for name in names]
        assert import_csv(hospital, csv_of(again)).changed == 40
    event = drift(hospital)[RATE]
    assert (event.current_volume, event.current_value, event.current_undecided) == (40, 1.0, 0)


def test_a_claim_whose_date_was_corrected_counts_on_its_new_day_only(hospital: Hospital) -> None:
    names = [f"C-{number}" for number in range(60)]
    file_claims(hospital, claims(40, ago=BEFORE), [Claim(LATELY, 10, True, claim_id=name) for name in names])
    import_csv(hospital, csv_of(Claim(BEFORE, 10, True, claim_id=name) for name in names[:30]))
    event = drift(hospital)[RATE]
    assert (event.baseline_volume, event.current_volume, event.baseline_value) == (70, 30, 30 / 70)


def test_another_hospitals_claims_are_not_seen(hospital: Hospital) -> None:
    other = open_hospital(hospital.database)
    file_claims(other, claims(100, ago=BEFORE), claims(100, ago=LATELY, denied=100))
    run(hospital)
    assert states(hospital) == [("success", 0, 0, None, 0)]


def test_adjusting_marks_what_stands_among_many_comparisons(hospital: Hospital) -> None:
    """A true drift, and one of 30 claims that is as likely chance, among eight steady groups."""
    steady = [
        claim
        for number in range(8)
        for claim in claims(60, ago=BEFORE, denied=6, cpt_group=f"G{number}")
        + claims(60, ago=LATELY, denied=6, cpt_group=f"G{number}")
    ]
    weak = {"payer": "Cigna"}
    file_claims(
        hospital,
        steady,
        claims(200, ago=BEFORE, denied=20) + claims(100, ago=LATELY, denied=40),
        claims(100, ago=BEFORE, denied=10, **weak) + claims(30, ago=LATELY, denied=5, **weak),
    )
    plain, adjusted = drift(hospital), drift(hospital, adjust=True)
    chance = ("Cigna", "Imaging", "DENIAL_RATE")
    assert set(plain) == set(adjusted) == {RATE, chance}, "the thresholds stay what an event is"
    assert [plain[name].survives for name in (RATE, chance)] == [None, None]
    assert [adjusted[name].survives for name in (RATE, chance)] == [True, False]
    assert adjusted[RATE].p_value < 1e-6 < 0.2 < adjusted[chance].p_value
