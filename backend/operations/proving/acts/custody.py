"""Units between wards, and units that were expected and not found: transfers, counts, discrepancies."""

from random import Random
from typing import Any

from backend.operations.proving.acts.wish import Posted, Wish, drop
from backend.operations.proving.board import Board

COUNTED_UNITS_MAX = 30


def wish_transfer(board: Board, chance: Random, _number: int) -> Wish:
    """Units of one or two drugs from one ward to another."""
    source, other = board.shelf(chance), board.shelf(chance)
    there = chance.choice([ward_id for ward_id in board.hospital.patients if ward_id != source.ward_id])
    lines = [
        {"drug_id": str(drug_id), "quantity_units": chance.randint(1, 6)}
        for drug_id in dict.fromkeys((source.drug_id, other.drug_id))
    ]
    body = {"source_ward_id": str(source.ward_id), "destination_ward_id": str(there), "lines": lines}

    def learn(answer: Any) -> None:
        board.requested.put(answer["id"], str(there))

    return Wish("/transfers", body, learn=learn, ward_id=str(there))


def wish_dispatch(board: Board, chance: Random, _number: int) -> Wish | None:
    """What was asked for leaves, or is cancelled."""
    picked = board.requested.pick(chance)
    if picked is None:
        return None
    transfer_id, known = picked
    about = [(board.requested, transfer_id, known)]
    if chance.random() < 0.1:
        return Wish(f"/transfers/{transfer_id}/cancel", learn=lambda answer: drop(about), about=about)

    def learn(answer: Any) -> None:
        drop(about)
        lots = [
            (line["drug_id"], lot["lot_id"], lot["dispatched_units"])
            for line in answer["lines"]
            for lot in line["lots"]
        ]
        board.dispatched.put(transfer_id, (known, lots))

    def posts(answer: Any) -> list[Posted]:
        return [Posted(transfer_id, "transfer_out", -sum(line["dispatched_units"] for line in answer["lines"]))]

    return Wish(f"/transfers/{transfer_id}/dispatch", learn=learn, posts=posts, about=about)


def wish_arrival(board: Board, chance: Random, _number: int) -> Wish | None:
    """What was sent arrives, or some of it."""
    picked = board.dispatched.pick(chance)
    if picked is None:
        return None
    transfer_id, (ward_id, lots) = picked
    about = [(board.dispatched, transfer_id, (ward_id, lots))]
    all_of_it = chance.random() < 0.7
    lines = [
        {"drug_id": drug_id, "lot_id": lot_id, "quantity_units": units if all_of_it else chance.randint(0, units)}
        for drug_id, lot_id, units in lots
    ]

    def posts(answer: Any) -> list[Posted]:
        return [Posted(transfer_id, "transfer_in", sum(line["received_units"] for line in answer["lines"]))]

    return Wish(
        f"/transfers/{transfer_id}/receive",
        {"lines": lines},
        learn=lambda answer: drop(about),
        posts=posts,
        ward_id=ward_id,
        about=about,
    )


def wish_count(board: Board, chance: Random, _number: int) -> Wish:
    """A ward's lots of one drug are to be counted."""
    shelf = board.shelf(chance)

    ward_id = str(shelf.ward_id)

    def learn(answer: Any) -> None:
        board.counts.put(answer["id"], (ward_id, [line["lot_id"] for line in answer["lines"]]))

    body = {"ward_id": ward_id, "drug_ids": [str(shelf.drug_id)]}
    # There may be nothing to count.
    return Wish("/counts", body, learn=learn, ward_id=ward_id, excused="validation_failed")


def wish_counting(board: Board, chance: Random, _number: int) -> Wish | None:
    """What somebody says to have found of every lot."""
    picked = board.counts.pick(chance)
    if picked is None:
        return None
    count_id, (ward_id, lots) = picked
    lines = [{"lot_id": lot_id, "counted_units": chance.randint(0, COUNTED_UNITS_MAX)} for lot_id in lots]
    return Wish(
        f"/counts/{count_id}/lines",
        {"lines": lines},
        learn=lambda answer: board.counted.put(count_id, (ward_id, lots)),
        ward_id=ward_id,
        about=[(board.counts, count_id, (ward_id, lots))],
    )


def wish_count_end(board: Board, chance: Random, _number: int) -> Wish | None:
    """A count is completed, or given up."""
    picked = board.counted.pick(chance)
    if picked is None:
        return None
    count_id, known = picked
    verb = "cancel" if chance.random() < 0.2 else "complete"
    about = [(board.counted, count_id, known), (board.counts, count_id, known)]
    return Wish(f"/counts/{count_id}/{verb}", learn=lambda answer: drop(about), ward_id=known[0], about=about)


def wish_look(board: Board, _chance: Random, _number: int) -> Wish:
    """Looks for discrepancies: their ids are in no other answer. Those of cupboards are not theirs (cupboards.py)."""
    cupboards = {str(cupboard.shelf.ward_id) for cupboard in board.cupboards}

    def learn(answer: Any) -> None:
        for found in answer["items"]:
            if found["ward_id"] not in cupboards:
                board.discrepancies.put(found["id"], (found["kind"], found["variance_units"]))

    return Wish("/discrepancies?status=open&limit=50", method="GET", learn=learn)


def wish_resolution(board: Board, chance: Random, _number: int) -> Wish | None:
    """A discrepancy ends one of the ways that it may."""
    picked = board.discrepancies.pick(chance)
    if picked is None:
        return None
    discrepancy_id, (kind, variance) = picked
    ways = ["found", "returned", "loss"] if kind == "transfer" else ["correction", "miscount", "miscount"]
    if kind == "count" and variance < 0:
        ways.append("loss")
    resolution = chance.choice(ways)
    about = [(board.discrepancies, discrepancy_id, (kind, variance))]

    def posts(answer: Any) -> list[Posted]:
        if kind == "transfer" and resolution != "loss":
            return [Posted(discrepancy_id, "transfer_in", -answer["variance_units"])]
        moves = kind == "count" and resolution != "miscount"
        return [Posted(discrepancy_id, resolution, answer["variance_units"])] if moves else []

    return Wish(
        f"/discrepancies/{discrepancy_id}/resolve",
        {"resolution": resolution, "reason": "proof"},
        learn=lambda answer: drop(about),
        posts=posts,
        about=about,
    )
