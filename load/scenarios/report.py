"""The report of a run: `run.json` with every sample, and `run.html`, which draws them and needs no other file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from load.scenarios.samples import Sample

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 900, 220, 56, 24, 10
CODES_MAX = 6  # refusals drawn, the most frequent first
COLOURS = ("#0b62a4", "#b3470f", "#2e7d32", "#7b3fa0", "#8a6d00", "#a0255b")
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light;
  color: #1c2430; background: #fff }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #1c2430 }
.axis { stroke: #c3cad3; stroke-width: 1 } .line { fill: none; stroke-width: 2 }
pre { overflow-x: auto; background: #f3f5f8; padding: 1rem } .failed { color: #a3141c } .passed { color: #1d6b26 }
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What there is to report: the summary as it was printed, and why the run failed where it did."""

    scenario: str
    host: str
    started_at: str  # ISO 8601
    samples: Sequence[Sample]
    summary: str
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Line:
    """A named series of (seconds, value)."""

    name: str
    points: Sequence[tuple[float, float]]


def write(run: Run, folder: Path) -> list[Path]:
    """Writes both files into `folder`, which is made where it is not there; their paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    data, page = folder / "run.json", folder / "run.html"
    data.write_text(json.dumps(asdict(run), indent=1) + "\n")
    page.write_text(html(run))
    return [data, page]


def html(run: Run) -> str:
    """The page: whether it passed, the charts, the summary."""
    verdict = "failed: " + "; ".join(run.problems) if run.problems else "passed"
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>ValMed load: {escape(run.scenario)}</title>',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(run.scenario)}</h1>",
        f"<p>{escape(run.started_at)}, {escape(run.host)}</p>",
        f'<p class="{"failed" if run.problems else "passed"}"><strong>{escape(verdict)}</strong></p>',
        *(chart(title, unit, lines) for title, unit, lines in charts(run.samples)),
        f"<h2>Summary</h2><pre>{escape(run.summary)}</pre>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def charts(samples: Sequence[Sample]) -> list[tuple[str, str, list[Line]]]:
    """Title, unit and lines of each chart."""

    def line(name: str, values: Sequence[float | None]) -> Line:
        pairs = zip(samples, values, strict=True)
        return Line(name, [(sample.seconds, value) for sample, value in pairs if value is not None])

    servers = [sample.server for sample in samples]
    codes = list(samples[-1].refusals)[:CODES_MAX] if samples else []
    return [
        ("Requests", "a second", [line("requests", [s.requests_per_second for s in samples])]),
        (
            "Latency",
            "ms",
            [line("p50", [s.p50_ms for s in samples]), line("p95", [s.p95_ms for s in samples])],
        ),
        ("People", "at work", [line("people", [float(s.users) for s in samples])]),
        (
            "Refusals, busy and errors",
            "so far",
            [
                *(line(code, [float(s.refusals.get(code, 0)) for s in samples]) for code in codes),
                line("busy (503)", [float(s.busy) for s in samples]),
                line("errors", [float(s.failures) for s in samples]),
            ],
        ),
        (
            "Memory of all workers",
            "MB",
            [line("memory", [s.memory_bytes / (1 << 20) if s else None for s in servers])],
        ),
        ("Database connections", "open", [line("connections", [float(s.connections) if s else None for s in servers])]),
    ]


def chart(title: str, unit: str, lines: Sequence[Line]) -> str:
    """One chart as SVG, under its heading; says so where nothing was measured."""
    drawn = [line for line in lines if line.points]
    heading = f"<h2>{escape(title)} <small>{escape(unit)}</small></h2>"
    if not drawn:
        return f"{heading}<p>Not measured.</p>"
    end = max(at for line in drawn for at, _ in line.points) or 1.0
    top = max(value for line in drawn for _, value in line.points) or 1.0

    def place(at: float, value: float) -> str:
        across = LEFT + (WIDTH - LEFT) * at / end
        return f"{across:.1f},{HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top:.1f}"

    parts = [f'{heading}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} over time">']
    for value in (0.0, top / 2, top):
        height = place(0, value).split(",")[1]
        parts.append(f'<path class="axis" d="M{LEFT} {height}H{WIDTH}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{float(height) + 4}" text-anchor="end">{value:,.0f}</text>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">0 s</text>')
    parts.append(f'<text x="{WIDTH}" y="{HEIGHT - 6}" text-anchor="end">{end:,.0f} s</text>')
    legend = []
    for number, line in enumerate(drawn):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(place(at, value) for at, value in line.points)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{points}"/>')
        legend.append(
            f'<span style="color:{colour}">&#9632;</span> {escape(line.name)}, last {line.points[-1][1]:,.0f}'
        )
    return "".join(parts) + "</svg><p>" + " &nbsp; ".join(legend) + "</p>"
