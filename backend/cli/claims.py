"""`valmed claims`: claims from files of any size."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from backend.actor import Actor
from backend.api.claims_csv import read_claims
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.db import Session
from backend.domain.claims.imports import REJECTIONS_TOLD_MAX, Imported, Rejection, import_claims, import_lane

REPORT_TIMEOUT_MS = 3_600_000  # nobody waits at a screen
REJECTIONS_SHOWN_MAX = 20


@click.group()
def claims() -> None:
    """Claims to payers."""


@claims.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--organization", required=True, help="Slug of the hospital.")
@click.option("--after-line", type=click.IntRange(0), help="Tell rejected lines after this one, up to 1,000 of them.")
@data_dir_option
def import_(file: Path, organization: str, after_line: int | None, data_dir: Path | None) -> None:
    """Import the claims of FILE, a CSV; rows that are wrong are rejected with their line numbers, exit 1 if any.

    The same file again changes nothing: with --after-line it tells the rejected lines that were not shown.
    """
    started = time.monotonic()
    with configured(data_dir, as_owner=False) as config:
        database = open_database(replace(config, report_timeout_ms=REPORT_TIMEOUT_MS))
        actor = Actor.operator(organization_id(database, organization))
        with file.open("rb") as stream, click.progressbar(length=file.stat().st_size, label="Checking") as bar:
            checked = read_claims(stream, told_after=after_line or 0, report=bar.update)
        click.echo(f"Writing {checked.accepted} claims ...")

        def work(session: Session) -> Imported:
            session.take_lanes([import_lane(actor.organization_id)])
            return import_claims(session, actor=actor, file=checked, now=session.now)

        try:
            imported = database.transact(work, actor=actor, repeatable=True, report=True)
        finally:
            checked.close()
    shown_max = REJECTIONS_SHOWN_MAX if after_line is None else REJECTIONS_TOLD_MAX
    _show(imported, imported.rejections[:shown_max], time.monotonic() - started)


def _show(imported: Imported, shown: Sequence[Rejection], seconds: float) -> None:
    for rejection in shown:
        errors = "; ".join(f"{error['pointer'].lstrip('/')} {error['detail']}".strip() for error in rejection.errors)
        click.echo(f"line {rejection.line}: {errors}")
    if len(imported.rejections) > len(shown) or imported.next_after_line is not None:
        click.echo(f"... and more, {imported.rejected} in all: see them with --after-line {shown[-1].line}")
    click.echo(
        f"{imported.created} new, {imported.changed} changed, {imported.unchanged} known, "
        f"{imported.rejected} rejected in {seconds:.1f} s"
    )
    if imported.rejected:
        raise click.exceptions.Exit(1)
