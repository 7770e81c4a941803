"""Commands that end well."""

from collections.abc import Callable

import pytest

from backend.config import Config
from tests.cli.running import Loaded


@pytest.fixture(scope="package")
def succeed(valmed: Loaded) -> Callable[..., str]:
    """Runs `valmed` on the database of a configuration and says what it printed; it ends well, without a complaint."""

    def run(config: Config, *arguments: str) -> str:
        done = valmed(*arguments, database_url=config.database_url)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run
