"""Which lots a dose is taken from: first expiring first. Pure, decided under the lock."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from backend.errors import Conflict


class InsufficientStock(Conflict):
    """The ward holds fewer units that may be given than are asked for: expired, held and recalled lots do not count.
    `requested_units` and `available_units` say how many, and in a transfer `drug_id` of which drug."""


@dataclass(frozen=True, slots=True)
class LotOnShelf:
    """The units of one lot on a shelf; `usable` ones may be given: available and not expired."""

    lot_id: UUID
    lot_number: str
    expires_on: date
    quantity_units: int
    usable: bool = True


def first_expiring_first(lots: Iterable[LotOnShelf], units: int) -> list[LotOnShelf]:
    """What to take of each lot for `units`, in the order of `lots` (expiry, then id).

    Raises InsufficientStock when the lots together hold less.
    """
    picks: list[LotOnShelf] = []
    missing = units
    for lot in lots:
        taken = min(missing, lot.quantity_units)
        if taken > 0:
            picks.append(LotOnShelf(lot.lot_id, lot.lot_number, lot.expires_on, taken))
            missing -= taken
    if missing:
        raise InsufficientStock(
            f"{units} units are needed and {units - missing} may be given.",
            requested_units=units,
            available_units=units - missing,
        )
    return picks
