"""The formulary: adding and changing drugs."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, insert, select

from backend.db import Rows, Session, bump, new_id
from backend.domain.formulary.models import Drug
from backend.domain.organizations.hospitals import touch_organization
from backend.errors import Conflict, NotFound

FOUND_MAX = 200


class Custody(StrEnum):
    """Whether a drug is controlled, and so has a register."""

    CONTROLLED = "controlled"
    ORDINARY = "ordinary"


class DrugNotFound(NotFound):
    """There is no such drug in your organization's formulary. In a delivery of several lots, `line` says which
    one names it."""


class DrugExists(Conflict):
    """The formulary has a drug of this name, strength and form."""


def add_drug(session: Session, *, organization_id: UUID, **values: Any) -> UUID:
    """A new formulary entry. Raises DrugExists."""
    _ensure_new(session, organization_id, None, values)
    drug_id = new_id()
    session.execute(insert(Drug).values(organization_id=organization_id, id=drug_id, **values))
    return drug_id


def change_drug(session: Session, *, organization_id: UUID, drug_id: UUID, **changes: Any) -> None:
    """Changes an entry; every board shows it from the next poll on. Raises DrugNotFound, DrugExists."""
    before = get_drug(session, organization_id=organization_id, drug_id=drug_id)
    _ensure_new(session, organization_id, drug_id, {**before._asdict(), **changes})
    session.execute(bump(Drug, **changes).where(Drug.organization_id == organization_id, Drug.id == drug_id))
    touch_organization(session, organization_id=organization_id)


def _ensure_new(session: Session, organization_id: UUID, drug_id: UUID | None, values: dict[str, Any]) -> None:
    same = select(Drug.id).where(
        Drug.organization_id == organization_id,
        Drug.name == values["name"],
        Drug.strength == values["strength"],
        Drug.form == values["form"],
        Drug.id.is_distinct_from(drug_id),
    )
    if session.execute(same).first() is not None:
        raise DrugExists()


def drugs_of(organization_id: UUID) -> Rows:
    """The columns of a formulary entry that those who order and give it need; its price is not one of them."""
    return select(
        Drug.id,
        Drug.name,
        Drug.generic_name,
        Drug.strength,
        Drug.form,
        Drug.unit,
        Drug.gtin,
        Drug.ndc,
        Drug.atc,
        Drug.controlled_schedule,
        Drug.high_alert,
    ).where(Drug.organization_id == organization_id, Drug.archived_at.is_(None))


def in_custody(custody: Custody) -> ColumnElement[bool]:
    """Return the condition that a drug is controlled, or that it is not."""
    controlled = Drug.controlled_schedule.is_not(None)
    return controlled if custody is Custody.CONTROLLED else ~controlled


def containing(session: Session, needle: Any) -> Any:
    """The condition that a drug's name or generic name contains `needle`, an expression in lower case, by trigrams.

    None where FOUND_MAX drugs and more do: a page of those is found soon by going through all names in their order.
    """
    found = session.execute(select(func.search_drugs(needle)).limit(FOUND_MAX)).scalars().all()
    return Drug.id.in_(found) if len(found) < FOUND_MAX else None


def get_drug(session: Session, *, organization_id: UUID, drug_id: UUID) -> Row[Any]:
    """One drug. Raises DrugNotFound."""
    row = session.execute(drugs_of(organization_id).where(Drug.id == drug_id)).one_or_none()
    if row is None:
        raise DrugNotFound()
    return row
