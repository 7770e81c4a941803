"""`valmed claims`: claims from files of any size."""

import time
from dataclasses import replace
from pathlib import Path

import click

from backend.actor import Actor
from backend.api.claims_csv import read_claims
from backend.claims.imports import Imported, import_claims, import_lane
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.db import Session

REPORT_TIMEOUT_MS = 3_600_000  # nobody waits at a screen
REJECTIONS_SHOWN_MAX = 20


@click.group()
def claims() -> None:
    """Claims to payers."""


@claims.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--organization", required=True, help="Slug of the hospital.")
@data_dir_option
def import_(file: Path, organization: str, data_dir: Path | None) -> None:
    """Import the claims of FILE, a CSV; rows that are wrong are rejected with their line numbers, exit 1 if any."""
    started = time.monotonic()
    with configured(data_dir, as_owner=False) as config:
        database = open_database(replace(config, report_timeout_ms=REPORT_TIMEOUT_MS))
        actor = Actor.operator(organization_id(database, organization))
        with file.open("rb") as stream, click.progressbar(length=file.stat().st_size, label="Checking") as bar:
            checked = read_claims(stream, report=bar.update)
        click.echo(f"Writing {checked.accepted} claims ...")

        def work(session: Session) -> Imported:
            session.take_lanes([import_lane(actor.organization_id)])
            return import_claims(session, actor=actor, file=checked, now=session.now)

        try:
            imported = database.transact(work, actor=actor, repeatable=True, report=True)
        finally:
            checked.close()
    _show(imported, time.monotonic() - started)


def _show(imported: Imported, seconds: float) -> None:
    for rejection in imported.rejections[:REJECTIONS_SHOWN_MAX]:
        errors = "; ".join(f"{error['pointer'].lstrip('/')} {error['detail']}".strip() for error in rejection.errors)
        click.echo(f"line {rejection.line}: {errors}")
    if imported.rejected > REJECTIONS_SHOWN_MAX:
        click.echo(f"... and {imported.rejected - REJECTIONS_SHOWN_MAX} more lines")
    click.echo(
        f"{imported.created} new, {imported.changed} changed, {imported.unchanged} known, "
        f"{imported.rejected} rejected in {seconds:.1f} s"
    )
    if imported.rejected:
        raise click.exceptions.Exit(1)
