"""`valmed serve`: the application under gunicorn."""

import os
import socket
import sys
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import click

from backend.cli.connection import open_database
from backend.cli.places import ensure_writable
from backend.cli.strength import ensure_secrets
from backend.config import Config, ConfigError
from backend.db import migrate
from backend.db.limits import ensure_pool_fits, read_limits
from backend.db.provision import application_role, application_url, check_role, connect
from backend.db.statement_log import find_loud_settings, warning_of
from backend.operations.demo import has_demo_sign_ins


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that answer; VALMED_WORKERS if not given.")
def serve(host: str, port: int, workers: int | None) -> None:
    """Serve the application on HOST:PORT until Ctrl-C."""
    config = Config.from_env()
    if workers is not None:
        config = replace(config, workers=workers)
    if not (config.database_url or config.application_database_url):
        raise ConfigError("set VALMED_DATABASE_URL (or VALMED_APPLICATION_DATABASE_URL), or use `valmed demo`")
    if config.log_file:
        ensure_writable(Path(config.log_file))
    with listen(host, port) as listener:
        ensure_serviceable(config)
        run_gunicorn(config, listener)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that nobody else can take the port while the application starts; clients wait.

    Raises ConfigError that says what to do when something else listens there.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error.strerror}): stop what runs there, or choose another port "
            f"with --port {port + 1 if port < 65_535 else 8000}"
        ) from None
    return listener


def ensure_serviceable(config: Config) -> None:
    """Raises ConfigError unless secrets, role, migration, sign-ins and pool are fit to serve."""
    ensure_secrets(config)
    check_role(application_url(config))
    database = open_database(config)
    revision = migrate.served_revision(database)
    if revision is None or not migrate.can_serve(revision):
        raise ConfigError(f"the database stands at {revision}, this code needs {migrate.newest()}: valmed db upgrade")
    if migrate.is_newer(revision):
        click.echo(
            f"valmed: the database stands at {revision}, of a later release; this code brings {migrate.newest()} and "
            "serves on",
            err=True,
        )
    with closing(connect(application_url(config))) as connection:
        ensure_pool_fits(config, read_limits(connection, application_role(config)))
        loud = find_loud_settings(connection)
    if not config.demo and has_demo_sign_ins(database):
        raise ConfigError("this database holds the demo's published sign-ins; VALMED_DEMO=1 serves it all the same")
    database.engine.dispose()
    if loud:
        click.echo(f"valmed: {warning_of(loud)}", err=True)


def run_gunicorn(config: Config, listener: socket.socket) -> None:
    """Becomes gunicorn, answering on `listener`: same process, so that a signal to it or its end is the server's."""
    package = Path(str(find_spec("backend").origin)).parent  # type: ignore[union-attr]
    environment = {
        **os.environ,
        "VALMED_DATABASE_URL": config.database_url,
        "VALMED_WORKERS": str(config.workers),
        "VALMED_DEMO": str(int(config.demo)),
        "VALMED_ORIGIN": config.origin,
        "VALMED_EMBEDDED_DATA_DIR": config.embedded_data_dir,
        "VALMED_LOG_FILE": config.log_file,
    }
    sys.stdout.flush()
    listener.set_inheritable(True)
    arguments = ["--config", str(package / "operations" / "gunicorn.conf.py"), "--bind", f"fd://{listener.fileno()}"]
    command = [sys.executable, "-m", "gunicorn", *arguments, "backend:create_app()"]
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter, no shell
