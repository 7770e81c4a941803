"""What is measured stands here: a durable PostgreSQL, a migrated database, a seeded hospital, a nurse with a token.

Decision: above a million orders the past is loaded without foreign-key checks and audit triggers. Because with them ten
million orders and movements take an hour. Cost: their audit trail is missing; `valmed verify` reads all the rest.

Decision: without --database-url a private PostgreSQL 18 whose log may grow to 4 GB between checkpoints, else with its
defaults (fsync and synchronous_commit on). Because the orders that are refilled between two measurements would trigger
checkpoints that fall into one contestant's interval and not into the other's. Cost: one setting that differs.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine.url import URL, make_url

from backend.actor import Actor, Role
from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect
from backend.domain.identity.tokens import issue_token
from backend.operations.embedded import Server
from backend.operations.seeding import seed

SETTINGS = {"max_wal_size": "4GB", "checkpoint_timeout": "30min", "shared_buffers": "512MB"}
OWNER, DATABASE = "valmed_owner", "valmed"
# Where a plan must not be made for the few rows that were there at the start.
ANALYZED = (
    *("medication_orders", "medication_administrations", "stock_levels", "stock_lots", "stock_movements"),
    *("idempotency_keys", "audit_events"),
)
PASSWORD = "only for the bench"  # noqa: S105 - of a nurse who is gone with the run
WARDS = 4
TOKEN_HOURS = 24
UNHURRIED_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Stand:
    """The database under test and the nurse who asks."""

    config: Config  # `database_url` is the owner's
    size: int  # orders that lie around, and as many movements
    slug: str  # of the bench's hospital
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
def standing(database_url: str | None, *, drugs: int, sizes: Sequence[int], workers: int) -> Iterator[list[Stand]]:
    """A stand for each of `sizes`, on a private PostgreSQL that ends with them.

    With `database_url` (the owner's) the only one is there, and everything stays that the bench made: an organization
    `bench-...` of its own. Several sizes need a database each, so that the large one is not in the small one's indexes.
    """
    folder = Path(tempfile.mkdtemp(prefix="valmed-bench-"))
    folder.chmod(0o755)  # the server may run as another user
    server = Server(folder / "server", settings=SETTINGS)
    try:
        if database_url is None:
            server.start()
            urls = _create_databases(server, len(sizes))
        else:
            urls = [database_url]
        stands = []
        for url, size in zip(urls, sizes, strict=True):
            config = Config.from_env(database_url=url, workers=workers)
            migrate.upgrade(config)
            with _hurried(server) if size > UNHURRIED_MAX and database_url is None else nullcontext():
                stands.append(_make_stand(config, folder / str(size), server.bin_dir, drugs=drugs, size=size))
        yield stands
    finally:
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def _create_databases(server: Server, number: int) -> list[str]:
    """Databases of an owner who is no superuser; their URLs."""
    names = [f"{DATABASE}_{place}" for place in range(number)]
    with closing(connect(make_url(server.url()))) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
        for name in names:
            cursor.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
    return [server.url(name, OWNER) for name in names]


@contextmanager
def _hurried(server: Server) -> Iterator[None]:
    """While this lasts the owner's new sessions load rows as a replica does: no foreign key or trigger sees them."""
    with closing(connect(make_url(server.url()))) as connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER ROLE {OWNER} SET session_replication_role = replica")
        yield
        cursor.execute(f"ALTER ROLE {OWNER} RESET session_replication_role")


def _make_stand(config: Config, folder: Path, programs: Path, *, drugs: int, size: int) -> Stand:
    """A hospital of `size` orders and movements; what autovacuum would do while others are measured is done."""
    folder.mkdir()
    slug = f"bench-{uuid.uuid4().hex[:12]}"
    made = seed(
        config,
        organization=slug,
        password=PASSWORD,
        orders=size,
        movements=size,
        drugs=drugs,
        wards=WARDS,
        report=lambda done: print(f"\rseeding {size:,} orders and movements: {done:,} orders made", end="", flush=True),
    )
    print()
    with closing(connect(normalised_url(config.database_url))) as connection, connection.cursor() as cursor:
        cursor.execute(f"VACUUM (ANALYZE) {', '.join(ANALYZED)}")
    nurse = Actor(made.organization_id, made.nurse_id, Role.NURSE, "Nurse", str(uuid.uuid4()))
    return Stand(config, size, slug, nurse, sign_in(config, nurse), folder, programs)


def sign_in(config: Config, nurse: Actor) -> str:
    """A token with which `nurse` is signed in."""
    database = Database(config.per_worker(), application_url(config))
    try:
        issued = database.transact(
            lambda session: issue_token(session, actor=nurse, now=datetime.now(UTC), hours=TOKEN_HOURS), actor=nurse
        )
        return issued.token
    finally:
        database.engine.dispose()
