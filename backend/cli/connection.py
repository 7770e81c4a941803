"""Which database a command works on: VALMED_DATABASE_URL, else the private one of the demo."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from sqlalchemy.engine.url import make_url

from backend.config import Config, ConfigError
from backend.db import Database
from backend.db.provision import application_url, create_database
from backend.domain.organizations.hospitals import OrganizationNotFound, find_organization
from backend.operations.embedded import Server, default_data_dir

OWNER, DATABASE = "valmed_owner", "valmed"

data_dir_option: Callable[[Any], Any] = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where `valmed demo` keeps its PostgreSQL. Not used when VALMED_DATABASE_URL is set.",
)


@contextmanager
def configured(
    data_dir: Path | None, *, as_owner: bool = True, private_user: str = OWNER, create: bool = False
) -> Iterator[Config]:
    """The settings with a database to work on; a stopped private PostgreSQL runs for as long as this lasts.

    `private_user` is who signs in to the private one, `create` makes it where there is none.
    Raises ConfigError when no database is named and there is no demo, or `as_owner` and only the role that serves is.
    """
    config = Config.from_env()
    if config.application_database_url and not config.database_url and as_owner:
        raise ConfigError("this command works as the owner of the tables: set VALMED_DATABASE_URL")
    if config.database_url or config.application_database_url:
        yield config
        return
    place = data_dir or default_data_dir()
    if not (create or (place / "pgdata").is_dir()):
        raise ConfigError("set VALMED_DATABASE_URL, or start `valmed demo` once")
    server = Server(place)
    was_running = server.is_running()
    server.start()
    try:
        if create:
            create_database(make_url(server.url()), owner=OWNER, database=DATABASE)
        yield replace(config, database_url=server.url(DATABASE, private_user))
    finally:
        if not was_running:
            server.stop()


def open_database(config: Config) -> Database:
    """The database as the application role, for a command that acts like the application."""
    return Database(replace(config, pool_size=1, pool_max_overflow=0), application_url(config))


def organization_id(database: Database, slug: str) -> UUID:
    """The organization named on the command line. Raises OrganizationNotFound."""
    found = find_organization(database, slug)
    if found is None:
        raise OrganizationNotFound(f"There is no organization {slug!r}.")
    return found
