"""A day from 06 to 24 compressed into the run (3 minutes, or -t): rounds, STAT orders, a delivery, a recall.

locust -f load/shift.py --headless -u 60 -t 5m --report-folder report --host http://127.0.0.1:8000
"""

from typing import ClassVar

from locust import User

from load.scenarios import conclusion  # noqa: F401 - connects the end of a run
from load.scenarios.doctor import Doctor
from load.scenarios.nurse import Nurse
from load.scenarios.occasions import Delivery, Recall, RoundNurse
from load.scenarios.pharmacist import Pharmacist
from load.scenarios.shapes import Day

__all__ = ["Delivery", "Doctor", "Nurse", "Pharmacist", "Recall", "RoundNurse", "Shift"]


class Shift(Day):
    """The timetable's day."""

    staff_usual: ClassVar[list[type[User]]] = [Nurse, Pharmacist, Doctor]
    staff_of: ClassVar[dict[str, type[User]]] = {"round": RoundNurse, "delivery": Delivery, "recall": Recall}
