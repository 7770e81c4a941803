"""The clock of one node is ahead, for whoever asks Python for the time of day, and for nothing else."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.faults
ASKED = """
import time
from datetime import UTC, date, datetime, timedelta  # by name, before the clock moves, as a module of ours may have
from backend.operations.proving.ahead import set_ahead

day = timedelta(days=1)
before, started, today = datetime.now(UTC), time.monotonic(), date.today()
set_ahead(day.total_seconds())
assert day <= datetime.now(UTC) - before < day + timedelta(minutes=1)
assert day <= datetime.now().astimezone() - before < day + timedelta(minutes=1)
assert time.time() - before.timestamp() >= day.total_seconds()
assert date.today() > today
assert type(datetime.now(UTC)) is datetime
assert time.monotonic() - started < 60
"""


def test_everybody_in_the_process_is_told_the_moved_time() -> None:
    subprocess.run([sys.executable, "-c", ASKED], check=True, timeout=60)
