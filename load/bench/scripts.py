"""The fulfilment as a pgbench script, made from ValMed's own statements so that the two cannot drift apart.

The script sends the four messages of ValMed's path, as the same role, under the same policies:

1. the token look-up, `authenticate`, joined with the row of `bench.orders` that says which order is next. That row is
   the only work that ValMed does not do: pgbench cannot compute a lane, a UUIDv7 or a key, so it reads them, by primary
   key, in the message it sends anyway.
2. BEGIN, the tenant's settings, LOCK TABLE of the lane and the locking query, as one message.
3. the write statement. Its values come from message 1: pgbench cannot decide, it knows that the dose may be given.
4. COMMIT.

Decision: `pgbench_prepared` runs PREPARE once per client and then EXECUTE, in pgbench's simple mode, as ValMed does.
Because pgbench's own prepared mode turns every variable into a parameter, which LOCK TABLE cannot have, and must send
the seven statements of message 2 one by one or as a pipeline: {figures}. Cost: a script that says EXECUTE.
`pgbench_simple` is the same script with each statement's text instead, parsed and planned every time.
"""

import re
import uuid
from collections.abc import Sequence

import orjson

from backend.db import Prepared
from backend.db.lanes import lock_lanes
from backend.db.tenancy import prologue
from backend.identity import tokens
from backend.orders import fulfilment
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


def fulfil_script(stand: Stand, *, prepared: bool) -> str:
    """The script of one fulfilment; its variables are `clients`, `now`, `turn` and `ready` (both 0 at first)."""
    begin = prologue(stand.nurse, stand.config, read_only=False)
    lane = lock_lanes([0]).replace("000", ":lane")
    lookup = _lookup(stand)
    lock, write = fulfilment._LOCK, fulfilment._WRITE
    lines = ["\\set n :turn * :clients + :client_id + 1", "\\set turn :turn + 1"]
    if prepared:
        prepare = [f"{statement.prepare};" for statement in (lookup, lock, write)]
        lines += ["\\if :ready = 0", *prepare, "\\set ready 1", "\\endif"]
    call = _execute if prepared else _inline
    lines += [
        f"{call(lookup, [':n'])} \\gset",
        (begin + lane).replace(";", " \\;\n") + f"{call(lock, _lock_values())};",
        f"{call(write, _write_values())};",
        "COMMIT;",
    ]
    return "\n".join(lines) + "\n"


def _lookup(stand: Stand) -> Prepared:
    """The next order and, by ValMed's own statement, whose token this is and where the order lies."""
    known = {"1": _bytes(tokens._sha256(stand.token)), "2": "b.order_id"}
    authenticate = re.sub(r"\$(\d)", lambda match: known[match[1]], tokens._AUTHENTICATE.sql)
    return Prepared(
        "bench_lookup",
        ("int",),
        f"SELECT b.order_id, b.lane, b.lot_id, b.movement_id, b.administration_id, b.key,"
        f" a.organization_id, a.user_id, a.ward_id, a.drug_id"
        f" FROM bench.orders b CROSS JOIN LATERAL ({authenticate}) a WHERE b.n = $1",
    )


def _lock_values() -> list[str]:
    return ["':organization_id'", "':order_id'", "':ward_id'", "':drug_id'", "':user_id'", "':key'", "':now'"]


def _write_values() -> list[str]:
    return [
        *("':organization_id'", "':ward_id'", "':drug_id'", "'{:movement_id}'", "'{:lot_id}'", "'{-1}'", "'{-1}'"),
        *("'fulfilment'", "':administration_id'", "':user_id'", "':now'"),
        *("':order_id'", "1", "1", "NULL", "true", "':now'", "':key'", _bytes(bytes(32)), _bytes(ANSWER)),
    ]


def _execute(statement: Prepared, values: Sequence[str]) -> str:
    _ensure_as_many(statement, values)
    return f"EXECUTE {statement.name} ({', '.join(values)})"


def _inline(statement: Prepared, values: Sequence[str]) -> str:
    _ensure_as_many(statement, values)

    def value(match: re.Match[str]) -> str:
        place = int(match[1]) - 1
        return f"{values[place]}::{statement.types[place]}"

    return re.sub(r"\$(\d+)", value, statement.sql)


def _ensure_as_many(statement: Prepared, values: Sequence[str]) -> None:
    """Raises ValueError when ValMed's statement has changed its parameters and this module has not."""
    if len(values) != len(statement.types):
        raise ValueError(f"{statement.name} takes {len(statement.types)} values, the bench knows {len(values)}")


def _bytes(value: bytes) -> str:
    return f"'\\x{value.hex()}'::bytea"
