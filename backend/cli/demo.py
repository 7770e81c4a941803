"""`valmed demo`: everything on one machine with one command."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click
from sqlalchemy.engine.url import make_url

from backend.cli.connection import DATABASE, OWNER, data_dir_option, open_database
from backend.cli.places import ensure_writable
from backend.cli.serve import ensure_serviceable, listen, run_gunicorn
from backend.config import Config
from backend.db import migrate
from backend.db.provision import create_database
from backend.operations.demo import build_hospitals
from backend.operations.demo.people import DOMAIN, PASSWORD, TOTP_SECRET
from backend.operations.embedded import Server, default_data_dir
from backend.operations.embedded.ending import end_once, hold_signals

HOST = "127.0.0.1"


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@data_dir_option
@click.option("--reset", is_flag=True, help="Throw the demo's data away and start anew.")
def demo(port: int, data_dir: Path | None, reset: bool) -> None:
    """Start a private PostgreSQL, a sample hospital and the application; Ctrl-C stops them all.

    The data stay: the next start takes them up again. With VALMED_DATABASE_URL set, that PostgreSQL is used.
    """
    end_once()
    config = Config.from_env()
    config = replace(config, demo=True, origin=config.origin or f"http://localhost:{port}")
    if config.log_file:
        ensure_writable(Path(config.log_file))
    place = (data_dir or default_data_dir()).absolute()
    with listen(HOST, port) as listener, _postgresql(config, place, reset) as config:
        with _step("Migrations"):
            migrate.upgrade(config)
        database = open_database(config)
        with _step("Sample hospitals") as say:
            build_hospitals(database, now=database.now(), report=say)
        database.engine.dispose()
        ensure_serviceable(config)
        _greet(config, port, place)
        hold_signals()  # until gunicorn, which stops PostgreSQL, listens to them
        run_gunicorn(config, listener)


@contextmanager
def _postgresql(config: Config, place: Path, reset: bool) -> Iterator[Config]:
    """The settings with a PostgreSQL that runs, the private one of `place` unless one is given.

    The private one stops together with the server that its block becomes. If the block fails instead, it stops too,
    unless it was found running: then somebody else may be at work in it.
    """
    if config.database_url:
        if reset:
            raise click.UsageError("--reset empties the private PostgreSQL only; VALMED_DATABASE_URL is set")
        yield config
        return
    server = Server(place, report=_Progress())
    server.occupy()
    found_running = server.is_running() and not reset
    try:
        with _step("PostgreSQL"):
            started = _start_postgresql(config, server, place, reset)
        yield started
    except BaseException:
        if not found_running:
            server.stop()
        raise


def _start_postgresql(config: Config, server: Server, place: Path, reset: bool) -> Config:
    if reset:
        server.destroy()
    server.start()
    create_database(make_url(server.url()), owner=OWNER, database=DATABASE)
    log_file = server.socket_dir.parent / "log" / "valmed.log"
    log_file = log_file if log_file.parent.is_dir() else place / "valmed.log"
    return replace(
        config,
        database_url=server.url(DATABASE, OWNER),
        embedded_data_dir=str(place),
        log_file=config.log_file or str(log_file),
    )


class _Progress:
    """Prints what a step does while it does it."""

    def __call__(self, line: str) -> None:
        click.echo(f"    {line}")


@contextmanager
def _step(name: str) -> Iterator[_Progress]:
    click.echo(f"  {name} ...")
    started = time.monotonic()
    yield _Progress()
    click.echo(f"  {name}: ready ({time.monotonic() - started:.1f} s)")


def _greet(config: Config, port: int, place: Path) -> None:
    address = f"http://{HOST}:{port}"
    click.echo(f"""
  ValMed is at {address}   (API pages: {address}/api/v1/docs)

  Sign in to organization riverside, or lakeside, with password {PASSWORD} as
    nurse@{DOMAIN}  nurse2@{DOMAIN}  pharmacist@{DOMAIN}
    doctor@{DOMAIN}  doctor2@ ... doctor11@{DOMAIN}  admin@{DOMAIN}
  Second factor of doctors and admins: secret {TOTP_SECRET}, a code now:
    valmed user code {TOTP_SECRET}
""")
    if config.embedded_data_dir:
        click.echo(f"  Data and logs: {place}    Check them: valmed verify{_data_dir_hint(place)}")
    click.echo("  Ctrl-C stops everything.\n")


def _data_dir_hint(place: Path) -> str:
    return "" if place == default_data_dir() else f" --data-dir {place}"
