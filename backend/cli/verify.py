"""`valmed verify`: the proof that stock and orders agree."""

import sys
from pathlib import Path

import click

from backend.cli.connection import configured, data_dir_option
from backend.db import migrate
from backend.db.engine import normalised_url
from backend.domain.models import Base
from backend.operations.verification.verify import ROWS_SHOWN_MAX, Finding
from backend.operations.verification.verify import verify as verify_database


@click.command()
@click.argument("organization", default="")
@click.option("--all", "show_all", is_flag=True, help="Name every row that breaks an invariant, not only 20 of each.")
@data_dir_option
def verify(organization: str, show_all: bool, data_dir: Path | None) -> None:
    """Prove the invariants of stock and orders, of ORGANIZATION or of all; exit 1 and name the rows that break one."""
    with configured(data_dir) as config:
        url = normalised_url(config.database_url)
        rows_max = None if show_all else ROWS_SHOWN_MAX
        findings = verify_database(url, Base.metadata, organization=organization, report=_show, rows_max=rows_max)
        revision = migrate.revision_at(url) or ""
    if organization and all(finding.organization == "" for finding in findings):
        raise click.BadParameter(f"There is no organization {organization}.")
    if migrate.is_newer(revision):
        click.echo(
            f"\nThe database stands at {revision}, of a later release: that one compares the texts of its guards."
        )
    broken = [finding for finding in findings if finding.broken]
    for finding in broken:
        click.echo(f"\n{finding.organization or 'schema'}: {finding.invariant.title}: {finding.broken} broken")
        for row in finding.rows:
            click.echo(f"  {row}")
        if finding.broken > len(finding.rows):
            click.echo(f"  ... and {finding.broken - len(finding.rows)} more: see them with --all")
    hospitals = len({finding.organization for finding in findings if finding.organization})
    click.echo(f"\n{len(findings)} checks on {hospitals} organizations: {len(broken)} broken")
    sys.exit(1 if broken else 0)


def _show(finding: Finding) -> None:
    state = f"BROKEN {finding.broken}" if finding.broken else "ok"
    click.echo(f"{finding.organization:<16} {finding.invariant.title:<86} {state}")
