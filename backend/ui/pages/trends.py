"""What the charts show: stock over time, consumption by day, what expires, orders by hour. Each with its numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask import g, render_template

from backend.actor import Role
from backend.db.paging import LIMIT_MAX
from backend.domain.stock.level_queries import ExpiryHorizon, StockState
from backend.ui.frame.asking import ask, ask_all, ask_from
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, local_now
from backend.ui.frame.svg import Bar, BarChart, StepChart, bar_chart, step_chart
from backend.ui.frame.ward_choice import acts_for, chosen_ward, wards
from backend.web.fields import Body, Day
from backend.web.parsing import load

blueprint = blueprint_of("charts")
DAYS, HOURS, WEEKS = 30, 24, 13
MOVEMENT_PAGES, CONSUMPTION_PAGES, SHELF_PAGES, ORDER_PAGES = 5, 20, 5, 10  # of LIMIT_MAX each, read for one chart
DRUGS_MAX = 10  # of the most used
LEAD = 0.05  # of the stretch shown, empty before the first units


@dataclass(frozen=True)
class Shown:
    """A chart, its numbers, and where what was too much to read goes on: a day, a cursor, or only that it does.

    Empty or False where all was read.
    """

    chart: BarChart | StepChart
    rows: Sequence[tuple[Any, ...]]
    cut: str | bool = False


class ChartsQuery(Body):
    """The first day of what was given, if not the first of the last DAYS."""

    first = Day()


@blueprint.get("/charts")
def show_charts() -> str:
    """A ward's expiry horizon, consumption and order flow.

    Consumption begins with the day `first` of the address, and the orders with its cursor.
    """
    ward_id, now, wanted = chosen_ward(), local_now(), query_fields("first", "cursor")
    places = wards()
    ward_id = ward_id or next((ward["id"] for ward in places), "")
    if not ward_id:
        return render_template("charts.html", places=(), ward_id="")
    consumed, used = consumption_by_day({"ward_id": ward_id}, now.date())
    values = []
    if g.actor.role in {Role.PHARMACIST, Role.ADMIN}:
        values = [(days.value, _value_of(ward_id, days)) for days in ExpiryHorizon]
    return render_template(
        "charts.html",
        places=places,
        ward_id=ward_id,
        horizon=_expiry_horizon(ward_id, now.date()),
        values=values,
        counting=_is_counted(ward_id),
        used=used,
        drugs=_most_used(consumed),
        statistics=ask("GET /orders/statistics", query={"ward_id": ward_id}),
        flow=_orders_by_hour(ward_id, now, wanted["cursor"]),
        **wanted,
    )


def _is_counted(ward_id: str) -> bool:
    """Whether a count is open on the ward that who sits at the screen may record."""
    return acts_for(ward_id) and bool(ask("GET /counts", query={"ward_id": ward_id, "status": "open"})["items"])


def stock_over_time(
    shelves: list[dict[str, Any]], *, ward_id: str, drug_id: str, line: int | None, now: datetime
) -> Shown | None:
    """What `shelves` (of GET /stock) together held of the drug over the last DAYS; `line` is their reorder point.

    None where the figures of one are hidden. The ledger is walked backwards: before a movement its shelf held the
    balance after it, less its units.
    """
    since = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
    query = {"ward_id": ward_id, "drug_id": drug_id, "from": since.isoformat()}
    movements, cut = ask_all("GET /stock/movements", query, pages=MOVEMENT_PAGES)
    if any(part["figures_hidden"] for part in (*shelves, *movements)):
        return None
    held = {shelf["ward_id"]: shelf["on_hand_units"] for shelf in shelves}
    newest: dict[str, int] = {}
    for movement in movements:
        newest.setdefault(movement["ward_id"], movement["balance_after_units"])
    held |= newest
    levels = []
    for movement in movements:
        levels.append((datetime.fromisoformat(movement["recorded_at"]).astimezone(now.tzinfo), sum(held.values())))
        held[movement["ward_id"]] = movement["balance_after_units"] - movement["units"]
    if not cut:
        levels.append((_beginning(levels, since, now, before=sum(held.values())), sum(held.values())))
    levels.reverse()
    label = "" if line is None else f"Reorder at {line:,}"
    return Shown(step_chart(levels, until=now, line=line, line_label=label), _by_day(levels, now.date()), cut)


def _beginning(levels: list[tuple[datetime, int]], since: datetime, now: datetime, *, before: int) -> datetime:
    """Where the line begins: `since`, or a little before the first units came, where there were none before."""
    if not levels or before:
        return since
    first = levels[-1][0]
    return max(since, first - (now - first) * LEAD - timedelta(minutes=1))


def _by_day(levels: list[tuple[datetime, int]], today: date) -> list[tuple[Any, ...]]:
    """The level at the end of each day, the last day first."""
    last = {moment.date(): level for moment, level in levels}
    day, level, rows = min(last), 0, []
    while day <= today:
        level = last.get(day, level)
        rows.append((f"{day:%-d %b}", f"{level:,}"))
        day += timedelta(days=1)
    return rows[::-1]


def consumption_by_day(where: dict[str, str], today: date) -> tuple[list[dict[str, Any]], Shown]:
    """What GET /stock/consumption tells of the last DAYS days, and the units of each, from the address's `first` on.

    Where that is too much to read, whole days are shown, and `cut` is the day from which on they are missing.
    """
    first = load(ChartsQuery(), {name: text for name, text in query_fields("first").items() if text}).get(
        "first", date.min
    )
    days = [day for ago in reversed(range(DAYS)) if (day := today - timedelta(days=ago)) >= first] or [today]
    query = {**where, "from": days[0].isoformat(), "to": today.isoformat()}
    consumed, cursor = ask_from("GET /stock/consumption", query, pages=CONSUMPTION_PAGES)
    while cursor and consumed[0]["day"] == consumed[-1]["day"]:
        further, cursor = ask_from("GET /stock/consumption", query, pages=CONSUMPTION_PAGES, cursor=cursor)
        consumed += further
    cut = consumed[-1]["day"] if cursor else ""
    if cut:
        consumed = [item for item in consumed if item["day"] < cut]
        days = [day for day in days if day.isoformat() < cut]
    units: Counter[str] = Counter()
    for item in consumed:
        units[item["day"]] += item["units_given"]
    bars = [Bar(f"{day:%-d %b}", units[day.isoformat()]) for day in days]
    return consumed, Shown(bar_chart(bars), [(bar.label, f"{bar.value:,}") for bar in reversed(bars)], cut)


def _most_used(consumed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    units: Counter[str] = Counter()
    for item in consumed:
        units[item["drug_id"]] += item["units_given"]
    named = {item["drug_id"]: item for item in consumed}
    return [{**named[drug_id], "units_given": given} for drug_id, given in units.most_common(DRUGS_MAX)]


def _expiry_horizon(ward_id: str, today: date) -> Shown:
    """Lots on the ward's shelves by the week in which they expire; what has expired comes first."""
    query: dict[str, Any] = {"ward_id": ward_id, "within_days": ExpiryHorizon.DAYS_90.value}
    lots: dict[str, dict[str, Any]] = {}
    cut = False
    for state in (StockState.EXPIRED, StockState.EXPIRING):
        shelves, more = ask_all("GET /stock", {**query, "state": state.value}, pages=SHELF_PAGES)
        lots |= {lot["lot_id"]: lot for shelf in shelves for lot in shelf["lots"]}
        cut = cut or more
    number: Counter[int] = Counter()
    units: Counter[int] = Counter()
    for lot in lots.values():
        week = max((date.fromisoformat(lot["expires_on"]) - today).days // 7, -1)
        number[week] += 1
        units[week] += lot["quantity_units"]
    bars = [Bar("Expired", number[-1], alarming=True)]
    bars += [Bar(f"{today + timedelta(days=7 * week):%-d %b}", number[week]) for week in range(WEEKS)]
    rows = [(bar.label, bar.value, f"{units[week]:,}") for week, bar in enumerate(bars, start=-1)]
    return Shown(bar_chart(bars), rows, cut)


def _value_of(ward_id: str, days: ExpiryHorizon) -> dict[str, Any] | None:
    """What has expired on the ward and what will within `days`, in cents; None where that is nothing."""
    query = {"ward_id": ward_id, "within_days": days.value}
    found: list[dict[str, Any]] = ask("GET /stock/expiring-value", query=query)["items"]
    return found[0] if found else None


def _orders_by_hour(ward_id: str, now: datetime, cursor: str) -> Shown:
    """Orders placed in each of the last HOURS hours: pages of the list from `cursor` on, until one reaches further
    back. `cut` is the cursor of the earlier ones that were too many."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=ago) for ago in reversed(range(HOURS))]
    placed: Counter[datetime] = Counter()
    oldest, pages = now, 0
    while oldest >= hours[0] and pages < ORDER_PAGES:
        page = ask("GET /orders", query={"ward_id": ward_id, "limit": LIMIT_MAX, "cursor": cursor})
        moments = [datetime.fromisoformat(order["created_at"]).astimezone(now.tzinfo) for order in page["items"]]
        placed.update(moment.replace(minute=0, second=0, microsecond=0) for moment in moments)
        cursor, oldest, pages = page["next_cursor"] or "", moments[-1] if moments else hours[0], pages + 1
        if not cursor:
            break
    bars = [Bar(f"{hour:%H}:00", placed[hour]) for hour in hours]
    cut = cursor if oldest >= hours[0] else ""
    return Shown(bar_chart(bars), [(bar.label, bar.value) for bar in reversed(bars)], cut)
