"""The exposition of the metrics, over all workers where PROMETHEUS_MULTIPROC_DIR names their common folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

PROC = Path("/proc")


def exposition() -> tuple[bytes, str]:
    """The metrics and their content type."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(WorkersMemory(os.getppid()))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class WorkersMemory(Collector):
    """The memory of each child of `master`; nothing where the system does not tell.

    Read when asked, by whichever worker answers: a gauge that each worker kept of itself would cost every request.
    """

    def __init__(self, master: int) -> None:
        self._master = master

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge with a value for each worker that lives."""
        family = GaugeMetricFamily(
            "valmed_worker_resident_bytes", "Memory of a worker, shared pages included.", labels=["pid"]
        )
        for pid in self._children():
            try:
                pages = int((PROC / pid / "statm").read_text().split()[1])
            except (OSError, IndexError):  # it has gone since
                continue
            family.add_metric([pid], pages * os.sysconf("SC_PAGE_SIZE"))
        yield family

    def _children(self) -> list[str]:
        try:
            return (PROC / str(self._master) / "task" / str(self._master) / "children").read_text().split()
        except OSError:
            return []
