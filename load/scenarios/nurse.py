"""The nurse: watches the board of her ward, gives what is due, looks things up."""

import random
from typing import Any

from locust import task
from locust.env import Environment
from locust.exception import StopUser

from load.scenarios.answers import Answer, Check, Question, expect
from load.scenarios.outcomes import OUTCOMES
from load.scenarios.person import Person, new_key, ponder, thinking
from load.scenarios.settings import SETTINGS

DUE_FIRST = 20  # a nurse takes one of the first orders that are due
DOUBLE_TAP_SHARE, REPEAT_SHARE, EMPTY_SHELF_SHARE = 0.05, 0.05, 0.1
REFUSALS = frozenset(
    {
        "insufficient_stock",
        "order_already_completed",
        "dose_already_given",
        "order_discontinued",
        "order_not_verified",
        "witness_required",
        "dose_too_soon",
    }
)
ROUND_ORDERS_MAX = 8
ROUND_REFUSALS = REFUSALS | {"dose_not_due", "validation_failed"}  # a PRN dose without an interval must be named
SKIP_REFUSALS = frozenset({"order_already_completed", "dose_already_given", "order_discontinued"})
RECEIPT_REFUSALS = frozenset({"transfer_status_conflict"})
Due = dict[str, Any]


class Nurse(Person):
    """Two of three people at a screen are nurses."""

    weight = 6
    wait_time = thinking(3, 9)
    logins = SETTINGS.nurses

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.ward_id = ""
        self._version = 0
        self._etag = ""
        self._patients: list[dict[str, Any]] = []

    def on_start(self) -> None:
        """Signs in, takes one of her wards and opens its board."""
        super().on_start()
        answer = self.ask(Question("GET", "/me", check=_has_wards), patient=True)
        if not answer.done:
            raise StopUser()
        self.ward_id = random.choice(answer.body["wards"])["id"]
        self.watch_board()

    @task(6)
    def watch_board(self) -> None:
        """Polls the board as the screen does: 304 while nothing on it has changed."""

        def is_newer(answer: Answer) -> None:
            if answer.status == 304:
                expect(not answer.raw, "304 with a body")
                return
            board = answer.body
            expect(board["ward_id"] == self.ward_id, "the board of another ward")
            expect(board["version"] >= self._version, "a board that is older than the one before")
            expect(answer.headers["etag"] != self._etag, "a board sent again that had not changed")
            expect(all(patient["orders"] for patient in board["patients"]), "a patient without orders on the board")

        headers = {"If-None-Match": self._etag} if self._etag else {}
        path = f"/mar?ward_id={self.ward_id}"
        answer = self.ask(Question("GET", path, name="/mar", headers=headers, wants={200, 304}, check=is_newer))
        if answer.done and answer.status == 200:
            self._version, self._patients = answer.body["version"], answer.body["patients"]
            self._etag = answer.headers["etag"]

    @task(5)
    def give_dose(self) -> None:
        """Gives a dose that is due: sometimes with a double tap, sometimes repeated on a shaky network."""
        due = self._choose_due()
        if due is None:
            self.watch_board()
            return
        ponder(0.5, 2)  # reads the label
        body = {"dose": due["dose"]} if due["doses"] > 1 else {}
        answer = self._fulfil(due, body)
        if answer.code == "witness_required":
            ponder(1, 4)  # fetches somebody
            self._fulfil(due, {**body, "witness": self._witness()})
        self.watch_board()

    @task(2)
    def go_round(self) -> None:
        """Gives what is due to several patients in one request."""
        due = [order for order in self._orders() if order["due_state"] != "upcoming"]
        order_ids = [order["order_id"] for order in random.sample(due, min(len(due), ROUND_ORDERS_MAX))]
        if not order_ids:
            return

        def are_results(answer: Answer) -> None:
            results = answer.body["results"]
            expect([result["order_id"] for result in results] == order_ids, "results of other orders than asked for")
            unforeseen = {result["outcome"] for result in results} - {"fulfilled"} - ROUND_REFUSALS
            expect(not unforeseen, f"a round with {unforeseen}")

        body = {"order_ids": order_ids}
        answer = self.ask(Question("POST", "/fulfillments", json=body, check=are_results), key=new_key())
        if answer.done:
            for result in answer.body["results"]:
                fulfilled = result["outcome"] == "fulfilled"
                OUTCOMES.add("doses given in rounds" if fulfilled else "doses refused in rounds")
        self.watch_board()

    @task(1)
    def skip_dose(self) -> None:
        """Records a dose that the patient refused."""
        due = self._any_due()
        if due is None:
            return
        body = {"reason": "refused", "note": "load", "dose": due["dose"]}
        name, path = "/orders/{id}/skip", f"/orders/{due['order_id']}/skip"
        question = Question("POST", path, name=name, json=body, refusals=SKIP_REFUSALS)
        if self.ask(question, key=new_key()).done:
            OUTCOMES.add("doses skipped")

    @task(1)
    def receive_transfer(self) -> None:
        """Unpacks what the pharmacy has sent to the ward."""
        query = f"?status=dispatched&destination_ward_id={self.ward_id}&limit=5"
        answer = self.ask(Question("GET", f"/transfers{query}", name="/transfers"))
        if not (answer.done and answer.body["items"]):
            return
        sent = random.choice(answer.body["items"])
        ponder(1, 3)  # counts

        def is_received(received: Answer) -> None:
            lines = received.body["lines"]
            expect(received.body["status"] == "received", "a transfer that was not received")
            expect(all(line["received_units"] == line["dispatched_units"] for line in lines), "less than was sent")

        question = Question(
            "POST",
            f"/transfers/{sent['id']}/receive",
            name="/transfers/{id}/receive",
            refusals=RECEIPT_REFUSALS,
            check=is_received,
        )
        if self.ask(question, key=new_key()).done:
            OUTCOMES.add("transfers received")

    @task(2)
    def look_at_order(self) -> None:
        """Opens an order of the board."""
        due = self._any_due()
        if due is None:
            return

        def is_it(answer: Answer) -> None:
            order = answer.body
            expect(order["id"] == due["order_id"] and order["drug_id"] == due["drug_id"], "another order")
            expect(order["doses_given"] >= due["dose"] - 1, "an order with fewer doses given than before")

        self.ask(Question("GET", f"/orders/{due['order_id']}", name="/orders/{id}", check=is_it))

    @task(1)
    def search_patient(self) -> None:
        """Searches one of the ward's patients by the beginning of the name."""
        if self._patients:
            self.find("/patients", random.choice(self._patients)["name"][:5].strip(), "name", "mrn")

    def _fulfil(self, due: Due, body: dict[str, Any]) -> Answer:
        question = Question(
            "POST",
            f"/orders/{due['order_id']}/fulfill",
            name="/orders/{id}/fulfill",
            json=body,
            refusals=REFUSALS,
            check=_gives(due),
        )
        chance, key = random.random(), new_key()
        if chance < DOUBLE_TAP_SHARE:
            answer = self.tap_twice(question)
        else:
            answer = self.ask(question, key=key)
            if answer.done and chance > 1 - REPEAT_SHARE:
                self.repeat(question, answer, key=key)
        if answer.done:
            OUTCOMES.add("doses given")
        return answer

    def _witness(self) -> dict[str, str]:
        return {"email": SETTINGS.address(SETTINGS.pharmacists.split(",")[0]), "password": SETTINGS.password}

    def _orders(self) -> list[Due]:
        return [order for patient in self._patients for order in patient["orders"]]

    def _any_due(self) -> Due | None:
        orders = self._orders()
        return random.choice(orders) if orders else None

    def _choose_due(self) -> Due | None:
        """One of the most urgent orders whose shelf seems to hold enough; now and then one whose shelf does not."""
        orders = self._orders()
        stocked = [
            order for order in orders if order["figures_hidden"] or order["on_hand_units"] >= order["quantity_units"]
        ]
        if stocked and random.random() > EMPTY_SHELF_SHARE:
            orders = [order for order in stocked if order["verified"]] or stocked
        orders.sort(key=lambda order: (order["priority"] != "stat", order["due_at"]))
        return random.choice(orders[:DUE_FIRST]) if orders else None


def _has_wards(answer: Answer) -> None:
    expect(answer.body["role"] == "nurse", f"the nurse is a {answer.body['role']}")
    expect(answer.body["wards"], "a nurse without a ward")


def _gives(due: Due) -> Check:
    """That an answer is the dose of `due`: the right order, the right units, taken of lots that add up."""

    def gives(answer: Answer) -> None:
        given = answer.body
        completed = due["dose"] == due["doses"]
        expect(given["order_id"] == due["order_id"], "another order was fulfilled")
        expect(due["doses"] == 1 or given["dose"] == due["dose"], "another dose than the one named")
        expect(given["status"] == ("completed" if completed else "active"), f"status {given['status']} after this dose")
        expect(given["quantity_units"] == due["quantity_units"], "another quantity than ordered")
        expect(sum(lot["quantity_units"] for lot in given["lots"]) == given["quantity_units"], "lots do not add up")
        left = given["remaining_stock"]  # None while the shelf is counted blind
        expect(left is None or left >= 0, "remaining stock below zero")

    return gives
