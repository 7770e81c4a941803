"""Doctors order; nurses give, skip, take entries back and put away what is left."""

from collections.abc import Iterable
from random import Random
from typing import Any

from backend.operations.proving.acts.wish import Posted, Shown, Wish, drop, of_shelf
from backend.operations.proving.board import Board


def wish_order(board: Board, chance: Random, _number: int) -> Wish:
    """One to six doses of one to three units, all due."""
    shelf = board.shelf(chance)
    doses = chance.randint(1, 6)
    body = {
        **of_shelf(shelf),
        "patient_id": str(chance.choice(board.hospital.patients[shelf.ward_id])),
        "quantity_units": chance.randint(1, 3),
        "doses": doses,
        **({"interval_minutes": 60} if doses > 1 else {}),
    }

    def learn(answer: Any) -> None:
        board.wards[answer["id"]] = str(shelf.ward_id)
        board.orders.put(answer["id"], 1)

    return Wish(
        "/orders",
        body,
        learn=learn,
        shows=lambda answer: [Shown(str(shelf.ward_id), answer["id"], 1, open=True)],
    )


def wish_end(board: Board, chance: Random, _number: int) -> Wish | None:
    """An order is discontinued."""
    picked = board.orders.pick(chance)
    if picked is None:
        return None
    order_id, dose = picked
    about = [(board.orders, order_id, dose)]
    return Wish(f"/orders/{order_id}/discontinue", {"reason": "proof"}, learn=lambda answer: drop(about), about=about)


def _learn_dose(board: Board, answer: Any) -> None:
    """A dose was recorded: the next is open, unless it was the last."""
    order_id, dose = answer["order_id"], answer["dose"]
    board.orders.drop(order_id, dose)
    if answer["status"] == "active":
        board.orders.put(order_id, dose + 1)
    board.given.put(answer["administration_id"], (order_id, dose))
    if len(answer.get("lots", ())) == 1:
        board.leftovers.put(answer["administration_id"], (order_id, answer["quantity_units"]))


def _shows_next(board: Board, answer: Any) -> Shown:
    """What a board shows after a dose was recorded."""
    order_id = answer["order_id"]
    return Shown(board.wards[order_id], order_id, answer["dose"] + 1, open=answer["status"] == "active")


def _posts_dose(answer: Any) -> Iterable[Posted]:
    yield Posted(answer["administration_id"], "fulfilment", -answer["quantity_units"])


def wish_dose(board: Board, chance: Random, _number: int) -> Wish | None:
    """The next dose of an order."""
    picked = board.orders.pick(chance)
    if picked is None:
        return None
    order_id, dose = picked
    return Wish(
        f"/orders/{order_id}/fulfill",
        {"dose": dose},
        learn=lambda answer: _learn_dose(board, answer),
        posts=_posts_dose,
        shows=lambda answer: [_shows_next(board, answer)],
        ward_id=board.wards[order_id],
        about=[(board.orders, order_id, dose)],
    )


def _fulfilled(answer: Any) -> list[Any]:
    return [result for result in answer["results"] if result["outcome"] == "fulfilled"]


def wish_round(board: Board, chance: Random, _number: int) -> Wish | None:
    """The next doses of up to six orders."""
    picked = dict(filter(None, (board.orders.pick(chance) for _ in range(chance.randint(2, 6)))))
    if not picked:
        return None
    about = [(board.orders, order_id, dose) for order_id, dose in picked.items()]

    def learn(answer: Any) -> None:
        drop(about)
        for result in _fulfilled(answer):
            _learn_dose(board, result)

    doses = [{"order_id": order_id, "dose": dose} for order_id, dose in picked.items()]
    return Wish(
        "/fulfillments",
        {"order_ids": list(picked), "doses": doses},
        learn=learn,
        posts=lambda answer: [posted for result in _fulfilled(answer) for posted in _posts_dose(result)],
        shows=lambda answer: [_shows_next(board, result) for result in _fulfilled(answer)],
        changes=lambda answer: bool(_fulfilled(answer)),
    )


def wish_skip(board: Board, chance: Random, _number: int) -> Wish | None:
    """A dose that is not given."""
    picked = board.orders.pick(chance)
    if picked is None:
        return None
    order_id, dose = picked
    return Wish(
        f"/orders/{order_id}/skip",
        {"reason": chance.choice(("held", "refused", "unavailable")), "dose": dose},
        learn=lambda answer: _learn_dose(board, answer),
        shows=lambda answer: [_shows_next(board, answer)],
        ward_id=board.wards[order_id],
        about=[(board.orders, order_id, dose)],
    )


def wish_error(board: Board, chance: Random, _number: int) -> Wish | None:
    """An entry that should not have been made; its dose is open again where it was the latest."""
    picked = board.given.pick(chance)
    if picked is None:
        return None
    administration_id, (order_id, dose) = picked
    about = [(board.given, administration_id, (order_id, dose))]

    def learn(_answer: Any) -> None:
        drop(about)
        board.orders.put(order_id, dose)

    return Wish(
        f"/administrations/{administration_id}/entered-in-error",
        {"reason": "proof"},
        learn=learn,
        posts=lambda answer: [Posted(administration_id, "correction", answer["quantity_units"])],
        ward_id=board.wards[order_id],
        about=about,
    )


def wish_remainder(board: Board, chance: Random, _number: int) -> Wish | None:
    """A unit of a dose, wasted or put back."""
    picked = board.leftovers.pick(chance)
    if picked is None:
        return None
    administration_id, (order_id, units) = picked
    kind = chance.choice(("waste", "return"))
    return Wish(
        f"/administrations/{administration_id}/{kind}",
        {"quantity_units": 1},
        posts=lambda answer: [Posted(answer["id"], "return", 1)] if kind == "return" else [],
        ward_id=board.wards[order_id],
        about=[(board.leftovers, administration_id, (order_id, units))],
    )
