"""What is measured stands here: a durable PostgreSQL, a migrated database, a seeded hospital, a nurse with a token.

Decision: without --database-url a private PostgreSQL 18 whose log may grow to 4 GB between checkpoints, else with its
defaults (fsync and synchronous_commit on). Because the orders that are refilled between two measurements would trigger
checkpoints that fall into one contestant's interval and not into the other's. Cost: one setting that differs.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine.url import URL, make_url

from backend.actor import Actor, Role
from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.embedded import Server
from backend.identity.tokens import issue_token
from backend.seeding import seed

SETTINGS = {"max_wal_size": "4GB", "checkpoint_timeout": "30min", "shared_buffers": "512MB"}
OWNER, DATABASE = "valmed_owner", "valmed"
PASSWORD = "only for the bench"  # noqa: S105 - of a nurse who is gone with the run
WARDS = 4
TOKEN_HOURS = 24


@dataclass(frozen=True, slots=True)
class Stand:
    """The database under test and the nurse who asks."""

    config: Config  # `database_url` is the owner's
    nurse: Actor
    token: str
    folder: Path  # for logs and scripts, gone afterwards
    programs: Path  # the folder of pgbench

    @property
    def owner_url(self) -> URL:
        """The database as its owner."""
        return normalised_url(self.config.database_url)

    @property
    def application_url(self) -> URL:
        """The database as the role that serves."""
        return application_url(self.config)


@contextmanager
def standing(database_url: str | None, *, drugs: int, orders: int, workers: int) -> Iterator[Stand]:
    """A stand on a private PostgreSQL that ends with it, or on the database that `database_url` (the owner's) names.

    On a given database everything stays that the bench made: an organization `bench-...` of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="valmed-bench-"))
    folder.chmod(0o755)  # the server may run as another user
    server = Server(folder / "server", settings=SETTINGS)
    try:
        if database_url is None:
            server.start()
            database_url = _create_database(server)
        config = Config.from_env(database_url=database_url, workers=workers)
        migrate.upgrade(config)
        nurse = _seed(config, drugs, orders)
        yield Stand(config, nurse, _issue_token(config, nurse), folder, server.bin_dir)
    finally:
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def _create_database(server: Server) -> str:
    """A database with an owner who is no superuser; its URL."""
    with closing(connect(make_url(server.url()))) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
        cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
    return server.url(DATABASE, OWNER)


def _seed(config: Config, drugs: int, orders: int) -> Actor:
    slug = f"bench-{uuid.uuid4().hex[:12]}"
    made = seed(
        config,
        organization=slug,
        password=PASSWORD,
        orders=orders,
        drugs=drugs,
        wards=WARDS,
        report=lambda done: print(f"\rseeding {done:,} of {orders:,} orders", end="", flush=True),
    )
    print()
    return Actor(made.organization_id, made.nurse_id, Role.NURSE, "Nurse", str(uuid.uuid4()))


def _issue_token(config: Config, nurse: Actor) -> str:
    database = Database(config.per_worker(), application_url(config))
    try:
        issued = database.transact(
            lambda session: issue_token(session, actor=nurse, now=datetime.now(UTC), hours=TOKEN_HOURS), actor=nurse
        )
        return issued.token
    finally:
        database.engine.dispose()
