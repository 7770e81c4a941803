"""`valmed organization`, `ward` and `user`: setting a hospital up without the demo."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import click
from sqlalchemy import select

from backend.actor import Actor, Role
from backend.cli.connection import configured, data_dir_option, open_database, organization_id
from backend.db import Session, new_id
from backend.identity import users
from backend.identity.models import User
from backend.identity.queries import UserNotFound
from backend.organizations import organizations
from backend.organizations.models import WardKind


@click.group()
def organization() -> None:
    """Open a hospital and set its policies."""


@organization.command("create")
@click.argument("slug")
@click.option("--name", required=True)
@click.option("--time-zone", default="UTC", show_default=True, help="IANA name; lots expire by its calendar.")
@data_dir_option
def create_organization(slug: str, name: str, time_zone: str, data_dir: Path | None) -> None:
    """Open the hospital SLUG, the name its staff sign in with."""
    with configured(data_dir, as_owner=False) as config:
        new = new_id()
        open_database(config).transact(
            lambda session: organizations.open_organization(
                session, organization_id=new, slug=slug, name=name, time_zone=time_zone
            ),
            actor=Actor.operator(new),
        )
    click.echo(f"{slug} is open.")


@organization.command("policy")
@click.argument("slug")
@click.option("--verification/--no-verification", default=None, help="A pharmacist verifies before a nurse fulfils.")
@click.option("--witness/--no-witness", default=None, help="A controlled drug needs a second person.")
@data_dir_option
def set_policy(slug: str, verification: bool | None, witness: bool | None, data_dir: Path | None) -> None:
    """Set the policies of the hospital SLUG."""
    wanted = {"verification_required": verification, "witness_required": witness}
    changes = {name: value for name, value in wanted.items() if value is not None}
    if not changes:
        raise click.UsageError("name a policy: --verification, --no-verification, --witness or --no-witness")
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, slug))

        def work(session: Session) -> None:
            organizations.change_organization(session, organization_id=actor.organization_id, **changes)

        database.transact(work, actor=actor)
    click.echo(", ".join(f"{name} = {value}" for name, value in changes.items()))


@click.group()
def ward() -> None:
    """Open wards."""


@ward.command("create")
@click.argument("organization")
@click.argument("name")
@click.option("--kind", type=click.Choice([kind.value for kind in WardKind]), default="ward", show_default=True)
@data_dir_option
def create_ward(organization: str, name: str, kind: str, data_dir: Path | None) -> None:
    """Open the ward NAME in ORGANIZATION."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))
        ward_id = database.transact(
            lambda session: organizations.add_ward(
                session, organization_id=actor.organization_id, name=name, kind=WardKind(kind)
            ),
            actor=actor,
        )
    click.echo(str(ward_id))


@click.group()
def user() -> None:
    """Add members of staff and reset their passwords."""


@user.command("create")
@click.argument("organization")
@click.argument("email")
@click.option("--name", required=True)
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--ward", "wards", multiple=True, help="Name of a ward they work on; may be given again.")
@click.password_option(help="12 to 128 characters; asked for when not given.")
@data_dir_option
def create_user(
    organization: str, email: str, name: str, role: str, wards: tuple[str, ...], password: str, data_dir: Path | None
) -> None:
    """Add the member of staff EMAIL to ORGANIZATION."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))

        def work(session: Session) -> None:
            users.add_user(
                session,
                organization_id=actor.organization_id,
                email=email,
                name=name,
                role=Role(role),
                password=password,
                ward_ids=_ward_ids(session, actor.organization_id, wards),
            )

        database.transact(work, actor=actor)
    click.echo(f"{email} may sign in to {organization} as {role}.")


@user.command("reset-password")
@click.argument("organization")
@click.argument("email")
@click.password_option(help="12 to 128 characters; asked for when not given.")
@data_dir_option
def reset_password(organization: str, email: str, password: str, data_dir: Path | None) -> None:
    """Give EMAIL a new password and end every session of theirs."""
    with configured(data_dir, as_owner=False) as config:
        database = open_database(config)
        actor = Actor.operator(organization_id(database, organization))
        database.transact(lambda session: _reset(session, actor.organization_id, email.lower(), password), actor=actor)
    click.echo(f"{email} has a new password and is signed out everywhere.")


def _reset(session: Session, organization: UUID, email: str, password: str) -> None:
    found = session.execute(select(User.id).where(User.organization_id == organization, User.email == email)).first()
    if found is None:
        raise UserNotFound(f"There is no user {email}.")
    users.change_user(session, organization_id=organization, user_id=found[0], password=password, now=datetime.now(UTC))


def _ward_ids(session: Session, organization: UUID, names: tuple[str, ...]) -> list[UUID]:
    return [organizations.find_ward(session, organization_id=organization, name=name) for name in names]
