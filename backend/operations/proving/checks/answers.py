"""What answers say of stock, held against the ledger's rows of the same dose, receipt or adjustment."""

from collections.abc import Iterator, Sequence
from typing import Any

from backend.operations.proving.history import Operation
from backend.operations.proving.stand import Stand, read

LEDGER = """SELECT m.reference_id::text, (array_agg(m.balance_after_units ORDER BY m.sequence DESC))[1],
    array_agg(concat_ws(' ', l.lot_number, l.expires_on, abs(m.units)) ORDER BY m.sequence)
  FROM stock_movements AS m JOIN lots AS l ON l.organization_id = m.organization_id AND l.id = m.lot_id
  WHERE m.actor_id IS NOT NULL AND m.reason IN ('fulfilment', 'receipt', 'waste', 'loss') GROUP BY 1, m.reason"""


class Entries:
    """What the ledger says of each dose, receipt and adjustment: the balance after it, and its lots in their order."""

    def __init__(self, stand: Stand) -> None:
        self._known = {
            reference: (int(balance), lots) for reference, balance, lots in read(stand.superuser_url, LEDGER)
        }

    def other_balances(self, operations: Sequence[Operation]) -> Iterator[str]:
        """Find answers that say another figure is left on the shelf.

        A figure that a blind count hides is not judged.
        """
        for operation, reference, said in _parts(operations):
            left = said.get("remaining_stock", said.get("on_hand_units"))
            balance, _ = self._known.get(reference, (None, None))
            if balance is not None and left != balance and not (left is None and operation.wish.hands is not None):
                yield f"{operation.name} {operation.act} {reference}: answered {left}, ledger {balance}"

    def other_lots(self, operations: Sequence[Operation]) -> Iterator[str]:
        """Find answers that name other lots than the ledger moved."""
        for operation, reference, said in _parts(operations):
            _, lots = self._known.get(reference, (None, None))
            named = [f"{lot['lot_number']} {lot['expires_on']} {abs(lot['quantity_units'])}" for lot in _lots(said)]
            if lots is not None and named != lots:
                yield f"{operation.name} {operation.act} {reference}: answered {named}, ledger {lots}"


def _parts(operations: Sequence[Operation]) -> Iterator[tuple[Operation, str, dict[str, Any]]]:
    """List every part of an acknowledgement that says what is left on a shelf, with its reference in the ledger."""
    for operation in operations:
        content = operation.content
        if not isinstance(content, dict):
            continue
        for part in content.get("results", [content]):
            if "remaining_stock" in part:
                yield operation, part["administration_id"], part
            elif "on_hand_units" in part:
                yield operation, part["id"], part


def _lots(said: dict[str, Any]) -> list[dict[str, Any]]:
    """List the lots of a part; a receipt is of one lot and has its fields itself."""
    lots: list[dict[str, Any]] = said.get("lots", [said])
    return lots
