"""The pharmacist: watches the shelves, fills them, checks orders and reads the ledger."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from locust import task
from locust.env import Environment

from load.scenarios.answers import Answer, Question, expect
from load.scenarios.outcomes import OUTCOMES
from load.scenarios.person import Person, new_key, ponder, thinking
from load.scenarios.settings import SETTINGS

STATES = ("low", "low", "out", "expiring", "expired")
DOUBLE_TAP_SHARE = 0.05
UNITS_MIN, UNITS_MAX = 20, 400
EXPIRES_AFTER_DAYS = (180, 900)
ORDERS_LOOKED_AT = 100
VERIFY_REFUSALS = frozenset({"order_already_completed", "order_discontinued"})
SEARCHED = ("am", "par", "met", "hep", "ins", "mor", "sodium", "ol", "in")
Row = dict[str, Any]


class Pharmacist(Person):
    """One of six people at a screen is a pharmacist."""

    weight = 2
    wait_time = thinking(4, 12)
    logins = SETTINGS.pharmacists

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._shelves: list[Row] = []

    @task(4)
    def watch_shelves(self) -> None:
        """Which shelves are low, out, expiring or expired."""
        state = random.choice(STATES)

        def are_in_state(answer: Answer) -> None:
            for shelf in answer.body["items"]:
                _ensure_adds_up(shelf, state)

        answer = self.ask(Question("GET", f"/stock?state={state}", name="/stock?state=", check=are_in_state))
        if answer.done and state in {"low", "out"}:
            self._shelves = answer.body["items"]

    @task(3)
    def receive_lot(self) -> None:
        """Books a delivery onto a shelf that needs it, else onto any."""
        shelf = self._choose_shelf()
        if shelf is None:
            return
        ponder(1, 3)  # types the lot number
        missing = shelf["par_level_units"] - shelf["on_hand_units"]
        days = random.randint(*EXPIRES_AFTER_DAYS)
        body = {
            "ward_id": shelf["ward_id"],
            "drug_id": shelf["drug_id"],
            "lot_number": f"LOAD-{random.randrange(1_000_000):06d}",
            "expires_on": (datetime.now(UTC) + timedelta(days=days)).date().isoformat(),
            "quantity_units": min(UNITS_MAX, max(UNITS_MIN, missing)),
        }

        def is_received(answer: Answer) -> None:
            receipt = answer.body
            expect(all(receipt[name] == value for name, value in body.items()), "another receipt than the one sent")
            left = receipt["on_hand_units"]  # None while the shelf is counted blind
            expect(left is None or left >= receipt["quantity_units"], "less on the shelf than was received")

        question = Question("POST", "/stock/receipts", json=body, wants={201}, check=is_received)
        twice = random.random() < DOUBLE_TAP_SHARE
        answer = self.tap_twice(question) if twice else self.ask(question, key=new_key())
        if answer.done:
            OUTCOMES.add("lots received")

    @task(3)
    def verify_order(self) -> None:
        """Checks one of the newest orders that nobody has checked."""

        def are_active(answer: Answer) -> None:
            expect(all(order["status"] == "active" for order in answer.body["items"]), "an order that is not active")

        newest = f"/orders?status=active&limit={ORDERS_LOOKED_AT}"
        answer = self.ask(Question("GET", newest, name="/orders", check=are_active))
        orders = answer.body["items"] if answer.done else []
        unverified = [order["id"] for order in orders if order["verified_at"] is None]
        if not unverified:
            return
        ponder(1, 4)  # reads it
        order_id = random.choice(unverified)

        def is_verified(verified: Answer) -> None:
            expect(verified.body["id"] == order_id and verified.body["verified_at"], "an order that is not verified")

        question = Question(
            "POST",
            f"/orders/{order_id}/verify",
            name="/orders/{id}/verify",
            refusals=VERIFY_REFUSALS,
            check=is_verified,
        )
        if self.ask(question, key=new_key()).done:
            OUTCOMES.add("orders verified")

    @task(2)
    def send_stock(self) -> None:
        """Sends a ward something from another: requested and dispatched, received by a nurse."""
        source, destination = self._choose_shelf(), self._choose_shelf()
        if source is None or destination is None or source["ward_id"] == destination["ward_id"]:
            return
        body = {
            "source_ward_id": source["ward_id"],
            "destination_ward_id": destination["ward_id"],
            "lines": [{"drug_id": source["drug_id"], "quantity_units": random.randint(1, 20)}],
        }
        question = Question("POST", "/transfers", json=body, wants={201})
        answer = self.ask(question, key=new_key())
        if not answer.done:
            return
        path = f"/transfers/{answer.body['id']}/dispatch"
        question = Question("POST", path, name="/transfers/{id}/dispatch", refusals=frozenset({"insufficient_stock"}))
        if self.ask(question, key=new_key()).done:
            OUTCOMES.add("transfers dispatched")

    @task(1)
    def waste_unit(self) -> None:
        """Writes off a unit that broke."""
        shelf = self._choose_shelf()
        if shelf is None:
            return
        body = {"ward_id": shelf["ward_id"], "drug_id": shelf["drug_id"], "quantity_units": -1, "reason": "waste"}
        refusals = frozenset({"insufficient_stock", "witness_required"})
        question = Question("POST", "/stock/adjustments", json=body, wants={201}, refusals=refusals)
        if self.ask(question, key=new_key()).done:
            OUTCOMES.add("units wasted")

    @task(2)
    def read_ledger(self) -> None:
        """Reads the newest movements, of one shelf or of all: every balance follows from the one before."""
        shelf = random.choice(self._shelves) if self._shelves and random.random() < 0.5 else None
        query = f"?ward_id={shelf['ward_id']}&drug_id={shelf['drug_id']}" if shelf else ""
        self.ask(Question("GET", f"/stock/movements{query}", name="/stock/movements", check=_balances_follow))

    @task(2)
    def search_drug(self) -> None:
        """Looks a drug up in the formulary."""
        self.find("/drugs", random.choice(SEARCHED), "name", "generic_name")

    def _choose_shelf(self) -> Row | None:
        if not self._shelves:
            answer = self.ask(Question("GET", "/stock?limit=200", name="/stock"))
            self._shelves = _shown(answer.body["items"]) if answer.done else []
        return random.choice(self._shelves) if self._shelves else None


def _shown(shelves: list[Row]) -> list[Row]:
    """Those of the shelves whose figures are not hidden from who asks."""
    return [shelf for shelf in shelves if not shelf["figures_hidden"]]


def _ensure_adds_up(shelf: Row, state: str) -> None:
    """Raises WrongAnswer unless the figures of a shelf agree with each other and with the state asked for."""
    on_hand, available = shelf["on_hand_units"], shelf["available_units"]
    expect(on_hand == sum(lot["quantity_units"] for lot in shelf["lots"]), "a level that is not the sum of its lots")
    expect(0 <= available <= on_hand, "more available than on hand")
    expect(state != "low" or on_hand <= shelf["reorder_point_units"], "a low shelf above its reorder point")
    expect(state != "out" or available == 0, "a shelf that is out and has units to give")


def _balances_follow(answer: Answer) -> None:
    """Raises WrongAnswer unless, on every shelf, each balance is the one before it plus the units moved."""
    shelves: dict[tuple[str, str], list[Row]] = {}
    for movement in _shown(answer.body["items"]):
        shelves.setdefault((movement["ward_id"], movement["drug_id"]), []).append(movement)
    for movements in shelves.values():
        movements.sort(key=lambda movement: int(movement["sequence"]))
        for before, after in pairwise(movements):
            if after["sequence"] == before["sequence"] + 1:
                follows = before["balance_after_units"] + after["units"] == after["balance_after_units"]
                expect(follows, "a balance that does not follow from the one before")
