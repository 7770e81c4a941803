"""`valmed drift`: runs by hand, by cron, or by a process that stays."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from prometheus_client import start_http_server
from sqlalchemy import Row

from backend.actor import Actor
from backend.cli.claims import REPORT_TIMEOUT_MS
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.config import Config, ConfigError
from backend.db import Database, Session, new_id
from backend.db.paging import read_all
from backend.domain.claims import queries
from backend.domain.claims.drift import BASELINE_DAYS, CURRENT_DAYS, MIN_VOLUME, Parameters
from backend.domain.claims.runs import run_drift
from backend.domain.claims.weekly import run_weeks
from backend.domain.organizations.calendar import today_of
from backend.errors import Busy
from backend.web.fields import YEAR_MAX, YEAR_MIN

DAY = click.DateTime(formats=["%Y-%m-%d"])
LOOK_SECONDS = 3_600  # between two looks at whether a new week has begun


def _day(_context: click.Context, _parameter: click.Parameter, given: datetime | None) -> date | None:
    """The day that was given, of a year that the API takes too: no window begins before the calendar does."""
    if given is None:
        return None
    if not YEAR_MIN < given.year < YEAR_MAX:
        raise click.BadParameter(f"The year must lie between {YEAR_MIN} and {YEAR_MAX}.")
    return given.date()


@click.group()
def drift() -> None:
    """Changes in how payers decide."""


@drift.command()
@click.option("--organization", required=True, help="Slug of the hospital.")
@click.option("--as-of", type=DAY, callback=_day, help="Day at which the current window ends; today when not given.")
@click.option("--baseline-days", type=click.IntRange(1, 3_650), default=BASELINE_DAYS, show_default=True)
@click.option("--current-days", type=click.IntRange(1, 3_650), default=CURRENT_DAYS, show_default=True)
@click.option("--min-volume", type=click.IntRange(1), default=MIN_VOLUME, show_default=True)
@click.option("--adjust", is_flag=True, help="Mark the events that stand among so many comparisons.")
@data_dir_option
def run(organization: str, as_of: date | None, data_dir: Path | None, **asked: Any) -> None:
    """Compare the claims of two windows and show what drifted."""
    with _database(data_dir) as database:
        actor = Actor.operator(organization_id(database, organization))
        day = as_of or _today(database, actor)
        parameters = Parameters(as_of=day, **asked)
        run_id = run_drift(database, actor=actor, asked_by=str(new_id()), parameters=parameters, now=database.now())
        found, events = _found(database, actor, run_id)
    for event in events:
        click.echo(_line(event))
    click.echo(f"{found.events_created} events in {found.groups_considered} groups as of {day} (run {run_id})")


@drift.command()
@click.option("--adjust", is_flag=True, help="Mark the events that stand among so many comparisons.")
@click.option("--once", is_flag=True, help="Look once and end, for cron.")
@click.option(
    "--metrics-port", type=click.IntRange(1, 65_535), help="Answer Prometheus on this port, on every address."
)
@data_dir_option
def schedule(adjust: bool, once: bool, metrics_port: int | None, data_dir: Path | None) -> None:
    """Make the weekly run of every hospital with claims, and stay for the weeks to come; several processes are safe."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    if metrics_port is not None:
        _answer_prometheus(metrics_port)
    with _database(data_dir) as database:
        if not once:
            click.echo(f"Looking every {LOOK_SECONDS} s for hospitals whose week has no run yet.")
        while not stop.is_set():
            for line in _look(database, adjust=adjust, staying=not once):
                click.echo(line)
                if stop.is_set():
                    break
            if once:
                break
            stop.wait(LOOK_SECONDS)


def _look(database: Database, *, adjust: bool, staying: bool) -> Iterator[str]:
    """What `run_weeks` says. Who stays outlives a database that is away and looks again."""
    try:
        yield from run_weeks(database, adjust=adjust, now=database.now())
    except Busy as refusal:
        if not staying:
            raise
        yield f"{refusal.code}, again at the next look"


def _answer_prometheus(port: int) -> None:
    try:
        start_http_server(port)
    except OSError as error:
        raise ConfigError(f"cannot answer Prometheus on port {port}: {error.strerror}") from None


@contextmanager
def _database(data_dir: Path | None) -> Iterator[Database]:
    with configured(data_dir, as_owner=False) as config:
        database = open_database(_patient(config))
        yield database
        database.engine.dispose()


def _patient(config: Config) -> Config:
    return replace(config, report_timeout_ms=REPORT_TIMEOUT_MS)


def _today(database: Database, actor: Actor) -> date:
    def look(session: Session) -> date:
        return today_of(session, organization_id=actor.organization_id, now=session.now)

    return database.transact(look, actor=actor, read_only=True)


def _found(database: Database, actor: Actor, run_id: UUID) -> tuple[Row[Any], Sequence[Row[Any]]]:
    """Read a run and all of its events."""

    def look(session: Session) -> tuple[Row[Any], Sequence[Row[Any]]]:
        at = {"organization_id": actor.organization_id, "run_id": run_id}
        events = read_all(lambda page: queries.list_events(session, page=page, **at))
        return queries.get_run(session, **at), list(events)

    return database.transact(look, actor=actor, read_only=True)


def _line(event: Row[Any]) -> str:
    stands = {True: "  stands", False: "  may be chance", None: ""}[event.survives]
    return (
        f"{event.severity:.2f}  {event.drift_type:<13}  {event.payer} / {event.cpt_group}: "
        f"{event.baseline_value:.3g} -> {event.current_value:.3g}{stands}"
    )
