"""The results as an SVG picture: a panel for each load, a group for each number of clients, a bar for each contestant.

A bar is the median of the rounds, the line in it goes from the slowest to the fastest. Written by hand, because bars
are a page of arithmetic and a library of charts would be larger than the bench.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

Rows = Sequence[Mapping[str, Any]]
WIDTH, LEFT, RIGHT = 960, 64, 944
PANEL, TOP, PLOT = 250, 96, 170  # height of a panel, where the first begins, height of its plot
TICKS = 4
GROUP_SHARE = 0.8  # of its place that a group of bars takes
LEGEND_STEP = 160
COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677")  # told apart by the colour-blind as well
STYLE = (
    "text{font:12px sans-serif;fill:#222}.title{font-size:16px}.title,.load{font-weight:bold}"
    ".grid{stroke:#ddd}.spread{stroke:#222}"
)


def chart_of(results: Rows, subtitle: str) -> str:
    """The fulfilments per second of `results`, rows as of figures.results_of, as an SVG document."""
    loads = _each(row["load"] for row in results)
    contestants = _each(row["contestant"] for row in results)
    scale = Scale(max((row["per_second_max"] for row in results), default=0.0))
    height = TOP + PANEL * len(loads)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Fulfilments per second</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(LEFT, 28, "Fulfilments per second, median and range of the rounds", 'class="title"'),
        _text(LEFT, 48, subtitle),
        *_legend(contestants),
    ]
    for place, load in enumerate(loads):
        rows = [row for row in results if row["load"] == load]
        parts += _panel(load, rows, contestants, scale, bottom=TOP + PANEL * place + PLOT + 30)
    return "\n".join([*parts, "</svg>"]) + "\n"


class Scale:
    """Heights of values on an axis from 0 to a round number that is `highest` at least."""

    def __init__(self, highest: float) -> None:
        magnitude = 10.0 ** (len(str(int(highest))) - 1)
        self.top = next(step * magnitude for step in (1, 2, 4, 6, 8, 10) if step * magnitude >= highest)

    def height(self, value: float) -> float:
        """Of `value`, in the units of the picture."""
        return round(PLOT * value / self.top, 1)


def _legend(contestants: Sequence[str]) -> Iterator[str]:
    for place, name in enumerate(contestants):
        x = LEFT + place * LEGEND_STEP
        yield f'<rect x="{x}" y="62" width="12" height="12" fill="{_colour(place)}"/>'
        yield _text(x + 18, 73, name)


def _panel(load: str, rows: Rows, contestants: Sequence[str], scale: Scale, *, bottom: float) -> Iterator[str]:
    yield _text(LEFT, bottom - PLOT - 10, load, 'class="load"')
    for tick in range(TICKS + 1):
        value = scale.top * tick / TICKS
        y = bottom - scale.height(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}"/>'
        yield _text(LEFT - 8, y + 4, f"{value:g}", 'text-anchor="end"')
    groups = sorted({(row["clients"], row["size"]) for row in rows})
    several_sizes = len({size for _, size in groups}) > 1
    width = (RIGHT - LEFT) / len(groups)
    for place, (clients, size) in enumerate(groups):
        left = LEFT + place * width
        label = f"{clients} client{'s' if clients > 1 else ''}" + (f", {size:,} orders" if several_sizes else "")
        yield _text(left + width / 2, bottom + 18, label, 'text-anchor="middle"')
        group = [row for row in rows if (row["clients"], row["size"]) == (clients, size)]
        yield from _bars(group, contestants, scale, left=left, width=width, bottom=bottom)


def _bars(
    group: Rows, contestants: Sequence[str], scale: Scale, *, left: float, width: float, bottom: float
) -> Iterator[str]:
    step = width * GROUP_SHARE / len(contestants)
    for row in group:
        place = contestants.index(row["contestant"])
        x = left + width * (1 - GROUP_SHARE) / 2 + place * step
        height = scale.height(row["per_second"])
        low, high = (bottom - scale.height(row[end]) for end in ("per_second_min", "per_second_max"))
        yield (
            f'<rect x="{x:.1f}" y="{bottom - height:.1f}" width="{step * 0.9:.1f}" height="{height:.1f}"'
            f' fill="{_colour(place)}"><title>{escape(row["contestant"])}: {row["per_second"]:g}/s</title></rect>'
        )
        middle = x + step * 0.45
        yield f'<line class="spread" x1="{middle:.1f}" x2="{middle:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        yield _text(middle, min(high, bottom - height) - 4, f"{row['per_second']:.0f}", 'text-anchor="middle"')


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _each(values: Iterator[str]) -> list[str]:
    """Every value once, in the order of its first appearance."""
    return list(dict.fromkeys(values))
