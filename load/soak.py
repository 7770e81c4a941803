"""The usual day under a steady load for 20 minutes, or -t; memory and connections of the server must stay flat.

locust -f load/soak.py --headless -u 40 --report-folder report --host http://127.0.0.1:8000

The bound stands in load/scenarios/flatness.py; what is measured is the /metrics of the host.
"""

from load.scenarios import conclusion  # noqa: F401 - connects the end of a run
from load.scenarios.doctor import Doctor
from load.scenarios.nurse import Nurse
from load.scenarios.pharmacist import Pharmacist
from load.scenarios.shapes import Lasting

__all__ = ["Doctor", "Nurse", "Pharmacist", "Soak"]


class Soak(Lasting):
    """As many people as there are, all the time."""

    seconds = 1_200.0
    must_be_flat = True
