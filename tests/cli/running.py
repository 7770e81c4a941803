"""The `valmed` command as a person runs it: a process of its own, a clean environment, a closed standard input.

Loading the program takes most of a second, so one process loads it and forks for each command.
"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from backend.config import Config
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from backend.cli import main; main()"]
LOADED = """
import json, os, sys, traceback
import backend.cli

for line in sys.stdin:
    task = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, (name, mode) in enumerate(((os.devnull, os.O_RDONLY), (task["out"], os.O_WRONLY | os.O_CREAT),
                                               (task["err"], os.O_WRONLY | os.O_CREAT))):
            os.dup2(os.open(name, mode, 0o600), number)
        os.environ.clear()
        os.environ.update(task["environment"])
        sys.argv[1:] = task["arguments"]
        status = 70
        try:
            backend.cli.main()
            status = 0
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Loaded:
    """The loaded program, which runs one command after another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", LOADED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """What `valmed arguments` said with these settings (named without VALMED_), and how it ended."""
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        task: dict[str, Any] = {"arguments": arguments, "environment": clean_environment(**settings)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({**task, "out": str(out), "err": str(err)}) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, out.read_text(), err.read_text())

    def end(self) -> None:
        """The program ends with its input."""
        self._process.communicate(timeout=PATIENCE_SECONDS)


def clean_environment(**settings: str) -> dict[str, str]:
    """Ours without any setting of ValMed but `settings`, given without their prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VALMED_", "PG"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **{f"VALMED_{name.upper()}": value for name, value in settings.items()}}


def settings_of(config: Config) -> dict[str, str]:
    """The settings, named without VALMED_, with which a program of its own works on the database of `config` as the
    application of the tests does: as patient, and with its limits.

    Failed sign-ins are counted in the database, so a program with stricter limits would refuse a right password after
    the failures of other tests. What a program logs is for its test to read: `log_level` stays the product's own.
    """
    values = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "log_level"}
    return {name: str(value) for name, value in values.items() if value != getattr(Config(), name)}


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
