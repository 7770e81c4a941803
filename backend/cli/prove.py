"""`valmed prove`: the proof that anyone can run."""

import sys
from pathlib import Path

import click
import orjson

from backend.cli.places import ensure_writable
from backend.operations.embedded.ending import end_once
from backend.operations.proving import Plan, prove, standing
from backend.operations.proving.record import FORM
from backend.operations.proving.stand import AHEAD_SECONDS, private_postgresql, temporary_folder

CLIENTS, NODES, NODES_MAX = 32, 2, 3
FAULTS_MAX, FAULT_SECONDS = 200, 1.5


@click.command("prove", epilog=FORM)
@click.option("--seconds", type=click.IntRange(1, 86_400), default=60, show_default=True, help="How long clients work.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the operations and the faults.")
@click.option(
    "--faults",
    type=click.IntRange(0, 100_000),
    help=f"How often something breaks, spread over the time. [default: {FAULTS_MAX}, but not above 2 in 3 s]",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, NODES_MAX),
    default=NODES,
    show_default=True,
    help=f"Servers on the one database; of several the clock of the last is {AHEAD_SECONDS:.0f} s ahead.",
)
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here as well.")
@click.option(
    "--history",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write here what every client did and heard, in the form below.",
)
def prove_command(
    seconds: int, seed: int, faults: int | None, nodes: int, file: Path | None, history: Path | None
) -> None:
    """Prove that no fault loses, doubles or invents a change; exit 0 proven, 1 broken.

    A private PostgreSQL, nodes of the application and 32 clients over HTTP work in two made-up hospitals, while workers
    and database backends are killed, PostgreSQL crashes and recovers, connections stall and break around COMMIT, and
    clients hang up and ask again. Then everything that any client was told, and what physically lay in the cupboards,
    is held against the database. The seed draws what is done and what breaks; timing is the machine's, so no two runs
    are the same.
    """
    for wanted in filter(None, (file, history)):
        ensure_writable(wanted)
    end_once()  # so that what was started is stopped and removed
    with temporary_folder() as folder, private_postgresql(folder) as server:
        count = min(FAULTS_MAX, round(seconds / FAULT_SECONDS)) if faults is None else faults
        click.echo(f"seed {seed}: {seconds} s, {nodes} nodes, {CLIENTS} clients, {count} faults, in {folder}")
        with standing(server, folder, clients=CLIENTS, nodes=nodes) as stand:
            report = prove(stand, Plan(seconds, seed, faults=count), lambda line: click.echo(f"  {line}"), file=history)
        click.echo()
        for line in report.lines():
            click.echo(line)
        if file is not None:
            file.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
        if not report.verdict.proven:
            click.echo(f"The database and the logs stay in {folder}.")
            sys.exit(1)
