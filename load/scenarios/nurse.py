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
    }
)
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
            expect(board["version"] > self._version, "a board that is not newer than the one before")
            expect(answer.headers["etag"].strip('W/"') == str(board["version"]), "an ETag that is not the version")
            expect(all(patient["orders"] for patient in board["patients"]), "a patient without orders on the board")

        headers = {"If-None-Match": f'"{self._version}"'} if self._version else {}
        path = f"/mar?ward_id={self.ward_id}"
        answer = self.ask(Question("GET", path, name="/mar", headers=headers, wants={200, 304}, check=is_newer))
        if answer.done and answer.status == 200:
            self._version, self._patients = answer.body["version"], answer.body["patients"]

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

    def _any_due(self) -> Due | None:
        orders = [order for patient in self._patients for order in patient["orders"]]
        return random.choice(orders) if orders else None

    def _choose_due(self) -> Due | None:
        """One of the most urgent orders whose shelf seems to hold enough; now and then one whose shelf does not."""
        orders = [order for patient in self._patients for order in patient["orders"]]
        stocked = [order for order in orders if order["on_hand_units"] >= order["quantity_units"]]
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
        expect(given["remaining_stock"] >= 0, "remaining stock below zero")

    return gives
