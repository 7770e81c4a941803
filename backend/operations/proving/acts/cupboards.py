"""A cupboard with a controlled drug: hands reach into it, people count it, and a variance is looked into."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

from backend.operations.proving.acts.wish import Posted, Shown, Wish, of_shelf
from backend.operations.proving.board import Board
from backend.operations.proving.cupboard import Cupboard, Hands, WriteOff
from backend.operations.proving.hospital import CUPBOARD_LOT, Person

WITNESSED = 0.5  # share of the doses; whatever puts something back or writes it off has a witness always
LOST = 0.2  # share of the looks before which a unit has gone
STATED = 0.3  # share of the counts that say when somebody looked
FAST_TABLET, FAST_SECONDS = 0.2, 30  # share of the others that state a moment to come, and how far
MISCOUNTED = 0.1  # share of the variances that are put down to whoever counted
COMPANY = 0.6  # share of those that look while somebody else's request is under way
HASTY = 0.2  # share of the counts that are completed although it still is
DOSES = 6


def _cupboard(board: Board, chance: Random) -> Cupboard:
    return chance.choice(board.cupboards)


def _before(witness: Person) -> dict[str, Any]:
    """Write the field by which a body names its witness."""
    return {"witness": {"email": witness.email, "password": witness.password}}


def _lapse(cupboard: Cupboard, hands: Hands, put_back: Callable[[], None]) -> Callable[[bool], None]:
    """Make what is to be done if the request of `hands` is not acknowledged."""

    def lapse(certain: bool) -> None:
        if certain:
            cupboard.undo(hands)
            put_back()

    return lapse


def wish_order(board: Board, chance: Random, _number: int) -> Wish:
    """Order doses from a cupboard."""
    cupboard = _cupboard(board, chance)
    ward_id = str(cupboard.shelf.ward_id)
    body = {
        **of_shelf(cupboard.shelf),
        "patient_id": str(chance.choice(cupboard.patients)),
        "quantity_units": chance.randint(1, 2),
        "doses": DOSES,
        "interval_minutes": 60,
    }

    def learn(answer: Any) -> None:
        board.wards[answer["id"]] = ward_id
        cupboard.orders.put(answer["id"], (1, answer["quantity_units"]))

    return Wish("/orders", body, learn=learn, shows=lambda answer: [Shown(ward_id, answer["id"], 1, open=True)])


def wish_dose(board: Board, chance: Random, _number: int) -> Wish | None:
    """Take a dose out and record it, often before a witness."""
    cupboard = _cupboard(board, chance)
    picked = cupboard.orders.take(chance)
    if picked is None:
        return None
    order_id, (dose, units) = picked
    hands = cupboard.reach(-units)
    if hands is None:
        cupboard.orders.put(order_id, (dose, units))
        return None

    def learn(answer: Any) -> None:
        cupboard.done(hands)
        is_last = answer["status"] != "active"
        if not is_last:
            cupboard.orders.put(order_id, (dose + 1, units))
        cupboard.given.put(answer["administration_id"], (order_id, dose, units, is_last))

    witness = board.hospital.witness if chance.random() < WITNESSED else None
    ward_id = str(cupboard.shelf.ward_id)
    return Wish(
        f"/orders/{order_id}/fulfill",
        {"dose": dose, **(_before(witness) if witness else {})},
        learn=learn,
        posts=lambda answer: [Posted(answer["administration_id"], "fulfilment", -answer["quantity_units"])],
        shows=lambda answer: [Shown(ward_id, order_id, dose + 1, open=answer["status"] == "active")],
        ward_id=ward_id,
        witness_id=str(witness.actor.user_id) if witness else None,
        hands=hands,
        once=True,
        lapse=_lapse(cupboard, hands, lambda: cupboard.orders.put(order_id, (dose, units))),
    )


def wish_return(board: Board, chance: Random, _number: int) -> Wish | None:
    """Put a unit of a dose back, before a witness."""
    cupboard = _cupboard(board, chance)
    picked = cupboard.given.take(chance)
    if picked is None:
        return None
    administration_id, known = picked
    hands = cupboard.reach(1)
    if hands is None:
        cupboard.given.put(administration_id, known)
        return None
    return _before_witness(
        board,
        cupboard,
        hands,
        f"/administrations/{administration_id}/return",
        {"quantity_units": 1},
        posts=lambda answer: [Posted(answer["id"], "return", 1)],
    )


def wish_error(board: Board, chance: Random, _number: int) -> Wish | None:
    """Put a dose back that was never given; it is the order's next dose again."""
    cupboard = _cupboard(board, chance)
    picked = cupboard.given.take(chance)
    if picked is None:
        return None
    administration_id, (order_id, dose, units, is_last) = picked
    following = cupboard.orders.claim(order_id)
    hands = cupboard.reach(units) if is_last or following == (dose + 1, units) else None
    if hands is None:
        if following is not None:
            cupboard.orders.put(order_id, following)
        cupboard.given.put(administration_id, (order_id, dose, units, is_last))
        return None
    return _before_witness(
        board,
        cupboard,
        hands,
        f"/administrations/{administration_id}/entered-in-error",
        {"reason": "proof"},
        posts=lambda answer: [Posted(administration_id, "correction", answer["quantity_units"])],
        learn=lambda answer: cupboard.orders.put(order_id, (dose, units)),
    )


def wish_receipt(board: Board, chance: Random, _number: int) -> Wish | None:
    """Put a delivery into a cupboard."""
    cupboard = _cupboard(board, chance)
    units = chance.randint(5, 20)
    hands = cupboard.reach(units)
    if hands is None:
        return None
    body = {
        **of_shelf(cupboard.shelf),
        "lot_number": CUPBOARD_LOT,
        "expires_on": board.hospital.cupboard_expires_on.isoformat(),
        "quantity_units": units,
    }
    return Wish(
        "/stock/receipts",
        body,
        learn=lambda answer: cupboard.done(hands),
        posts=lambda answer: [Posted(answer["id"], "receipt", answer["quantity_units"])],
        hands=hands,
        once=True,
        lapse=_lapse(cupboard, hands, lambda: None),
    )


def wish_waste(board: Board, chance: Random, _number: int) -> Wish | None:
    """Destroy units before a witness."""
    cupboard = _cupboard(board, chance)
    units = chance.randint(1, 2)
    hands = cupboard.reach(-units)
    if hands is None:
        return None
    return _before_witness(
        board,
        cupboard,
        hands,
        "/stock/adjustments",
        {**of_shelf(cupboard.shelf), "quantity_units": -units, "reason": "waste"},
        posts=lambda answer: [Posted(answer["id"], "waste", answer["quantity_units"])],
    )


def _before_witness(
    board: Board,
    cupboard: Cupboard,
    hands: Hands,
    path: str,
    body: dict[str, Any],
    *,
    posts: Callable[[Any], list[Posted]],
    learn: Callable[[Any], None] = lambda answer: None,
) -> Wish:
    def learn_all(answer: Any) -> None:
        cupboard.done(hands)
        learn(answer)

    witness = board.hospital.witness
    return Wish(
        path,
        {**body, **_before(witness)},
        learn=learn_all,
        posts=posts,
        ward_id=str(cupboard.shelf.ward_id),
        witness_id=str(witness.actor.user_id),
        hands=hands,
        once=True,
        lapse=_lapse(cupboard, hands, lambda: None),
    )


def wish_count(board: Board, chance: Random, _number: int) -> Wish | None:
    """Begin to count a cupboard; one count at a time."""
    cupboard = _cupboard(board, chance)
    if not cupboard.begin_count():
        return None
    shelf = cupboard.shelf
    return Wish(
        "/counts",
        {"ward_id": str(shelf.ward_id), "drug_ids": [str(shelf.drug_id)]},
        learn=lambda answer: cupboard.opened.put(answer["id"], answer["lines"][0]["lot_id"]),
        ward_id=str(shelf.ward_id),
        once=True,
        lapse=lambda certain: cupboard.end_count(),
    )


def wish_look(board: Board, chance: Random, _number: int) -> Wish | None:
    """Look into a cupboard and record what is there; now and then a unit is not there any more."""
    cupboard = _cupboard(board, chance)
    picked = cupboard.opened.take(chance)
    if picked is None:
        return None
    count_id, lot_id = picked
    stated, lost = chance.random() < STATED, int(chance.random() < LOST)
    if stated or chance.random() > COMPANY:
        look = cupboard.look_alone(lost=lost, stated=stated)
    else:
        look = cupboard.look_in_company(lost=lost, seconds=chance.random())
    if look is None:
        cupboard.opened.put(count_id, lot_id)
        return None
    line: dict[str, Any] = {"lot_id": lot_id, "counted_units": look.units}
    if stated:
        line["counted_at"] = look.moment.isoformat()
    elif chance.random() < FAST_TABLET:
        line["counted_at"] = (look.moment + timedelta(seconds=FAST_SECONDS)).isoformat()

    under_way = cupboard.under_way

    def learn(_answer: Any) -> None:
        cupboard.look_over(look)
        cupboard.counted.put(count_id, under_way)

    def lapse(_certain: bool) -> None:
        cupboard.look_over(look)
        cupboard.opened.put(count_id, lot_id)

    return Wish(
        f"/counts/{count_id}/lines",
        {"lines": [line]},
        learn=learn,
        ward_id=str(cupboard.shelf.ward_id),
        look=look,
        once=True,
        lapse=lapse,
    )


def wish_count_end(board: Board, chance: Random, _number: int) -> Wish | None:
    """Complete the count of a cupboard: the answer tells what was expected.

    Most wait until what was under way at the look has ended: then ValMed has to know of it.
    """
    cupboard = _cupboard(board, chance)
    picked = cupboard.counted.take(chance)
    if picked is None:
        return None
    count_id, under_way = picked
    if under_way & cupboard.under_way and chance.random() > HASTY:
        cupboard.counted.put(count_id, under_way)
        return None

    def lapse(certain: bool) -> None:
        if certain:
            cupboard.end_count()
        else:
            cupboard.counted.put(count_id, under_way)

    return Wish(
        f"/counts/{count_id}/complete",
        learn=lambda answer: cupboard.end_count(),
        ward_id=str(cupboard.shelf.ward_id),
        once=True,
        lapse=lapse,
    )


def wish_variances(board: Board, chance: Random, _number: int) -> Wish:
    """Look for the variances of a cupboard: their ids are in no other answer."""
    cupboard = _cupboard(board, chance)

    def learn(answer: Any) -> None:
        for found in answer["items"]:
            cupboard.variances.put(found["id"], (found["variance_units"], cupboard.under_way))

    return Wish(f"/discrepancies?status=open&ward_id={cupboard.shelf.ward_id}&limit=50", method="GET", learn=learn)


def wish_resolution(board: Board, chance: Random, _number: int) -> Wish | None:
    """Write a variance off as it says, once all is over that was under way when somebody heard of it."""
    cupboard = _cupboard(board, chance)
    picked = cupboard.variances.take(chance)
    if picked is None:
        return None
    discrepancy_id, (variance, under_way) = picked
    if under_way & cupboard.under_way:
        cupboard.variances.put(discrepancy_id, (variance, under_way))
        return None
    resolution = "loss" if variance < 0 else "correction"
    if discrepancy_id in cupboard.outdated or chance.random() < MISCOUNTED:
        resolution = "miscount"
    witness = board.hospital.witness

    def posts(answer: Any) -> list[Posted]:
        return [] if resolution == "miscount" else [Posted(discrepancy_id, resolution, answer["variance_units"])]

    return Wish(
        f"/discrepancies/{discrepancy_id}/resolve",
        {"resolution": resolution, "reason": "proof", **_before(witness)},
        posts=posts,
        witness_id=str(witness.actor.user_id),
        write_off=None if resolution == "miscount" else WriteOff(cupboard.shelf.ward_id, variance),
        once=True,
        lapse=lambda certain: cupboard.outdated.add(discrepancy_id),
    )
