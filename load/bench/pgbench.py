"""pgbench as a contestant: how many fulfilments PostgreSQL does when nothing stands in front of it."""

import resource
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from load.bench.samples import Completion, Interval, length_of
from load.bench.scripts import prepared_script, simple_script
from load.bench.stand import Stand


class Pgbench:
    """pgbench with a script of scripts.py, in one thread, which is mostly idle: 0.1 ms of CPU a fulfilment."""

    guessed_per_second = 3_000.0
    master: int | None = None

    def __init__(self, stand: Stand, *, prepared: bool) -> None:
        self.name = "pgbench_prepared" if prepared else "pgbench_simple"
        self._mode = "prepared" if prepared else "simple"
        self._stand = stand
        self._script = stand.folder / f"{self.name}.sql"
        self._script.write_text(prepared_script(stand) if prepared else simple_script(stand))

    def run(self, orders: Sequence[UUID], *, clients: int, seconds: float) -> Interval:
        """Fulfils the rows of `bench.orders` in their order. Raises RuntimeError when a client had to give up.

        A failed transaction counts as an error: pgbench would run it again only with the same order.
        """
        logs = self._stand.folder / "pgbench"
        logs.mkdir(exist_ok=True)
        url = self._stand.application_url.set(drivername="postgresql").render_as_string(hide_password=False)
        variables = {"clients": clients, "turn": 0, "now": datetime.now(UTC).isoformat()}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [
                *(self._stand.programs / "pgbench", "--no-vacuum", f"--protocol={self._mode}"),
                *(f"--file={self._script}", f"--client={clients}", f"--time={round(length_of(seconds) + 0.5)}"),
                *("--log", f"--log-prefix={logs / 'log'}"),
                *(f"--define={name}={value}" for name, value in variables.items()),
                url,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise RuntimeError(f"pgbench: {done.stderr.strip()[-2000:]}")
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Interval(list(_read(logs)), client_cpu_seconds=spent)


def _read(logs: Path) -> Iterator[Completion]:
    """The transactions in pgbench's log, which is removed."""
    lines = [line.split() for path in logs.iterdir() for line in path.read_text().splitlines()]
    for path in logs.iterdir():
        path.unlink()
    times = [int(line[4]) + int(line[5]) / 1e6 for line in lines]
    began = min(times, default=0.0)
    for line, at in zip(lines, times, strict=True):
        good = line[2].isdigit()
        yield Completion(int(line[0]), at - began, int(line[2]) / 1000 if good else 0.0, int(good), int(not good))
