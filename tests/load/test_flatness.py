"""What grows is called growing, what was not measured is not called flat."""

import pytest

from load.scenarios.flatness import Flatness, flatness
from load.scenarios.samples import Sample, Server, read_server

MB = 1 << 20


def sample(seconds: float, server: Server | None) -> Sample:
    return Sample(seconds, 40, int(seconds * 10), 10.0, 5.0, 20.0, 0, 0, server)


def run(memory_mb: list[float], connections: list[int]) -> list[Sample]:
    return [
        sample(float(second), Server(int(mb * MB) * 4, 4, number))
        for second, (mb, number) in enumerate(zip(memory_mb, connections, strict=True))
    ]


def judged(samples: list[Sample]) -> tuple[Flatness, Flatness]:
    memory, connections = flatness(samples)
    return memory, connections


def test_a_steady_run_is_flat() -> None:
    memory, connections = judged(run([100.0] * 100, [8] * 100))

    assert memory.flat
    assert connections.flat
    assert (memory.early, memory.late, memory.bound) == (100, 100, pytest.approx(114))
    assert connections.bound == pytest.approx(10.8)


def test_what_a_worker_takes_up_while_it_warms_does_not_count() -> None:
    memory, _ = judged(run([20.0 + 4 * min(second, 20) for second in range(100)], [8] * 100))
    assert memory.flat


def test_a_leak_of_memory_is_seen() -> None:
    memory, connections = judged(run([100 + second * 0.5 for second in range(100)], [8] * 100))

    assert not memory.flat
    assert "GROWS" in memory.text
    assert connections.flat


def test_a_leak_of_connections_is_seen() -> None:
    memory, connections = judged(run([100.0] * 100, [8 + second // 10 for second in range(100)]))

    assert memory.flat
    assert not connections.flat


def test_one_spike_is_no_leak_and_one_dip_hides_none() -> None:
    spike, leak = [100.0] * 100, [100 + second * 0.5 for second in range(100)]
    spike[90], leak[90] = 900.0, 1.0

    assert judged(run(spike, [8] * 100))[0].flat
    assert not judged(run(leak, [8] * 100))[0].flat


@pytest.mark.parametrize(
    "samples",
    [
        [],
        run([100.0] * 8, [8] * 8),
        [sample(float(second), None) for second in range(100)],
        [*run([100.0] * 60, [8] * 60), *(sample(float(second), None) for second in range(60, 100))],
    ],
    ids=["none", "too short", "a server that does not tell", "a server that stopped telling"],
)
def test_what_was_not_measured_is_not_flat(samples: list[Sample]) -> None:
    for each in judged(samples):
        assert not each.flat
        assert "not measured" in each.text


def test_metrics_are_summed_over_the_workers() -> None:
    text = """# HELP valmed_worker_resident_bytes Memory of a worker, shared pages included.
valmed_worker_resident_bytes{pid="11"} 9.0e+07
valmed_worker_resident_bytes{pid="12"} 8.0e+07
valmed_database_connections 7.0
valmed_busy_total{reason="x"} 3.0
"""
    assert read_server(text) == Server(170_000_000, 2, 7)
    assert read_server("valmed_database_connections 7.0\n") is None
    assert read_server("<html>not found</html>") is None
