"""Pharmacists receive, adjust, hold, release and recall."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from backend.operations.proving.acts.wish import Posted, Wish, of_shelf
from backend.operations.proving.board import Board

LOT_OF_REQUESTS = 30  # a lot number serves for so many requests of a client


def wish_receipt(board: Board, chance: Random, number: int) -> Wish:
    """A delivery of a lot that others receive too."""
    lot = number // LOT_OF_REQUESTS
    body = {
        **of_shelf(board.shelf(chance)),
        "lot_number": f"L{lot}",
        "expires_on": (datetime.now(UTC).date() + timedelta(days=100 + lot % 50)).isoformat(),
        "quantity_units": chance.randint(1, 10),
    }
    return Wish(
        "/stock/receipts",
        body,
        learn=lambda answer: board.lots.put(answer["lot_id"], None),
        posts=lambda answer: [Posted(answer["id"], "receipt", answer["quantity_units"])],
    )


def wish_adjustment(board: Board, chance: Random, _number: int) -> Wish:
    """Units that were wasted or lost."""
    reason = chance.choice(("waste", "loss"))
    body = {**of_shelf(board.shelf(chance)), "quantity_units": -chance.randint(1, 4), "reason": reason}
    return Wish(
        "/stock/adjustments",
        body,
        posts=lambda answer: [Posted(answer["id"], reason, answer["quantity_units"])],
    )


def wish_hold(board: Board, chance: Random, _number: int) -> Wish | None:
    """A lot is kept back, now and then for good."""
    picked = board.lots.pick(chance)
    if picked is None:
        return None
    lot_id, known = picked
    verb = "recall" if chance.random() < 0.05 else "hold"

    def learn(_answer: Any) -> None:
        board.lots.drop(lot_id, known)
        if verb == "hold":
            board.held.put(lot_id, None)

    return Wish(f"/lots/{lot_id}/{verb}", {"reason": "proof"}, learn=learn, about=[(board.lots, lot_id, known)])


def wish_release(board: Board, chance: Random, _number: int) -> Wish | None:
    """A lot that was held may be given again."""
    picked = board.held.pick(chance)
    if picked is None:
        return None
    lot_id, known = picked

    def learn(_answer: Any) -> None:
        board.held.drop(lot_id, known)
        board.lots.put(lot_id, None)

    return Wish(f"/lots/{lot_id}/release", learn=learn, about=[(board.held, lot_id, known)])
