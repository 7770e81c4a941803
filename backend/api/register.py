"""The register of controlled drugs."""

from typing import Any

from marshmallow import fields

from backend.actor import Role
from backend.db import Session
from backend.domain.formulary.drugs import DrugNotFound
from backend.domain.reports import register
from backend.web import cursors
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Id, Moment, PageQuery

resource = Resource("register")


class RegisterQuery(PageQuery):
    """Of which drug; `from` counts, `to` does not."""

    drug_id = Id(required=True)
    ward_id = Id()
    since = Moment(data_key="from")
    until = Moment(data_key="to")


class RegisterLineOut(Body):
    """A movement, or `dose_waste`: units withdrawn for a dose and destroyed, which move no stock.

    A movement with `figures_hidden` has no units and no balance, see `GET /stock`.
    """

    id = fields.UUID()
    recorded_at = fields.AwareDateTime()
    ward_id = fields.UUID()
    ward_name = fields.String()
    lot_number = fields.String()
    event = fields.String()
    units = fields.Integer(allow_none=True)
    wasted_units = fields.Integer()
    balance_after_units = fields.Integer(allow_none=True)
    figures_hidden = fields.Boolean()
    patient_name = fields.String(allow_none=True)
    actor_name = fields.String(allow_none=True)
    witness_name = fields.String(allow_none=True)
    note = fields.String(allow_none=True)
    corrects_id = fields.UUID(allow_none=True)


@resource.get(
    "/stock/register",
    "The register of a drug, newest first",
    query=RegisterQuery(),
    answer=RegisterLineOut(),
    roles=frozenset({Role.PHARMACIST, Role.ADMIN}),
    page=cursors.BY_TIME,
    raises=(DrugNotFound,),
)
def read_register(session: Session, call: Call) -> Any:
    """Every unit with balance, actor and witness, and what was wasted of doses."""
    filters = {name: call.query.get(name) for name in ("ward_id", "since", "until")}
    where = {"organization_id": call.organization_id, "drug_id": call.query["drug_id"], **filters}
    return register.read_register(session, hides=call.hides, page=call.page, **where)
