"""The fulfilment as a pgbench script, made from ValMed's own statements so that the two cannot drift apart.

The script has the four round trips of ValMed's path, as the same role, under the same policies:

1. the token look-up, `authenticate`, joined with the row of `bench.orders` that says which order is next. That row is
   the only work that ValMed does not do: pgbench cannot compute a lane, a UUIDv7 or a key, so it reads them, by primary
   key, in the message that it sends anyway.
2. BEGIN, the tenant's settings, LOCK TABLE of the lane and the locking query.
3. the write statement. Its values come from the first: pgbench cannot decide, it knows that the dose may be given.
4. COMMIT.

`pgbench_simple` sends the second as one message of several statements, as ValMed does, and every statement is parsed
and planned each time. `pgbench_prepared` is pgbench's `-M prepared`, where the second is a pipeline. There a variable
becomes a parameter, which LOCK TABLE cannot have, so the script has a LOCK TABLE for every lane in a tree of \\if.

Decision: the pipeline, not PREPARE and EXECUTE in the simple mode, which is what ValMed sends. Because pgbench stands
for the limit, and of the three ways this was the fastest: with 16 clients 1,114 a second, EXECUTE 1,041, statement by
statement 922 (medians of six alternating intervals). Cost: the two sides differ in the protocol.
"""

import re
import uuid
from collections.abc import Callable, Mapping

import orjson

from backend.db import Prepared
from backend.db.lanes import LANES, lock_lanes
from backend.db.tenancy import prologue
from backend.domain.administrations import fulfilment
from backend.domain.identity import tokens
from load.bench.stand import Stand

# What ValMed stores as the answer: its length is what counts here.
ANSWER = orjson.dumps(
    {
        "order_id": uuid.UUID(int=0),
        "status": "completed",
        "patient_name": "Castellan, Clara",
        "drug_name": "Amoxicillin",
        "dose": 1,
        "quantity_units": 1,
        "remaining_stock": 99_999_999,
        "lots": [{"lot_number": "A10001", "expires_on": "2030-01-01", "quantity_units": 1}],
        "administration_id": uuid.UUID(int=0),
        "fulfilled_by": "Nadia Brandt",
        "fulfilled_at": "2030-01-01T00:00:00.000000Z",
    }
)

NEXT = ["\\set n :turn * :clients + :client_id + 1", "\\set turn :turn + 1"]


def simple_script(stand: Stand) -> str:
    """For `-M simple`. Both scripts count on the variables `clients`, `now` and `turn`, which is 0 at first."""
    lane = lock_lanes([0]).replace("000", ":lane")
    begin = prologue(stand.nurse, stand.config, read_only=False) + lane
    lookup, lock, write = _statements(stand, _quoted)
    lines = [*NEXT, f"{lookup} \\gset", begin.replace(";", " \\;\n") + f"{lock};", f"{write};", "COMMIT;"]
    return "\n".join(lines) + "\n"


def prepared_script(stand: Stand) -> str:
    """For `-M prepared`."""
    begin = prologue(stand.nurse, stand.config, read_only=False).replace(";", ";\n").strip()
    lookup, lock, write = _statements(stand, str)
    lines = [
        *(*NEXT, f"{lookup} \\gset"),
        *("\\startpipeline", begin, *_lane_tree(0, LANES), f"{lock};", "\\endpipeline"),
        *(f"{write};", "COMMIT;"),
    ]
    return "\n".join(lines) + "\n"


def _lane_tree(first: int, end: int) -> list[str]:
    """The LOCK TABLE of the lane `:lane`, found among `first` to `end` by halving."""
    if end - first == 1:
        return [lock_lanes([first])]
    middle = (first + end) // 2
    return [f"\\if :lane < {middle}", *_lane_tree(first, middle), "\\else", *_lane_tree(middle, end), "\\endif"]


def _statements(stand: Stand, quote: Callable[[str], str]) -> tuple[str, str, str]:
    """Look-up, lock and write with pgbench's variables for values."""
    token = _hex(tokens._sha256(stand.token))
    place = {"organization_id": ":organization_id", "ward_id": ":ward_id", "drug_id": ":drug_id"}
    lock = {
        **place,
        "user_id": ":user_id",
        "order_id": ":order_id",
        "key": ":key",
        "role": "'nurse'",
        "token_sha256": token,
        "given_at": "NULL",
    }
    posting = {
        **place,
        "movement_ids": "ARRAY[:movement_id]",
        "lot_ids": "ARRAY[:lot_id]",
        "units": "'{-1}'",
        "running_units": "'{-1}'",
        "corrected_ids": "ARRAY[NULL]",
        "reason": "'fulfilment'",
        "reference_id": ":administration_id",
        "actor_id": ":user_id",
        "occurred_at": ":now",
        "witness_id": "NULL",
        "note": "NULL",
        "requested_at": ":now",
    }
    write = {
        **posting,
        "order_id": ":order_id",
        "dose": "1",
        "units_per_dose": "1",
        "completed": "true",
        "due_at": ":now",
        "key": ":key",
        "fingerprint": _hex(bytes(32)),
        "answer": _hex(ANSWER),
    }
    return (
        _filled(_lookup(stand), {"n": quote(":n")}),
        _filled(fulfilment._LOCK, {name: quote(value) for name, value in lock.items()}),
        _filled(fulfilment._WRITE, {name: quote(value) for name, value in write.items()}),
    )


def _lookup(stand: Stand) -> Prepared:
    """The next order and, by ValMed's own statement, whose token this is and where the order lies."""
    known = {"token_sha256": _hex(tokens._sha256(stand.token)), "order_id": "b.order_id"}
    authenticate = _filled(tokens._AUTHENTICATE, known)
    return Prepared(
        "bench_lookup",
        f"SELECT b.order_id, b.lane, b.lot_id, b.movement_id, b.administration_id, b.key,"
        f" a.organization_id, a.user_id, a.ward_id, a.drug_id"
        f" FROM bench.orders b CROSS JOIN LATERAL ({authenticate}) a WHERE b.n = :n::int",
    )


def _filled(statement: Prepared, values: Mapping[str, str]) -> str:
    """Write the statement with `values`, SQL text, in place of its parameters.

    Raises TypeError when ValMed's statement takes other parameters than this module knows.
    """
    statement.ordered(values)
    return statement.filled({name: f"{values[name]}::{type_}" for name, type_ in statement.types.items()})


def _quoted(value: str) -> str:
    """In the simple mode a variable's text is put in as it is."""
    return re.sub(r":(\w+)", r"':\1'", value)


def _hex(value: bytes) -> str:
    return f"'\\x{value.hex()}'"
