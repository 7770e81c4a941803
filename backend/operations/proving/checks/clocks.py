"""Moments on record: each lies between the sending of its request and its answer, whatever a node's own clock says.

The machine's clock is PostgreSQL's, and the clients'. CLOCK_SECONDS are for an operator who sets it meanwhile.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from backend.operations.proving.application import Node
from backend.operations.proving.history import History, Operation
from backend.operations.proving.stand import Stand, read

CLOCK_SECONDS = 1.0
ASKING_SECONDS = 15.0  # a node does not count for which part of a difference it may have waited for the answer
MADE_BY = {"/orders": "order", "/counts": "count", "/transfers": "transfer"}
# Of every row that an operation is the reason of: the operation's reference, why, and its moments.
MOMENTS = """SELECT reference_id::text, reason::text, unnest(ARRAY[requested_at, occurred_at, recorded_at])
    FROM stock_movements WHERE actor_id IS NOT NULL
  UNION ALL SELECT id::text, 'dose', administered_at FROM medication_administrations
  UNION ALL SELECT id::text, 'order', created_at FROM medication_orders
  UNION ALL SELECT id::text, 'count', created_at FROM stock_counts
  UNION ALL SELECT id::text, 'end of a count', ended_at FROM stock_counts WHERE status = 'completed'
  UNION ALL SELECT id::text, 'transfer', created_at FROM stock_transfers"""


def strayed(changes: Sequence[Operation], history: History, stand: Stand) -> Iterator[str]:
    """Find rows with a moment at which their request had not been sent yet, or had been answered already."""
    of = dict(_references(changes))
    slack = timedelta(seconds=CLOCK_SECONDS)
    for reference_id, reason, moment in read(stand.superuser_url, MOMENTS):
        operation = of.get((reference_id, reason))
        if operation is None or operation.acknowledging is None or moment is None:
            continue
        sent, answered = history.time_of(operation.began_at), history.time_of(operation.acknowledging.answered_at)
        if not sent - slack <= moment <= answered + slack:
            yield f"{operation.name} {reason} {reference_id}: {moment}, sent {sent}, answered {answered}"


def unaware(nodes: Sequence[Node]) -> Iterator[str]:
    """Find nodes that do not say by how much their clock is off, or say so of a right one."""
    for number, node in enumerate(nodes, start=1):
        said = node.clock_offset()
        least = node.ahead_seconds - (ASKING_SECONDS if node.ahead_seconds else CLOCK_SECONDS)
        if said is not None and not least <= said <= node.ahead_seconds + CLOCK_SECONDS:
            yield f"node {number}: {node.ahead_seconds:.0f} s ahead, says {said:.3f}"


def _references(changes: Sequence[Operation]) -> Iterator[tuple[tuple[str, str], Operation]]:
    for operation in changes:
        for posted in operation.posted:
            yield (posted.reference_id, posted.reason), operation
        content, path = operation.content, operation.wish.path
        for part in content.get("results", [content]) if isinstance(content, dict) else []:
            if "dose" in part and "administration_id" in part:
                yield (part["administration_id"], "dose"), operation
        kind = "end of a count" if path.endswith("/complete") else MADE_BY.get(path)
        if kind is not None and content is not None:
            yield (content["id"], kind), operation
