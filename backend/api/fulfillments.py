"""Medication rounds."""

from collections.abc import Sequence
from typing import Any

import orjson
from marshmallow import fields

from backend.actor import Role
from backend.api.orders import DOSES_MAX, report_fulfilment
from backend.api.witnessing import REFUSALS, WitnessIn, check_witness
from backend.db import Database, Session
from backend.db.idempotency import Answer
from backend.domain.administrations import rounds
from backend.domain.administrations.rounds import FULFILLED, ORDERS_MAX, Round
from backend.domain.stock.ledger import Shelf
from backend.web.endpoint import Call, Resource, read
from backend.web.fields import Body, Count, Id, Several, Whole

resource = Resource("fulfillments")


class RoundDoseIn(Body):
    """Which dose of an order is meant."""

    order_id = Id(required=True)
    dose = Count(required=True, high=DOSES_MAX)


class RoundIn(Body):
    """A round. Of an order with several doses the next one is given if it is due; `doses` names another."""

    order_ids = Several(Id(), most=ORDERS_MAX, least=1, once=True, required=True)
    doses = Several(fields.Nested(RoundDoseIn), most=ORDERS_MAX, once_by="order_id", load_default=list)
    witness = fields.Nested(WitnessIn)


class RoundOut(Body):
    """One result per order, in the order of the request: `outcome` is "fulfilled", with what a fulfilment answers, or a
    problem's code with its members."""

    results = Whole(fields.Dict(), because="one for each order of the request")


def _shelves(database: Database, call: Call) -> Sequence[Shelf]:
    order_ids = call.body["order_ids"]
    organization_id = call.organization_id
    return list(
        read(
            database,
            call,
            lambda session: rounds.shelves_of(session, organization_id=organization_id, order_ids=order_ids),
        ).values()
    )


def _report(_path: dict[str, Any], _outcome: str, answer: Answer | None) -> None:
    for result in orjson.loads(answer.body)["results"] if answer is not None else ():
        fulfilled = result["outcome"] == FULFILLED
        done = "replayed" if answer is not None and answer.replayed else "done"
        report_fulfilment(result["order_id"], done if fulfilled else result["outcome"])


@resource.post(
    "/fulfillments",
    "Fulfil a medication round",
    body=RoundIn(),
    answer=RoundOut(),
    roles=frozenset({Role.NURSE}),
    shelves=_shelves,
    prepare=check_witness,
    report=_report,
    raises=REFUSALS,
)
def fulfil_round(session: Session, call: Call) -> Any:
    """Gives the next dose of each order in one transaction; a refused order does not stop the others."""
    doses = {named["order_id"]: named["dose"] for named in call.body["doses"]}
    shelves = frozenset(call.shelves)
    wanted = Round(call.actor, call.body["order_ids"], doses, shelves, call.prepared)
    return {"results": rounds.fulfil_round(session, wanted)}
