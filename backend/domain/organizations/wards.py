"""Open a hospital's wards, find them, raise their version."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, insert, select

from backend.db import Rows, Session, bump, new_id
from backend.db.paging import Page, PageRequest, read_page
from backend.domain.organizations.models import Ward, WardKind
from backend.errors import Conflict, NotFound


class WardNotFound(NotFound):
    """There is no such ward in your organization."""


class WardNameTaken(Conflict):
    """Another ward of your organization has this name."""


def add_ward(session: Session, *, organization_id: UUID, name: str, kind: WardKind) -> UUID:
    """A new ward. Raises WardNameTaken."""
    taken = session.execute(select(Ward.id).where(Ward.organization_id == organization_id, Ward.name == name))
    if taken.first() is not None:
        raise WardNameTaken()
    ward_id = new_id()
    session.execute(insert(Ward).values(organization_id=organization_id, id=ward_id, name=name, kind=kind))
    return ward_id


def _wards(organization_id: UUID) -> Rows:
    return select(Ward.id, Ward.name, Ward.kind).where(
        Ward.organization_id == organization_id, Ward.archived_at.is_(None)
    )


def list_wards(session: Session, *, organization_id: UUID, page: PageRequest) -> Page:
    """Wards by name."""
    return read_page(session, _wards(organization_id), page, Ward.name, Ward.id)


def find_ward(session: Session, *, organization_id: UUID, name: str) -> UUID:
    """The id of the ward `name`. Raises WardNotFound."""
    found = session.execute(_wards(organization_id).where(Ward.name == name)).one_or_none()
    if found is None:
        raise WardNotFound(f"There is no ward {name!r}.")
    ward_id: UUID = found.id
    return ward_id


def get_ward(session: Session, *, organization_id: UUID, ward_id: UUID) -> Row[Any]:
    """One ward. Raises WardNotFound."""
    row = session.execute(_wards(organization_id).where(Ward.id == ward_id)).one_or_none()
    if row is None:
        raise WardNotFound()
    return row


def touch_ward(session: Session, *, organization_id: UUID, ward_id: UUID) -> None:
    """Raises the ward's version: what its board shows of a patient has changed."""
    session.execute(bump(Ward).where(Ward.organization_id == organization_id, Ward.id == ward_id))
