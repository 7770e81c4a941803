"""Boards that were read after an answer, on another node where there are several: they show at least that much."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from backend.operations.proving.history import Operation


def stale(operations: Sequence[Operation]) -> Iterator[str]:
    """Find boards that show an order as it was before an answer that had been heard when they were asked for."""
    reads = [operation for operation in operations if operation.wish.expects and operation.acknowledged is not None]
    orders = {shown.order_id for look in reads for shown in look.wish.expects}
    touching = _touching(operations, orders)
    for look in reads:
        board = look.content
        for shown in look.wish.expects:
            dose, others = board["orders"][shown.order_id], _others(look, touching[shown.order_id])
            if dose is None and shown.open and not board["truncated"] and not others:
                yield f"{look.name} {look.wish.path}: order {shown.order_id} is not there"
            if dose is not None and dose < shown.dose and not any(_takes_back(other) for other in others):
                yield f"{look.name} {look.wish.path}: order {shown.order_id} at dose {dose}, not {shown.dose}"


def _touching(operations: Sequence[Operation], orders: set[str]) -> dict[str, list[Operation]]:
    """List the changes that somebody asked for, by each of `orders`; a dose that is taken back counts for its order."""
    order_of = {}
    for operation in operations:
        content = operation.content if not operation.wish.reads else None
        for part in content.get("results", [content]) if isinstance(content, dict) else []:
            if "administration_id" in part and "order_id" in part:
                order_of[part["administration_id"]] = part["order_id"]
    touching: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if not operation.wish.reads:
            names = {name.decode() for name in operation.wish.ids}
            for order_id in {order_of.get(name, name) for name in names} & orders:
                touching[order_id].append(operation)
    return touching


def _others(look: Operation, touching: Sequence[Operation]) -> list[Operation]:
    """Keep those that may have happened before the board was read, but for the one whose answer it is to show."""
    ends = look.attempts[-1].answered_at
    return [each for each in touching if each.began_at < ends and f"{each.name}-4" != look.name and _may_be(each)]


def _may_be(operation: Operation) -> bool:
    """Tell whether it may have been done."""
    return operation.acknowledged is not None or operation.uncertain


def _takes_back(operation: Operation) -> bool:
    return operation.wish.path.endswith("/entered-in-error")
