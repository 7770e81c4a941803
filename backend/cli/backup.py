"""`valmed backup`: a copy of the database that is complete, or none."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from backend.cli.connection import configured, data_dir_option
from backend.cli.places import ensure_new_name, ensure_writable
from backend.db.engine import normalised_url
from backend.domain.models import Base
from backend.operations.backups.backup import back_up
from backend.operations.backups.errors import BackupError
from backend.operations.backups.manifest import Manifest, manifest_of
from backend.operations.backups.physical import back_up_cluster
from backend.operations.backups.textfile import write_textfile

SUPERUSER = "postgres"  # of the private PostgreSQL: its owner of the tables does not see every row


@click.command()
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--physical", is_flag=True, help="Copy the whole cluster, as a base for point-in-time recovery.")
@click.option(
    "--textfile",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write time, size and proof as metrics for Prometheus' node exporter.",
)
@data_dir_option
def backup(place: Path, physical: bool, textfile: Path | None, data_dir: Path | None) -> None:
    """Back the database up to PLACE: a folder, where the time gives the name, or a new name with an extension.

    One snapshot is dumped beside live traffic, counted and proven; a manifest beside the dump says what is in it. The
    role of VALMED_DATABASE_URL must see every row: a superuser, or one with BYPASSRLS and pg_read_all_data. Exits 1
    where the proof fails; the backup then is complete and says so.
    """
    if not place.is_dir():
        ensure_new_name(place)
    if textfile is not None:
        ensure_writable(textfile)
    with configured(data_dir, private_user=SUPERUSER) as config:
        url = normalised_url(config.database_url)
        target = (_named(place, str(url.database), physical) if place.is_dir() else place).absolute()
        take = back_up_cluster if physical else back_up
        try:
            manifest = take(url, Base.metadata, target, report=click.echo)
            if textfile is not None:
                write_textfile(textfile, manifest)
        except OSError as error:
            raise BackupError(f"cannot write {error.filename or target}: {error.strerror}") from None
    _tell(target, manifest)
    sys.exit(1 if manifest.broken else 0)


def _named(folder: Path, database: str, physical: bool) -> Path:
    return folder / f"{database}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{'' if physical else '.dump'}"  # noqa: TID251 - a name of a file


def _tell(target: Path, manifest: Manifest) -> None:
    click.echo(f"{target}: {manifest.bytes} bytes, migration {manifest.revision}, sha256 {manifest.sha256}")
    click.echo(f"{manifest_of(target)}: {len(manifest.rows)} tables, {sum(manifest.rows.values())} rows")
    proof = f"{manifest.broken} BROKEN: run `valmed verify`" if manifest.broken else "all hold"
    click.echo(f"{manifest.checks} checks of `valmed verify`: {proof}")
