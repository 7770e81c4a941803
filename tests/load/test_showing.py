"""The bench's table, chart and requests, and what its smoke calls a regression."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

from load.bench.arguments import parse_arguments
from load.bench.chart import chart_of
from load.bench.figures import ratios_of, results_of
from load.bench.requests import in_rounds
from load.bench.samples import Sample
from load.bench.smoke import regressions
from load.bench.table import results_table
from tests.load.samples import sample, setting

SVG = "{http://www.w3.org/2000/svg}"
ORDER = "00000000-0000-0000-0000-000000000000"


def _report(valmed: Sequence[Sample], limit: Sequence[Sample]) -> dict[str, Any]:
    samples = {setting("valmed"): valmed, setting("pgbench_prepared"): limit}
    return {"results": results_of(samples), "ratios": ratios_of(samples)}


def test_a_line_of_the_table_has_median_and_range_under_their_names() -> None:
    head, line = results_table(results_of({setting("valmed"): [sample(90.0), sample(100.0)]})).splitlines()
    named = dict(zip(head.split(), line.split(), strict=True))
    assert (named["contestant"], named["clients"], named["size"]) == ("valmed", "8", "1000")
    assert (named["per_second"], named["min..max"], named["p99_ms"], named["retries"]) == (
        "95.0",
        "90..100",
        "30.0",
        "2",
    )


def test_the_chart_has_a_bar_for_each_result_as_high_as_its_figure() -> None:
    samples = {setting("valmed"): [sample(50.0)], setting("<limit>"): [sample(100.0)]}
    root = ElementTree.fromstring(chart_of(results_of(samples), "a machine"))  # noqa: S314 - our own text
    bars = [bar for bar in root.iter(f"{SVG}rect") if bar.find(f"{SVG}title") is not None]
    assert [bar.findtext(f"{SVG}title") for bar in bars] == ["valmed: 50/s", "<limit>: 100/s"]
    low, high = (float(bar.attrib["height"]) for bar in bars)
    assert high == pytest.approx(2 * low)


def test_the_body_of_a_round_is_as_long_as_its_header_says() -> None:
    request = in_rounds("/rounds", 3, "token")
    head, body = (request.head + request.separator.join([ORDER] * 3) + request.tail).split("\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n" in head
    assert body == f'{{"order_ids":["{ORDER}","{ORDER}","{ORDER}"]}}'


def test_a_usual_run_is_no_regression() -> None:
    assert regressions(_report([sample(40.0)], [sample(100.0)])) == []


@pytest.mark.parametrize(
    ("valmed", "limit", "told"),
    [
        (sample(14.0), sample(100.0), "valmed/pgbench_prepared on spread is 0.14"),
        (sample(40.0, errors=1), sample(100.0), "valmed on spread: 1 errors"),
        (sample(40.0), sample(0.0), "valmed/pgbench_prepared on spread is 0.0"),
    ],
)
def test_a_gross_regression_is_told(valmed: Sample, limit: Sample, told: str) -> None:
    (line,) = regressions(_report([valmed], [limit]))
    assert line.startswith(told)


def test_starving_clients_are_told() -> None:
    report = _report([sample(40.0)], [sample(100.0)])
    report["results"][0]["p99_ms"] = 1_001.0
    (line,) = regressions(report)
    assert line.startswith("valmed on spread: p99 1001.0 ms")


def test_several_sizes_need_databases_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--sizes", "10,20", "--database-url", "postgresql://owner@/valmed"])
    with pytest.raises(SystemExit):
        parse_arguments(["--json", "/nonexistent/bench.json"])
    assert "several sizes need the private PostgreSQL" in capsys.readouterr().err
