"""What the proof stands on: a private PostgreSQL, a proxy in front of it, the nodes of the application, hospitals.

PostgreSQL runs with its durable defaults (fsync, synchronous_commit) unless the caller starts it otherwise.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy.engine.url import URL, make_url

from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect, create_database
from backend.domain.stock.ledger import Shelf
from backend.operations.embedded import Server
from backend.operations.embedded.ending import Ended
from backend.operations.proving import application
from backend.operations.proving.application import Node
from backend.operations.proving.hospital import SLUGS, Hospital, Person, open_hospital
from backend.operations.proving.proxy import Proxy

OWNER = "valmed_owner"
PORT = 5432  # of the proxy's socket's name only
WORKERS = 4  # of all nodes together
AHEAD_SECONDS = 120.0  # the clock of the last of several nodes
ROWS_READ = 5_000


@dataclass(frozen=True)
class Stand:
    """Everything that a proof works with and breaks."""

    server: Server
    proxy: Proxy
    nodes: tuple[Node, ...]
    hospitals: tuple[Hospital, ...]
    owner_url: URL  # of the database, past the proxy

    @property
    def people(self) -> list[Person]:
        """Everybody who is a client."""
        return [person for hospital in self.hospitals for person in hospital.people]

    @property
    def shelves(self) -> list[Shelf]:
        """Every shelf."""
        return [shelf for hospital in self.hospitals for shelf in hospital.shelves]

    @property
    def superuser_url(self) -> URL:
        """The database as the superuser, who kills and locks, and reads past row-level security."""
        return make_url(self.server.url(str(self.owner_url.database)))


@contextmanager
def private_postgresql(folder: Path) -> Iterator[Server]:
    """A PostgreSQL with its data below `folder`, until the block ends. Raises EmbeddedError."""
    server = Server(folder / "postgresql")
    try:
        server.start()
        yield server
    finally:
        server.stop("immediate")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that the server's own user may enter. It is gone afterwards, unless the block fails by itself."""
    folder = Path(tempfile.mkdtemp(prefix="valmed-prove-"))
    folder.chmod(0o755)
    try:
        yield folder
    except Ended:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def standing(
    server: Server, folder: Path, *, clients: int, hospitals: int = len(SLUGS), nodes: int = 1
) -> Iterator[Stand]:
    """A stand on a database of its own on `server`, with a person for each of `clients` in one of the `hospitals`.

    Of several `nodes` the last has its clock AHEAD_SECONDS ahead. Logs and the proxy's socket are in `folder`. Raises
    NotStarted, ConfigError, EmbeddedError.
    """
    name = f"proof_{uuid.uuid4().hex[:12]}"
    create_database(make_url(server.url()), owner=OWNER, database=name)
    config = Config(database_url=server.url(name, OWNER), workers=max(1, WORKERS // nodes))
    migrate.upgrade(config)
    place = Path(tempfile.mkdtemp(prefix="valmed-proxy-"))  # short: a socket's path may have 100 characters
    proxy = Proxy(place, PORT, f"{server.socket_dir}/.s.PGSQL.{PORT}")
    settings = {
        "VALMED_APPLICATION_DATABASE_URL": _through(application_url(config), place),
        "VALMED_WORKERS": str(config.workers),
        "VALMED_LOG_LEVEL": "WARNING",
    }
    ahead = [0.0] * (nodes - 1) + [AHEAD_SECONDS if nodes > 1 else 0.0]
    started = tuple(
        Node(settings, folder / f"{name}-{number}.log", ahead_seconds=seconds)
        for number, seconds in enumerate(ahead, start=1)
    )
    try:
        application.launch(started)
        opened = _open(config, SLUGS[:hospitals], clients // hospitals)
        application.wait_until_ready(started)
        yield Stand(server, proxy, started, opened, normalised_url(config.database_url))
    finally:
        application.stop(started)
        proxy.close()
        shutil.rmtree(place, ignore_errors=True)


def _through(url: URL, place: Path) -> str:
    query = {name: value for name, value in url.query.items() if name not in {"host", "port"}}
    through = url.set(host=None, port=None, query={**query, "host": str(place), "port": str(PORT)})
    return through.render_as_string(hide_password=False)


def _open(config: Config, slugs: Sequence[str], clients: int) -> tuple[Hospital, ...]:
    database = Database(replace(config, pool_size=1, pool_max_overflow=0), application_url(config))
    try:
        return tuple(open_hospital(database, slug, clients) for slug in slugs)
    finally:
        database.engine.dispose()


def ask(url: URL, query: str) -> list[tuple[Any, ...]]:
    """The rows of `query` on a connection of its own."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def read(url: URL, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `query` as they come, however many: they are never here all at once."""
    with closing(connect(url)) as connection, connection.cursor("rows", withhold=True) as cursor:
        cursor.itersize = ROWS_READ
        cursor.execute(query)
        yield from cursor
