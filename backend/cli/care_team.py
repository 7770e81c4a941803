"""`valmed care-team`: one PRIMARY for each patient, before the migration that sees to it and after."""

import sys
from pathlib import Path

import click

from backend.cli.connection import configured, data_dir_option
from backend.db.engine import normalised_url
from backend.operations.verification.care_team import CARE_TEAM, INDEXES, WITHOUT_PRIMARY
from backend.operations.verification.verify import prove


@click.group("care-team")
def care_team() -> None:
    """Look whether every patient has at most one PRIMARY provider."""


@care_team.command()
@click.argument("organization", default="")
@data_dir_option
def check(organization: str, data_dir: Path | None) -> None:
    """List what breaks the rules, of ORGANIZATION or of all, and teams without a PRIMARY; exit 1 for the former.

    Works before `valmed db upgrade` too, which keeps the earliest PRIMARY of a patient and demotes the others.
    """
    with configured(data_dir) as config:
        url = normalised_url(config.database_url)
        rules = (*CARE_TEAM, WITHOUT_PRIMARY)
        findings = prove(url, [], rules, organization=organization, rows_max=None)
    if organization and not findings:
        raise click.BadParameter(f"There is no organization {organization}.")
    for finding in findings:
        for row in finding.rows:
            click.echo(f"{finding.organization}: {row}")
    without = sum(finding.broken for finding in findings if finding.invariant is WITHOUT_PRIMARY)
    broken = sum(finding.broken for finding in findings) - without
    click.echo(f"violations: {broken}; teams without a PRIMARY: {without}")
    sys.exit(1 if broken else 0)


@care_team.command()
@data_dir_option
def verify(data_dir: Path | None) -> None:
    """Confirm that the unique indexes stand as they must; exit 1 and say what is wrong where one does not."""
    with configured(data_dir) as config:
        (finding,) = prove(normalised_url(config.database_url), [INDEXES], [])
    for row in finding.rows:
        click.echo(row)
    click.echo(f"{INDEXES.title}: {'BROKEN' if finding.broken else 'ok'}")
    sys.exit(1 if finding.broken else 0)
