"""The `valmed` command as a person runs it: another process, a clean environment, a closed standard input."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from backend.cli import main; main()"]


def clean_environment(**settings: str) -> dict[str, str]:
    """Ours without any setting of ValMed but `settings`, given without their prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VALMED_", "PG"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **{f"VALMED_{name.upper()}": value for name, value in settings.items()}}


def valmed(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What `valmed arguments` said, and how it ended."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=clean_environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
