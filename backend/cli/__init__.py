"""The `valmed` command: thin calls to the packages below. An error is one clear line."""

import sys

import click
import psycopg2.errors
import sqlalchemy.exc

from backend.cli import (
    alerts,
    archive,
    audit,
    backup,
    care_team,
    claims,
    db,
    demo,
    drift,
    openapi,
    prove,
    restore,
    seed,
    serve,
    staff,
    tune,
    verify,
)
from backend.config import VERSION, ConfigError
from backend.errors import DomainError
from backend.observability import configure_logging
from backend.operations.backups.errors import BackupError
from backend.operations.embedded import EmbeddedError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION)
def valmed() -> None:
    """ValMed: medication ordering for hospitals. Stock and orders always agree."""


for command in (
    demo.demo,
    serve.serve,
    db.db,
    seed.seed,
    staff.organization,
    staff.ward,
    staff.user,
    alerts.alerts,
    care_team.care_team,
    claims.claims,
    drift.drift,
    archive.archive,
    backup.backup,
    restore.restore,
    audit.audit,
    verify.verify,
    tune.tune,
    prove.prove_command,
    openapi.openapi,
):
    valmed.add_command(command)


def main() -> None:
    """Runs the command line; exits 1 with one line for every foreseeable error."""
    configure_logging("CRITICAL")  # a command speaks in lines of its own; the server that it may become logs anew
    try:
        valmed()
    except (ConfigError, EmbeddedError, BackupError) as error:
        _fail(str(error))
    except DomainError as error:
        _fail(error.detail)
    except OSError as error:  # a full disk, a folder that went
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")
    except (psycopg2.Error, sqlalchemy.exc.DBAPIError) as error:
        _fail(_of_database(getattr(error, "orig", None) or error))


def _of_database(error: BaseException) -> str:
    """Say what an error of the driver means for the person at the command line."""
    if isinstance(error, (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedFunction)):
        return "the database is not migrated: run `valmed db upgrade`"
    said = str(error).strip().splitlines()[0]
    if isinstance(error, psycopg2.OperationalError) and not error.pgcode:  # with a code it has answered
        return f"the database is out of reach: {said}"
    return f"the database refused: {said}"


def _fail(message: str) -> None:
    click.echo(f"valmed: {message}", err=True)
    sys.exit(1)
