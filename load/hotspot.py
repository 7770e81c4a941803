"""Everybody on one drug of one ward, for 2 minutes or -t.

locust -f load/hotspot.py --headless -u 40 -t 1m --host http://127.0.0.1:8000
"""

from load.scenarios import conclusion  # noqa: F401 - connects the end of a run
from load.scenarios.hotspot import HotDoctor, HotNurse, HotPharmacist
from load.scenarios.shapes import Lasting

__all__ = ["HotDoctor", "HotNurse", "HotPharmacist", "Hotspot"]


class Hotspot(Lasting):
    """As many people as there are, all the time."""

    seconds = 120.0
