"""`valmed verify` after a run: the load proves nothing unless stock and orders still agree."""

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from load.scenarios.settings import SETTINGS

SECONDS_MAX = 1_800
NO_COMMAND = "none"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the command printed and why the run does not count as passed; no problem where it does."""

    text: str
    problem: str = ""
    verified: bool = True


def command() -> list[str]:
    """The command to run: VALMED_LOAD_VERIFY, else the `valmed verify` that is installed beside this Python."""
    given = shlex.split(SETTINGS.verify)
    return given or [str(Path(sys.executable).with_name("valmed")), "verify"]


def verify() -> Verdict:
    """Runs the command on the database that it finds by itself: VALMED_DATABASE_URL, else the demo's."""
    if SETTINGS.verify.strip().lower() == NO_COMMAND:
        return Verdict("VALMED_LOAD_VERIFY=none: run `valmed verify` on the server's database", verified=False)
    arguments = command()
    line = shlex.join(arguments)
    try:
        ended = subprocess.run(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS_MAX, check=False
        )
    except FileNotFoundError:
        return Verdict(f"$ {line}", "there is no such command; VALMED_LOAD_VERIFY names another, or `none`")
    except subprocess.TimeoutExpired:
        return Verdict(f"$ {line}", f"the verification took more than {SECONDS_MAX} s")
    problem = f"`{line}` ended with {ended.returncode}" if ended.returncode else ""
    return Verdict(f"$ {line}\n{ended.stdout.rstrip()}", problem)
