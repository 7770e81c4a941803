"""The history of a proof as a file that somebody else's checker can judge: FORM says how it is written."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from backend.operations.proving.exchange import Reply
from backend.operations.proving.faults import Fault
from backend.operations.proving.history import Attempt, History, Operation
from backend.operations.proving.stand import Stand

FORM = """\b
The file of --history has one JSON object a line, UTF-8. Times are seconds since the clients began, from one
clock. The first line, of type "run", has the seed, the nodes with their clocks, the faults with their times, and of
each hospital its people, its cupboards and the units that were there at first. Every other line is an operation:
\b
  type       "ok": somebody heard a 2xx. "fail": it certainly changed nothing. "info": nobody knows.
  process    the client, one operation after the other; of two at once the second has "/2" after its name
  f          what was done; f "read a board" and those with method GET change nothing
  key        the Idempotency-Key, unique in the hospital; "borrowed" is there if it is somebody else's
  person     the user whose token was sent; "probe" is there if the ids asked with are another hospital's
  invoked    when it began: the first request, or the hands in the cupboard before it
  completed  when "ok" was first heard, or a refusal became certain; null of type "info"
  request    method, path, body. Passwords of witnesses are left out
  response   status and body of the first 2xx, else of the last answer, else null; of a board that was read
             the next dose of each of the "expects" (null: not there)
  attempts   every request of it: node, sent, answered, status (null: no answer), replayed
  hands      of a cupboard: signed units that physically moved at a time; "back" is when that was undone, "heard"
             when the application certainly had the request that was carried out (null: unknown)
  look       of a cupboard: the units that were physically there at a time, after "lost" had gone unrecorded
  write_off  of a cupboard: the signed units that the books are to change by, and nothing else
\b
An operation took effect once between invoked and completed if it is "ok", never if it is "fail", and at most once,
at any time after invoked, if it is "info".
"""


def write(file: Path, history: History, faults: Sequence[Fault], stand: Stand, *, seed: int) -> None:
    """Write the history of a run that has ended. Raises OSError."""
    with file.open("wb") as out:
        for line in (_run(faults, stand, seed), *map(_operation, history.operations)):
            out.write(orjson.dumps(line, option=orjson.OPT_UTC_Z) + b"\n")


def _run(faults: Sequence[Fault], stand: Stand, seed: int) -> dict[str, Any]:
    return {
        "type": "run",
        "form": 1,
        "seed": seed,
        "nodes": [{"clock_ahead_seconds": node.ahead_seconds} for node in stand.nodes],
        "faults": [{"kind": fault.kind, "at": _seconds(fault.at)} for fault in faults],
        "hospitals": [
            {
                "slug": hospital.slug,
                "organization_id": hospital.organization_id,
                "initial_units": hospital.initial_units,
                "cupboards": [{"ward_id": shelf.ward_id, "drug_id": shelf.drug_id} for shelf in hospital.cupboards],
                "people": [
                    {
                        "id": person.actor.user_id,
                        "name": person.actor.name,
                        "role": person.actor.role,
                        "ward_ids": sorted(person.ward_ids),
                    }
                    for person in (*hospital.people, hospital.witness)
                ],
            }
            for hospital in stand.hospitals
        ],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    number, *rest = operation.name.split("-", 1)
    told = operation.acknowledging
    ends = told.answered_at if told is not None else operation.attempts[-1].answered_at
    kind = "ok" if told is not None else "fail" if operation.ended and not operation.uncertain else "info"
    hands = operation.wish.hands
    begins = operation.began_at if hands is None or operation.borrowed else min(hands.at, operation.began_at)
    return {
        "type": kind,
        "process": f"{operation.person.hospital}/{number}" + ("/2" if rest[0].endswith("-2") else ""),
        "f": operation.act,
        "key": operation.borrowed or operation.name,
        "person": operation.person.actor.user_id,
        "organization_id": operation.person.actor.organization_id,
        "invoked": _seconds(begins),
        "completed": None if kind == "info" else _seconds(ends),
        "request": {
            "method": operation.wish.method,
            "path": operation.wish.path,
            "body": _without_password(operation.wish.body),
        },
        "response": _response(operation),
        "attempts": [_attempt(attempt) for attempt in operation.attempts],
        **dict(_marks(operation)),
    }


def _response(operation: Operation) -> dict[str, Any] | None:
    heard = [attempt.reply for attempt in operation.attempts if attempt.reply is not None]
    reply: Reply | None = operation.acknowledged or (heard[-1] if heard else None)
    if reply is None:
        return None
    return {"status": reply.status, "body": orjson.loads(reply.body) if reply.body else None}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "node": attempt.node,
        "sent": _seconds(attempt.sent_at),
        "answered": _seconds(attempt.answered_at),
        "status": None if attempt.reply is None else attempt.reply.status,
        "replayed": attempt.reply is not None and attempt.reply.replayed,
    }


def _marks(operation: Operation) -> Iterator[tuple[str, Any]]:
    """List the fields that only some operations have."""
    wish = operation.wish
    if operation.borrowed:
        yield "borrowed", True
        return
    if operation.probe:
        yield "probe", True
    if wish.expects:
        yield "expects", [shown._asdict() for shown in wish.expects]
    if wish.hands is not None:
        back = wish.hands.back_at
        moved = {"ward_id": wish.hands.ward_id, "units": wish.hands.units, "at": _seconds(wish.hands.at)}
        times = {"back": back, "heard": wish.hands.heard_at}
        yield "hands", {**moved, **{name: None if at is None else _seconds(at) for name, at in times.items()}}
    if wish.look is not None:
        look = wish.look
        seen = {"ward_id": look.ward_id, "units": look.units, "lost": look.lost, "at": _seconds(look.at)}
        yield "look", {**seen, "stated": look.stated}
    if wish.write_off is not None:
        yield "write_off", {"ward_id": wish.write_off.ward_id, "units": wish.write_off.units}


def _without_password(body: Any) -> Any:
    if isinstance(body, dict) and "witness" in body:
        return {**body, "witness": {"email": body["witness"]["email"]}}
    return body


def _seconds(moment: float) -> float:
    return round(moment, 6)
