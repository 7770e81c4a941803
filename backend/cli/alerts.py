"""`valmed alerts`: opens and clears alerts and shows them, for a schedule."""

from pathlib import Path

import click

from backend.actor import Actor
from backend.alerts.alerts import list_alerts, refresh
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.db import Session
from backend.db.paging import LIMIT_MAX, Page, PageRequest


@click.command()
@click.argument("organization")
@data_dir_option
def alerts(organization: str, data_dir: Path | None) -> None:
    """Bring the alerts of ORGANIZATION up to date and show the newest open ones."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))
        database.transact(
            lambda session: refresh(session, organization_id=actor.organization_id, now=session.now),
            actor=actor,
            repeatable=True,
        )

        def newest(session: Session) -> Page:
            page = PageRequest(limit=LIMIT_MAX)
            return list_alerts(session, actor=actor, ward_id=None, kind=None, cleared=False, page=page)

        page = database.transact(newest, actor=actor, read_only=True)
    for alert in page.items:
        about = " ".join(filter(None, (alert.drug_name, alert.lot_number and f"lot {alert.lot_number}")))
        click.echo(f"{alert.opened_at:%Y-%m-%d %H:%M}  {alert.kind:<11}  {alert.ward_name}: {about} ({alert.units})")
    more = "at least " if page.next_key else ""
    click.echo(f"{more}{len(page.items)} open alerts")
