"""`valmed verify`: the proof that stock and orders agree."""

import sys
from pathlib import Path

import click

from backend.cli.connection import configured, data_dir_option
from backend.db.engine import normalised_url
from backend.models import Base
from backend.reports.verification import Finding
from backend.reports.verification import verify as verify_database


@click.command()
@data_dir_option
def verify(data_dir: Path | None) -> None:
    """Prove the invariants of stock and orders on the whole database; exit 1 and name the rows where one is broken."""
    with configured(data_dir) as config:
        findings = verify_database(normalised_url(config.database_url), Base.metadata, report=_show)
    broken = [finding for finding in findings if finding.broken]
    for finding in broken:
        click.echo(f"\n{finding.organization or 'schema'}: {finding.invariant.title}: {finding.broken} broken")
        for row in finding.rows:
            click.echo(f"  {row}")
    hospitals = len({finding.organization for finding in findings if finding.organization})
    click.echo(f"\n{len(findings)} checks on {hospitals} organizations: {len(broken)} broken")
    sys.exit(1 if broken else 0)


def _show(finding: Finding) -> None:
    state = f"BROKEN {finding.broken}" if finding.broken else "ok"
    click.echo(f"{finding.organization:<16} {finding.invariant.number}  {finding.invariant.title:<86} {state}")
