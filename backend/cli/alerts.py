"""`valmed alerts`: opens and clears alerts and shows them, for a schedule."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from backend.actor import Actor
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.db import Session
from backend.db.paging import LIMIT_MAX, Page, PageRequest, read_all
from backend.domain.alerts.evaluating import list_alerts, refresh


@click.command()
@click.argument("organization")
@click.option("--all", "show_all", is_flag=True, help="Show every open alert, not only the newest 200.")
@data_dir_option
def alerts(organization: str, show_all: bool, data_dir: Path | None) -> None:
    """Bring the alerts of ORGANIZATION up to date and show the newest open ones."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))
        database.transact(
            lambda session: refresh(session, organization_id=actor.organization_id, now=session.now),
            actor=actor,
            repeatable=True,
        )

        def newest_first(session: Session) -> Sequence[Any]:
            def read(page: PageRequest) -> Page:
                return list_alerts(session, actor=actor, ward_id=None, kind=None, cleared=False, page=page)

            return list(read_all(read))

        found = database.transact(newest_first, actor=actor, read_only=True)
    for alert in found if show_all else found[:LIMIT_MAX]:
        about = " ".join(filter(None, (alert.drug_name, alert.lot_number and f"lot {alert.lot_number}")))
        click.echo(f"{alert.opened_at:%Y-%m-%d %H:%M}  {alert.kind:<11}  {alert.ward_name}: {about} ({alert.units})")
    if len(found) > LIMIT_MAX and not show_all:
        click.echo(f"... and {len(found) - LIMIT_MAX} older ones: see them with --all")
    click.echo(f"{len(found)} open alerts")
