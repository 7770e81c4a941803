"""The formulary."""

from typing import Any
from uuid import UUID

from marshmallow import fields, validate

from backend.actor import Role
from backend.db import Session
from backend.domain.formulary import drugs
from backend.domain.formulary.drugs import Custody, DrugExists, DrugNotFound
from backend.domain.stock import drug_queries
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Choice, Count, Flag, Line, PageQuery, Search

resource = Resource("drugs")
PHARMACIST = frozenset({Role.PHARMACIST})
PRICE_CENTS_MAX = 100_000_000


def _codes() -> dict[str, Any]:
    return {
        "gtin": Line(length=14, allow_none=True, validate_also=validate.Regexp(r"[0-9]{8}([0-9]{4,6})?\Z")),
        "ndc": Line(length=14, allow_none=True, validate_also=validate.Regexp(r"[0-9-]+\Z")),
        "atc": Line(length=7, allow_none=True, validate_also=validate.Regexp(r"[A-Z0-9]+\Z")),
        "controlled_schedule": Count(high=5, allow_none=True),
        "high_alert": Flag(),
        "unit_price_cents": Count(low=0, high=PRICE_CENTS_MAX, allow_none=True),
    }


DrugIn = Body.from_dict(
    {
        "name": Line(required=True),
        "generic_name": Line(required=True),
        "strength": Line(required=True, length=64),
        "form": Line(required=True, length=64),
        "unit": Line(required=True, length=32),
        **_codes(),
    },
    name="DrugIn",
)
DrugChangeIn = Body.from_dict(
    {
        "name": Line(),
        "generic_name": Line(),
        "strength": Line(length=64),
        "form": Line(length=64),
        "unit": Line(length=32),
        **_codes(),
    },
    name="DrugChangeIn",
)


class DrugOut(Body):
    """A formulary entry; `current_stock` is what the whole hospital holds, in units of `unit_price_cents` each.

    `figures_hidden`: a shelf of the drug is being counted blind, and you may record that count. `current_stock` is null
    until it ends.
    """

    id = fields.UUID()
    name = fields.String()
    generic_name = fields.String()
    strength = fields.String()
    form = fields.String()
    unit = fields.String()
    gtin = fields.String(allow_none=True)
    ndc = fields.String(allow_none=True)
    atc = fields.String(allow_none=True)
    controlled_schedule = fields.Integer(allow_none=True)
    high_alert = fields.Boolean()
    unit_price_cents = fields.Integer(allow_none=True)
    current_stock = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()


class DrugQuery(PageQuery):
    """Which drugs."""

    q = Search(length=100)
    custody = Choice(Custody)


def _answer(session: Session, call: Call, drug_id: UUID) -> Any:
    where = {"organization_id": call.organization_id, "drug_id": drug_id}
    return drug_queries.get_drug_with_stock(session, hides=call.hides, **where)


@resource.get("/drugs", "Drugs by name", query=DrugQuery(), answer=DrugOut(), page=cursors.BY_NAME)
def list_drugs(session: Session, call: Call) -> Any:
    """List drugs whose name or generic name begins with `q`, else contains it, with the hospital's stock.

    `custody` narrows the list to the controlled drugs, which have a register, or to the others.
    """
    filters = {name: call.query.get(name) for name in ("q", "custody")}
    return drug_queries.list_drugs(
        session, organization_id=call.organization_id, hides=call.hides, page=call.page, **filters
    )


@resource.post(
    "/drugs",
    "Add a drug",
    body=DrugIn(),
    answer=DrugOut(),
    status=201,
    roles=PHARMACIST,
    raises=(DrugExists,),
)
def add_drug(session: Session, call: Call) -> Any:
    """A new formulary entry."""
    drug_id = drugs.add_drug(session, organization_id=call.organization_id, **call.body)
    return _answer(session, call, drug_id)


@resource.get("/drugs/<uuid:drug_id>", "One drug", answer=DrugOut(), raises=(DrugNotFound,))
def read_drug(session: Session, call: Call) -> Any:
    """One drug with the hospital's stock."""
    return _answer(session, call, call.path["drug_id"])


@resource.patch(
    "/drugs/<uuid:drug_id>",
    "Change a drug",
    body=DrugChangeIn(),
    answer=DrugOut(),
    roles=PHARMACIST,
    raises=(DrugNotFound, DrugExists),
)
def change_drug(session: Session, call: Call) -> Any:
    """Changes the fields that are sent."""
    if call.body:
        drugs.change_drug(session, organization_id=call.organization_id, **call.path, **call.body)
    return _answer(session, call, call.path["drug_id"])
