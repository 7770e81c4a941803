"""`valmed audit`: seals over the audit trail and the ledgers, by hand, by cron, or by a process that stays."""

import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import click

from backend.actor import Actor
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.cli.places import ensure_writable
from backend.config import ConfigError
from backend.db import Database
from backend.db.engine import normalised_url
from backend.domain.audit.checking import FINDINGS_MAX, Checked
from backend.domain.audit.export import export_seals
from backend.domain.audit.sealing import seal_hospital
from backend.domain.organizations.hospitals import get_organization, list_organizations
from backend.errors import Busy, DomainError
from backend.operations.verification.evidence import check_seals

ORGANIZATION = click.option("--organization", default="", help="Slug of the only hospital; all when not given.")


@click.group()
def audit() -> None:
    """Evidence that nobody changed the audit trail or the ledgers."""


@audit.command()
@ORGANIZATION
@click.option("--every", type=click.IntRange(1), metavar="SECONDS", help="Stay and seal again and again.")
@data_dir_option
def seal(organization: str, every: int | None, data_dir: Path | None) -> None:
    """Seal what was written since the last time; several processes are safe, and no writer waits for them."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        if every:
            click.echo(f"Sealing every {every} s.")
        while not stop.is_set():
            for line in _seal_all(database, organization, stop, staying=every is not None):
                click.echo(line)
            if every is None:
                break
            stop.wait(every)
        database.engine.dispose()


def _seal_all(database: Database, organization: str, stop: threading.Event, *, staying: bool) -> Iterator[str]:
    """A line for each hospital with something new. Who stays tells of a refusal and tries again at the next round."""
    try:
        hospitals = _hospitals(database, organization)
    except Busy as refusal:
        if not staying:
            raise
        yield f"{refusal.code}, again at the next round"
        return
    for slug, hospital in hospitals:
        if stop.is_set():
            return
        try:
            sealed = seal_hospital(database, organization_id=hospital, is_stopped=stop.is_set)
        except DomainError as refusal:
            if not staying:
                raise
            yield f"{slug}: {refusal.code}, again at the next round"
        else:
            if sealed.rows:
                rest = "" if sealed.is_whole else ", the rest at the next round"
                yield f"{slug}: {sealed.rows} rows in {sealed.seals} seals{rest}"


def _hospitals(database: Database, organization: str) -> list[tuple[str, UUID]]:
    """Slug and id of the one that is named, or of all. Raises OrganizationNotFound, Busy."""
    if organization:
        return [(organization, organization_id(database, organization))]
    return sorted((_slug_of(database, found), found) for found in list_organizations(database))


def _slug_of(database: Database, hospital: UUID) -> str:
    found = database.transact(
        lambda session: get_organization(session, organization_id=hospital),
        actor=Actor.operator(hospital),
        read_only=True,
    )
    return str(found.slug)


@audit.command()
@ORGANIZATION
@click.option(
    "--seals",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Seals that `audit export` wrote: shows a chain that was made anew or cut at its end, too.",
)
@click.option("--all", "show_all", is_flag=True, help="Go on after 20 faults and name every one.")
@data_dir_option
def verify(organization: str, seals: Path | None, show_all: bool, data_dir: Path | None) -> None:
    """Read every sealed row again; exit 1 and name, the first one first, what was altered, is missing or inserted."""
    broken = hospitals = 0
    with configured(data_dir) as config:
        url, most = normalised_url(config.database_url), None if show_all else FINDINGS_MAX
        for slug, checked in check_seals(url, organization=organization, seals=seals, findings_max=most):
            hospitals += 1
            broken += bool(checked.findings)
            for line in _told(checked):
                click.echo(f"{slug}: {line}")
    if organization and not hospitals:
        raise click.BadParameter(f"There is no organization {organization}.")
    click.echo(f"{hospitals} organizations: {broken} broken")
    sys.exit(1 if broken else 0)


def _told(checked: Checked) -> Iterator[str]:
    yield from checked.findings
    if checked.is_full:
        yield "the check stopped here: go on with --all"
        return
    unsealed = f"{checked.unsealed} rows not sealed yet"
    since = f", the oldest of {checked.since:%Y-%m-%dT%H:%M:%S%z}" if checked.since else ""
    yield f"{checked.seals} seals, {checked.rows} rows; {unsealed}{since}"


@audit.command()
@click.option("--organization", required=True, help="Slug of the hospital.")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="A new file; none is overwritten."
)
@data_dir_option
def export(organization: str, file: Path, data_dir: Path | None) -> None:
    """Write the hospital's seals as JSON lines, to be kept elsewhere."""
    ensure_writable(file)
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        hospital = organization_id(database, organization)
        try:
            with file.open("x") as out:
                count = 0
                for line in export_seals(database, organization_id=hospital):
                    out.write(f"{line}\n")
                    count += 1
        except FileExistsError:
            raise ConfigError(f"{file} exists: an export is evidence and is not overwritten") from None
        database.engine.dispose()
    click.echo(f"{count} seals in {file}")
