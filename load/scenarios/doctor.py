"""The doctor: finds a patient, finds a drug, orders it, looks at her own orders and ends one."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from locust import task
from locust.env import Environment
from locust.exception import StopUser

from load.scenarios.answers import Answer, Question, expect
from load.scenarios.outcomes import OUTCOMES
from load.scenarios.person import Person, new_key, ponder, thinking
from load.scenarios.settings import SETTINGS

REASONS = ("Therapy changed", "Adverse reaction", "Course completed", "Patient is going home")
DISCONTINUE_REFUSALS = frozenset({"order_already_completed", "order_discontinued"})
UNITS_USUAL = (1, 1, 1, 2, 2, 4)
SCHEDULED_SHARE, STAT_SHARE = 0.4, 0.15
DOSES_USUAL, INTERVALS_USUAL = (2, 3, 4, 6), (240, 360, 480, 720)  # how many, and minutes between them
Row = dict[str, Any]


class Doctor(Person):
    """One of six people at a screen is a doctor."""

    weight = 2
    wait_time = thinking(5, 15)
    logins = SETTINGS.doctors

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._patients: list[Row] = []
        self._shelves: list[Row] = []

    def on_start(self) -> None:
        """Signs in and opens the list of one ward's patients and of what lies on its shelves."""
        super().on_start()
        wards = self.ask(Question("GET", "/wards"), patient=True)
        kinds = [ward["id"] for ward in wards.body["items"] if ward["kind"] == "ward"] if wards.done else []
        if not kinds:
            self.report("a doctor's day", "the hospital has no ward")
            raise StopUser()
        ward_id = random.choice(kinds)
        self._patients = self._items(f"/patients?ward_id={ward_id}&limit=200", "/patients")
        self._shelves = self._items(f"/stock?ward_id={ward_id}&limit=200", "/stock")

    @task(2)
    def find_patient(self) -> None:
        """Finds one of the ward's patients by name."""
        if self._patients:
            patient = random.choice(self._patients)
            self.find("/patients", patient["name"].split(",")[0], "name", "mrn")

    @task(2)
    def search_drug(self) -> None:
        """Finds a drug of the ward by the beginning of its name."""
        if self._shelves:
            self.find("/drugs", random.choice(self._shelves)["drug_name"][:4].strip(), "name", "generic_name")

    @task(4)
    def place_order(self) -> None:
        """Orders one dose, a course of doses, or one dose at once."""
        if not self._patients or not self._shelves:
            return
        patient, shelf = random.choice(self._patients), random.choice(self._shelves)
        self.find("/drugs", shelf["drug_name"], "name", "generic_name")
        ponder(2, 6)  # fills in the form
        body = {
            "patient_id": patient["id"],
            "drug_id": shelf["drug_id"],
            "ward_id": shelf["ward_id"],
            "quantity_units": random.choice(UNITS_USUAL),
            "dose_text": f"{shelf['strength']}, as ordered",
            "route": "oral",
            **_schedule(),
        }

        def is_placed(answer: Answer) -> None:
            order = answer.body
            expect(all(order[name] == body[name] for name in ORDERED), "another order than the one sent")
            expect(order["status"] == "active" and order["doses_given"] == 0, "a new order that is not untouched")
            expect(order["prescriber_id"] == self.user_id, "an order of another doctor")

        if self.ask(Question("POST", "/orders", json=body, wants={201}, check=is_placed), key=new_key()).done:
            OUTCOMES.add("orders placed")

    @task(2)
    def look_at_own_orders(self) -> None:
        """Reads her own orders."""
        self.list_own_orders()

    def list_own_orders(self) -> list[Row]:
        """Her own orders, newest first; now and then she reads the next page too."""

        def are_own(answer: Answer) -> None:
            orders = answer.body["items"]
            expect(all(order["prescriber_id"] == self.user_id for order in orders), "an order of another doctor")
            expect(orders == sorted(orders, key=_placed_at, reverse=True), "orders that are not newest first")

        path = f"/orders?prescriber_id={self.user_id}"
        answer = self.ask(Question("GET", path, name="/orders?prescriber_id=", check=are_own))
        if not answer.done:
            return []
        orders: list[Row] = answer.body["items"]
        cursor = answer.body["next_cursor"]
        if cursor and random.random() < 0.3:
            seen = {order["id"] for order in orders}

            def are_older(older: Answer) -> None:
                are_own(older)
                expect(all(order["id"] not in seen for order in older.body["items"]), "an order on two pages")

            next_page = f"{path}&cursor={cursor}"
            self.ask(Question("GET", next_page, name="/orders?prescriber_id=&cursor=", check=are_older))
        return orders

    @task(1)
    def discontinue_order(self) -> None:
        """Ends one of her own orders, with a reason."""
        active = [order for order in self.list_own_orders() if order["status"] == "active"]
        if not active:
            return
        ponder(1, 4)  # thinks twice
        order_id, reason = random.choice(active)["id"], random.choice(REASONS)

        def is_ended(answer: Answer) -> None:
            order = answer.body
            expect(order["id"] == order_id and order["status"] == "discontinued", "an order that goes on")
            expect(order["discontinue_reason"] == reason, "another reason than the one given")

        question = Question(
            "POST",
            f"/orders/{order_id}/discontinue",
            name="/orders/{id}/discontinue",
            json={"reason": reason},
            refusals=DISCONTINUE_REFUSALS,
            check=is_ended,
        )
        if self.ask(question, key=new_key()).done:
            OUTCOMES.add("orders discontinued")

    def _items(self, path: str, name: str) -> list[Row]:
        answer = self.ask(Question("GET", path, name=name), patient=True)
        return list(answer.body["items"]) if answer.done else []


ORDERED = ("patient_id", "drug_id", "ward_id", "quantity_units", "dose_text", "route", "priority", "doses")


def _schedule() -> Row:
    """When an order is due and how often: mostly once, often a course, sometimes at once."""
    chance, now = random.random(), datetime.now(UTC)
    if chance < STAT_SHARE:
        return {"priority": "stat", "doses": 1}
    if chance < STAT_SHARE + SCHEDULED_SHARE:
        first = now + timedelta(minutes=random.choice((0, 15, 60)))
        return {
            "priority": "routine",
            "doses": random.choice(DOSES_USUAL),
            "interval_minutes": random.choice(INTERVALS_USUAL),
            "first_due_at": first.isoformat(),
        }
    return {"priority": "routine", "doses": 1}


def _placed_at(order: Row) -> tuple[datetime, str]:
    return datetime.fromisoformat(order["created_at"]), str(order["id"])
