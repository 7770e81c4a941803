"""Hospitals: opening one, its policies, its wards."""

import re
import zoneinfo
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, select
from sqlalchemy.exc import DataError

from backend.db import Database, Prepared, Session, bump
from backend.domain.organizations.models import Organization
from backend.errors import Conflict, NotFound, ValidationFailed

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
available_timezones = cache(zoneinfo.available_timezones)  # to list them reads 600 files


_NAMED = Prepared("organization_named", "SELECT organization_named(:slug::text)")


_ALL = Prepared("organization_ids", "SELECT organization_ids()")


class OrganizationNotFound(NotFound):
    """There is no organization of this name."""


class OrganizationExists(Conflict):
    """An organization of this name exists."""


def find_organization(database: Database, slug: str) -> UUID | None:
    """The id of the organization `slug`, or None. Asked before any tenant is known."""
    found: UUID | None = database.lookup(_NAMED, slug=slug)[0][0]
    return found


def list_organizations(database: Database) -> list[UUID]:
    """The id of every hospital, for a process that works for all of them. Asked before any tenant is known."""
    return [row[0] for row in database.lookup(_ALL)]


def open_organization(session: Session, *, organization_id: UUID, slug: str, name: str, time_zone: str) -> None:
    """A new hospital; the session's tenant is already `organization_id`. Raises OrganizationExists,
    ValidationFailed (slug, time zone)."""
    _ensure_time_zone(session, time_zone)
    if not SLUG.fullmatch(slug):
        raise ValidationFailed.of("slug", "1 to 63 small letters, digits and hyphens, no hyphen first")
    if session.execute(select(func.organization_named(slug))).scalar() is not None:
        raise OrganizationExists()
    session.execute(insert(Organization).values(id=organization_id, slug=slug, name=name, time_zone=time_zone))


def get_organization(session: Session, *, organization_id: UUID) -> Row[Any]:
    """The hospital and its policies."""
    columns = (
        Organization.id,
        Organization.slug,
        Organization.name,
        Organization.time_zone,
        Organization.verification_required,
        Organization.witness_required,
        Organization.custody_witness_required,
        Organization.dose_window_minutes,
        Organization.discrepancy_hours,
        Organization.transit_hours,
        Organization.second_factor_roles,
    )
    return session.execute(select(*columns).where(Organization.id == organization_id)).one()


def change_organization(session: Session, *, organization_id: UUID, **changes: Any) -> None:
    """Changes name, time zone and policies. Raises ValidationFailed for an unknown time zone."""
    if "second_factor_roles" in changes:
        changes["second_factor_roles"] = sorted(str(role) for role in changes["second_factor_roles"])
    if "time_zone" in changes:
        _ensure_time_zone(session, changes["time_zone"])
    session.execute(bump(Organization, **changes).where(Organization.id == organization_id))


def _ensure_time_zone(session: Session, name: str) -> None:
    """Raises ValidationFailed unless this program and the database both know the zone, each by its own files: else
    every question for the hospital's day would fail. `localtime` is whatever a machine says, and no hospital's."""
    unknown = ValidationFailed.of("time_zone", "not a time zone of the IANA database, such as Europe/Berlin")
    if name == "localtime" or name not in available_timezones():
        raise unknown
    try:
        session.execute(select(func.timezone(name, func.now())))
    except DataError as error:
        raise unknown from error


def touch_organization(session: Session, *, organization_id: UUID) -> None:
    """Raises the organization's version: what every board shows of a drug has changed."""
    session.execute(bump(Organization).where(Organization.id == organization_id))
