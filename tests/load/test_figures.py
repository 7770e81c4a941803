"""From what clients saw to the figures of the bench."""

import pytest

from load.bench.figures import growth_of, ratios_of, results_of
from load.bench.samples import Completion, Interval, sample_of
from tests.load.samples import sample, setting


def test_only_the_window_counts_and_a_round_counts_its_orders() -> None:
    interval = Interval(
        [
            Completion(0, 0.5, 1.0, 20, 0),  # warm-up
            Completion(0, 1.5, 10.0, 20, 0),
            Completion(1, 1.9, 30.0, 15, 5),
            Completion(1, 2.9, 50.0, 0, 20),
            Completion(0, 3.1, 1.0, 20, 0),  # after the window
        ]
    )
    found = sample_of(interval, clients=2, seconds=2.0, cpu_seconds={"application": 0.75}, other_share=0.0)
    assert (found.per_second, found.asked, found.errors) == (17.5, 60, 25)
    assert found.p50_ms == 20.0  # of the two requests that gave anything
    assert found.slowest_to_fastest == 0.75
    assert found.cpu_ms == {"application": 10.0}  # 75 fulfilments, the window's or not


def test_a_result_is_the_median_of_its_rounds_with_their_range() -> None:
    rounds = [sample(90.0), sample(120.0, errors=10), sample(100.0)]
    (result,) = results_of({setting("valmed"): rounds})
    assert (result["per_second"], result["per_second_min"], result["per_second_max"]) == (100.0, 90.0, 120.0)
    assert (result["errors"], result["error_share"], result["retries"]) == (10, pytest.approx(10 / 320, abs=1e-5), 3)


def test_a_ratio_is_taken_within_each_round() -> None:
    samples = {
        setting("valmed"): [sample(50.0), sample(10.0), sample(40.0)],
        setting("pgbench_prepared"): [sample(100.0), sample(50.0), sample(100.0)],
        setting("baseline", clients=1): [sample(1.0)],  # not measured alike
    }
    assert ratios_of(samples) == [
        {"load": "spread", "clients": 8, "size": 1_000, "ratio": "valmed/pgbench_prepared", "value": 0.4}
    ]


def test_growth_compares_each_size_with_the_smallest() -> None:
    samples = {
        setting("valmed", size=1_000): [sample(100.0, p50_ms=10.0)],
        setting("valmed", size=9_000): [sample(100.0, p50_ms=12.0)],
    }
    (growth,) = growth_of(samples)
    assert (growth["size"], growth["against"], growth["p50_ratio"]) == (9_000, 1_000, 1.2)
