"""`valmed archive`: what may go leaves the database for a file."""

from datetime import UTC, datetime
from pathlib import Path

import click

from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.cli.places import ensure_folder
from backend.operations.retention.archive import archive as archive_old


@click.command()
@click.option("--organization", required=True, help="Slug of the hospital.")
@click.option("--before", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Older than this day (UTC) goes.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=".",
    help="For the files, which name patients; this one if not given.",
)
@data_dir_option
def archive(organization: str, before: datetime, folder: Path, data_dir: Path | None) -> None:
    """Move stored answers and ended access tokens into gzip JSON lines, then delete them; run it again at any time.

    The ledger, the orders and the audit trail stay.
    """
    ensure_folder(folder)
    with configured(data_dir) as config:
        database = open_database(config)
        hospital, now = organization_id(database, organization), database.now()
        database.engine.dispose()
        moved = archive_old(
            config,
            organization_id=hospital,
            slug=organization,
            before=before.replace(tzinfo=UTC),
            folder=folder,
            now=now,
            report=lambda table, rows: click.echo(f"\r{table}: {rows}", nl=False, err=True),
        )
    for each in moved:
        click.echo(f"{each.table}: {each.rows}{f', in {each.file}' if each.file else ''}")
