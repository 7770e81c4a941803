"""First expiring first: pure, so tried on anything."""

from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.stock.picking import InsufficientStock, LotOnShelf, first_expiring_first

LOTS = st.lists(st.integers(0, 50), max_size=12).map(
    lambda quantities: [
        LotOnShelf(UUID(int=number), f"L{number}", date(2030, 1, 1) + timedelta(days=number), quantity)
        for number, quantity in enumerate(quantities)
    ]
)


@given(lots=LOTS, units=st.integers(1, 200))
def test_takes_exactly_what_is_asked_from_the_front_or_refuses(lots: list[LotOnShelf], units: int) -> None:
    held = sum(lot.quantity_units for lot in lots)
    if held < units:
        with pytest.raises(InsufficientStock) as refused:
            first_expiring_first(lots, units)
        assert refused.value.members == {"requested_units": units, "available_units": held}
        return
    picks = first_expiring_first(lots, units)
    assert sum(pick.quantity_units for pick in picks) == units
    filled = [lot for lot in lots if lot.quantity_units]
    assert [pick.lot_id for pick in picks] == [lot.lot_id for lot in filled[: len(picks)]]
    assert [pick.quantity_units for pick in picks[:-1]] == [lot.quantity_units for lot in filled[: len(picks) - 1]]
