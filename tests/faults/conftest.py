"""A PostgreSQL that may be killed, and a folder for what is left."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.operations.embedded import Server
from tests.conftest import FAST


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the database's own user may enter."""
    place = Path(tempfile.mkdtemp(prefix="valmed-faults-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    """A PostgreSQL of these tests' own: they kill it."""
    place = Path(tempfile.mkdtemp(prefix="valmed-faults-server-"))
    place.chmod(0o755)
    made = Server(place, settings=FAST)
    made.start()
    yield made
    made.destroy()
    shutil.rmtree(place, ignore_errors=True)
