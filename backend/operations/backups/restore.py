"""Restoring: a backup that is whole, into a database that is empty, proven before anybody uses it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from psycopg2.extensions import quote_ident
from sqlalchemy import MetaData
from sqlalchemy.engine.url import URL

from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_role, connect, provision_role
from backend.domain.identity.ending_sign_ins import end_everywhere
from backend.operations.backups.backup import MAJOR, Report
from backend.operations.backups.content import is_empty, one_moment
from backend.operations.backups.errors import BackupError
from backend.operations.backups.manifest import Manifest, digest, read_manifest
from backend.operations.backups.programs import find_program, run
from backend.operations.verification.verify import Finding, verify

OPTIONS = (
    "--single-transaction",
    "--exit-on-error",
    "--no-owner",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--no-comments",  # an extension's comment belongs to its owner, who may be somebody else
)
# What the application role needs of the database itself, which no dump of its content holds.
DATABASE_RIGHTS = """DO $body$ BEGIN
  IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO {role}', current_database());
  END IF; END $body$"""


def restore(config: Config, metadata: MetaData, backup: Path, *, report: Report) -> list[Finding]:
    """Restores `backup` into the empty database of `config`, as its owner, and says what `valmed verify` finds there.

    All of it or, but for the application role, nothing. A backup of an older release is migrated to this one once its
    rows have been counted. Every sign-in ends: the backup may bring back what had ended since. Raises BackupError,
    RoleProblem, alembic's errors and those of the driver.
    """
    manifest = read_manifest(backup)
    ensure_whole(backup, manifest)
    url = normalised_url(config.database_url)
    major = ensure_fitting(url, manifest)
    provide_roles(config, manifest)
    report(f"restoring {sum(manifest.rows.values())} rows of {len(manifest.rows)} tables, of {manifest.started_at}")
    program = find_program("pg_restore", major)
    run(program, url, *OPTIONS, str(backup))
    ensure_same_rows(url, manifest)
    return prove(config, metadata, manifest, report)


def ensure_whole(backup: Path, manifest: Manifest) -> None:
    """Raises BackupError unless the file is, byte for byte, the one that the manifest describes."""
    if manifest.kind != "dump":
        raise BackupError(f"{backup} is a copy of a whole cluster: start PostgreSQL on it (README, Restore)")
    if digest(backup) != manifest.sha256:
        raise BackupError(f"{backup} is not the file that was backed up: its SHA-256 differs from the manifest's")
    if migrate.is_newer(manifest.revision):
        raise BackupError(
            f"{backup} stands at migration {manifest.revision}, this code knows {migrate.newest()}: "
            f"restore with ValMed {manifest.valmed}"
        )


def ensure_fitting(url: URL, manifest: Manifest) -> int:
    """The server's major version. Raises BackupError unless the database is empty, new enough and its owner's."""
    with one_moment(url) as moment:
        major, user = int(moment.value(MAJOR)), moment.value("SELECT current_user")
    made_by = int(manifest.postgresql.split(".")[0])
    if major < made_by:
        raise BackupError(
            f"the backup is of PostgreSQL {made_by}, the server is {major}: restore into {made_by} or newer"
        )
    if user != manifest.owner:
        raise BackupError(
            f"the tables belong to {manifest.owner} and their policies name that role: let VALMED_DATABASE_URL sign in "
            f"as {manifest.owner}, not {user}"
        )
    if not is_empty(url):
        raise BackupError(f"the database {url.database} is not empty: restore into a new one (CREATE DATABASE)")
    return major


def provide_roles(config: Config, manifest: Manifest) -> None:
    """Makes the application role where it may. Raises RoleProblem, and BackupError where another role is absent."""
    if application_role(config) not in manifest.roles:
        raise BackupError(
            f"the backup gives rights to {', '.join(manifest.roles)} and not to {application_role(config)}: "
            "set VALMED_APPLICATION_ROLE to the role that serves"
        )
    provision_role(config)
    with closing(connect(normalised_url(config.database_url))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT unnest(%s) EXCEPT SELECT rolname FROM pg_roles ORDER BY 1", (manifest.roles,))
        absent = [name for (name,) in cursor.fetchall()]
        if absent:
            raise BackupError(f"the backup gives rights to roles that are not here: CREATE ROLE {absent[0]}")
        cursor.execute(DATABASE_RIGHTS.format(role=quote_ident(application_role(config), cursor)))


def ensure_same_rows(url: URL, manifest: Manifest) -> None:
    """Raises BackupError where a table has not the rows that were backed up."""
    with one_moment(url) as moment:
        rows = moment.count_rows()
    wrong = [table for table in sorted({*rows, *manifest.rows}) if rows.get(table) != manifest.rows.get(table)]
    if wrong:
        table = wrong[0]
        raise BackupError(
            f"{table} has {rows.get(table)} rows, the backup {manifest.rows.get(table)}; {len(wrong)} tables differ: "
            "do not use this database"
        )


def end_sign_ins(config: Config, report: Report) -> None:
    """Ends what somebody could sign in with who may have been signed out since the backup, and says what it was.

    As the owner: the application's URL may name another database, the one that still serves.
    """
    own = replace(config, pool_size=1, pool_max_overflow=0)
    database = Database(own, normalised_url(config.database_url))
    ended = end_everywhere(database)
    database.engine.dispose()
    report(
        f"ended {ended.sign_ins} sign-ins and {ended.first_passwords} first passwords that the backup brought back; "
        "passwords and second factors that were changed since, and people who left, are for you to go through"
    )


def prove(config: Config, metadata: MetaData, manifest: Manifest, report: Report) -> list[Finding]:
    """Everything that must hold of a restored database before it serves; a new proof of ValMed joins here."""
    if manifest.revision != migrate.newest():
        report(f"migrating from {manifest.revision} to {migrate.newest()}")
        migrate.upgrade(config, report=report)
    report("comparing the tables with those this code expects")
    migrate.check(config)
    end_sign_ins(config, report)
    report("proving that stock and orders agree")
    return verify(normalised_url(config.database_url), metadata)
