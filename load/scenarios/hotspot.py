"""Everybody at one shelf: the first drug, by name, of the first ward. What all of them wait for is its lane."""

import random
from typing import Any

from locust import task
from locust.exception import StopUser

from load.scenarios.answers import Question
from load.scenarios.doctor import Doctor
from load.scenarios.nurse import Nurse
from load.scenarios.person import Person, ponder, thinking
from load.scenarios.pharmacist import Pharmacist

ORDERS_LOOKED_AT = 20
Row = dict[str, Any]


def hot_shelf(person: Person) -> Row:
    """The shelf that everybody of this scenario works at. Raises StopUser, after a failure, where there is none."""
    wards = person.ask(Question("GET", "/wards"), patient=True)
    kinds = wards.body["items"] if wards.done else []
    names = sorted((ward["name"], ward["id"]) for ward in kinds if ward["kind"] == "ward")
    if names:
        path = f"/stock?ward_id={names[0][1]}&limit=200"
        stock = person.ask(Question("GET", path, name="/stock"), patient=True)
        if stock.done and stock.body["items"]:
            return dict(min(stock.body["items"], key=lambda shelf: (shelf["drug_name"], shelf["drug_id"])))
    person.report("the hot shelf", "the hospital has no ward with stock")
    raise StopUser()


class HotDoctor(Doctor):
    """Orders the one drug for the one ward, over and over."""

    weight = 3
    wait_time = thinking(1, 3)

    def on_start(self) -> None:
        """Signs in and keeps to the hot shelf."""
        super().on_start()
        shelf = hot_shelf(self)
        self._shelves = [shelf]
        self._patients = self._items(f"/patients?ward_id={shelf['ward_id']}&limit=200", "/patients")


class HotNurse(Nurse):
    """Gives the one drug on the one ward; several nurses reach for the same order."""

    weight = 6
    wait_time = thinking(1, 3)

    def on_start(self) -> None:
        """Signs in and opens the board of the hot ward."""
        super().on_start()
        shelf = hot_shelf(self)
        self.ward_id, self._version, self._etag = shelf["ward_id"], 0, ""
        self._query = f"?status=active&drug_id={shelf['drug_id']}&ward_id={self.ward_id}&limit={ORDERS_LOOKED_AT}"
        self.watch_board()

    @task(60)
    def give_the_one_drug(self) -> None:
        """Gives one of the newest orders of the drug."""
        answer = self.ask(Question("GET", f"/orders{self._query}", name="/orders?drug_id="))
        orders = [order for order in answer.body["items"] if order["doses"] == 1] if answer.done else []
        if orders:
            ponder(0.2, 1)
            order = random.choice(orders)
            self._fulfil({**order, "order_id": order["id"], "dose": 1}, {})


class HotPharmacist(Pharmacist):
    """Fills the one shelf and writes off what breaks there."""

    weight = 1
    wait_time = thinking(2, 5)

    def on_start(self) -> None:
        """Signs in and keeps to the hot shelf."""
        super().on_start()
        self._hot = hot_shelf(self)

    def _choose_shelf(self) -> Row:
        return self._hot
