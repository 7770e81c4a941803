"""What happens at certain hours of a shift: a medication round, the day's delivery, a recall."""

import random

from locust import task
from locust.exception import StopUser

from load.scenarios.answers import Answer, Question, expect
from load.scenarios.nurse import Nurse
from load.scenarios.outcomes import OUTCOMES
from load.scenarios.person import new_key, ponder, thinking
from load.scenarios.pharmacist import Pharmacist


class RoundNurse(Nurse):
    """A nurse on her medication round: patient after patient, everything else now and then."""

    wait_time = thinking(1, 4)

    @task(30)
    def on_the_round(self) -> None:
        """Several patients in one request, or one dose."""
        if random.random() < 0.5:
            self.go_round()
        else:
            self.give_dose()


class Delivery(Pharmacist):
    """The pharmacist who unpacks the delivery: box after box."""

    wait_time = thinking(1, 3)

    @task(40)
    def unpack(self) -> None:
        """One box."""
        self.receive_lot()


class Recall(Pharmacist):
    """The one pharmacist who recalls a lot in the middle of everything, and then looks for doses it missed."""

    def on_start(self) -> None:
        """Signs in, recalls a lot, watches it, and is done."""
        super().on_start()
        answer = self.ask(Question("GET", "/lots?status=available&limit=200", name="/lots"), patient=True)
        lots = answer.body["items"] if answer.done else []
        if lots:
            self._recall(random.choice(lots)["id"])
        raise StopUser()

    def _recall(self, lot_id: str) -> None:
        path = f"/lots/{lot_id}/recall"
        body = {"reason": "Load test: particles found"}

        def is_recalled(answer: Answer) -> None:
            expect(answer.body["status"] == "recalled", "a lot that was not recalled")

        refusals = frozenset({"lot_status_conflict"})
        question = Question(
            "POST", path, name="/lots/{id}/recall", json=body, refusals=refusals, wants={200}, check=is_recalled
        )
        recalled = self.ask(question, key=new_key())
        if not recalled.done:
            return
        OUTCOMES.add("lots recalled")
        known = {dose["administration_id"] for dose in recalled.body["doses"]}

        def misses_none(answer: Answer) -> None:
            later = {dose["administration_id"] for dose in answer.body["doses"]}
            expect(answer.body["doses_truncated"] or later <= known, "a dose of a lot after its recall")

        for _ in range(3):
            ponder(3, 6)
            self.ask(Question("GET", f"/lots/{lot_id}", name="/lots/{id}", check=misses_none))
