"""The report of a run holds what was measured and needs nothing from elsewhere."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from load.scenarios.report import Line, Run, chart, html, write
from load.scenarios.samples import Sample, Server

SAMPLES = [
    Sample(
        *(float(second), 40, second * 20, 20.0 + second, 4.0, 20.0 * second, 0, second // 5),
        Server(400 << 20, 4, 8) if second != 5 else None,
        {"insufficient_stock": second, "dose_too_soon": 1},
    )
    for second in range(1, 11)
]
RUN = Run("Soak", "http://127.0.0.1:8000", "2026-11-21T12:00:00+00:00", SAMPLES, "requests 200 <all>", ())


class Loads(HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset", "action"}]
        self.found += [tag] if tag in {"script", "link", "iframe", "img"} else []


def test_both_files_are_written_and_the_json_holds_every_sample(tmp_path: Path) -> None:
    files = write(RUN, tmp_path / "new" / "folder")

    assert [file.name for file in files] == ["run.json", "run.html"]
    told = json.loads(files[0].read_text())
    assert [sample["seconds"] for sample in told["samples"]] == [float(second) for second in range(1, 11)]
    assert told["samples"][0]["server"] == {"memory_bytes": 400 << 20, "workers": 4, "connections": 8}
    assert told["samples"][4]["server"] is None
    assert told["samples"][9]["refusals"] == {"insufficient_stock": 10, "dose_too_soon": 1}


def test_the_page_draws_each_figure_loads_nothing_and_escapes_what_it_quotes() -> None:
    page = html(RUN)

    loads = Loads()
    loads.feed(page)
    assert loads.found == []
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        ElementTree.fromstring(drawing)  # noqa: S314 - our own
    for name in ("requests", "p95", "insufficient_stock", "busy (503)", "memory", "connections"):
        assert name in page
    assert "requests 200 &lt;all&gt;" in page
    assert '<p class="passed"><strong>passed</strong></p>' in page


def test_a_failed_run_says_why_first() -> None:
    page = html(replace(RUN, problems=("3 errors", "database connections not flat")))
    assert page.index("failed: 3 errors; database connections not flat") < page.index("<svg")


def test_a_line_begins_and_ends_inside_the_drawing_and_its_height_is_its_value() -> None:
    drawing = chart("Latency", "ms", [Line("p50", [(0.0, 0.0), (5.0, 50.0), (10.0, 100.0)])])

    points = [tuple(map(float, point.split(","))) for point in re.findall(r'points="([^"]*)"', drawing)[0].split()]
    assert [x for x, _ in points] == [56, 478, 900]
    assert [y for _, y in points] == [196, 103, 10]
    assert "p50, last 100" in drawing


def test_what_was_not_measured_is_said_and_not_drawn_as_zero() -> None:
    page = html(replace(RUN, samples=[replace(sample, server=None) for sample in SAMPLES]))

    assert page.count("Not measured.") == 2
    assert html(replace(RUN, samples=[])).count("Not measured.") == 6
