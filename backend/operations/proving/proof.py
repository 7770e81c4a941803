"""The proof: clients at work, a saboteur among them, then rest, then the checker."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from backend.operations.proving import application, record
from backend.operations.proving.acts import ACTS, Act
from backend.operations.proving.board import Board
from backend.operations.proving.checker import check
from backend.operations.proving.checks import clocks
from backend.operations.proving.checks.cupboards import note_arrivals
from backend.operations.proving.clients import SETTLE_SECONDS_MAX, Client, Desk, ask, settle
from backend.operations.proving.faults import BACKENDS, KINDS, Kind, Saboteur
from backend.operations.proving.history import History
from backend.operations.proving.report import Report, summarise
from backend.operations.proving.stand import Stand
from backend.operations.proving.stand import ask as ask_database
from backend.operations.proving.surroundings import surroundings

PROGRESS_SECONDS = 10.0
ASKED_AT_THE_END = "answered, asked for again of a new application"
REST_SECONDS_MAX, POLL_SECONDS = 60.0, 0.1


@dataclass(frozen=True)
class Plan:
    """How long, with which chance, and how hard."""

    seconds: float
    seed: int
    faults: int = 0  # how often the saboteur strikes; some strikes hit several times, a few nothing
    kinds: tuple[Kind, ...] = KINDS
    acts: tuple[Act, ...] = ACTS
    asks_again: bool = True  # whether what is uncertain at the end is asked of a new application
    replays: int = 500  # acknowledged operations that are asked of it once more


class NoRest(RuntimeError):
    """Connections of the application did not end: nothing can be said of a database that still changes."""


def prove(
    stand: Stand, plan: Plan, say: Callable[[str], None] = lambda line: None, *, file: Path | None = None
) -> Report:
    """What came of `plan` on a fresh stand. `say` gets a line now and then, `file` the history (record.py).

    Raises NoRest, NotStarted, OSError.
    """
    history, tricks = History(), list[str]()
    boards = {hospital.slug: Board(hospital, history.now, stand.proxy.arrivals.any_of) for hospital in stand.hospitals}
    desk = Desk([node.port for node in stand.nodes], history, boards, tricks)
    saboteur = Saboteur(stand, history, seed=plan.seed, seconds=plan.seconds, count=plan.faults, kinds=plan.kinds)
    _work(stand, desk, saboteur, plan, say)
    tried_again, unaware = application.retries(stand.nodes), list(clocks.unaware(stand.nodes))
    say("at rest: stopping the application")
    _rest(stand)
    if plan.asks_again:
        say("starting it again, asking for everything that is not certain")
        application.start(stand.nodes)
        _settle(desk, plan)
        application.stop(stand.nodes)
    note_arrivals(history, stand)
    if file is not None:
        record.write(file, history, saboteur.faults, stand, seed=plan.seed)
    say("checking")
    verdict = check(history, stand, saboteur.downtimes, unaware)
    return summarise(
        history,
        saboteur.faults,
        tricks,
        verdict,
        seed=plan.seed,
        seconds=plan.seconds,
        hospitals=len(stand.hospitals),
        clients=len(stand.people),
        tried_again=tried_again,
        surroundings=surroundings(stand),
    )


def _work(stand: Stand, desk: Desk, saboteur: Saboteur, plan: Plan, say: Callable[[str], None]) -> None:
    """For the plan's seconds; then the faults end first, and every client until it has its last answer."""
    closing, calm = threading.Event(), threading.Event()
    clients = []
    for person in stand.people:
        acts = [act for act in plan.acts if act.role is person.actor.role]
        clients += [Client(person, acts, plan.seed, desk, closing)] if acts else []
    with ThreadPoolExecutor(len(clients) + 1) as pool:
        try:
            sabotage = pool.submit(saboteur.work, calm)
            at_work = [pool.submit(client.run) for client in clients]
            while (left := plan.seconds - desk.history.now()) > 0:
                time.sleep(min(left, PROGRESS_SECONDS))
                say(_progress(desk, saboteur))
            calm.set()
            sabotage.result()
        finally:
            calm.set()
            closing.set()
        for work in at_work:
            work.result()


def _progress(desk: Desk, saboteur: Saboteur) -> str:
    history = desk.history
    return (
        f"{history.now():6.0f} s  {history.acknowledged:,} of {history.concluded:,} acknowledged,"
        f" {len(saboteur.faults):,} faults"
    )


def _rest(stand: Stand) -> None:
    """Ends whatever is under way, also what no client waits for any more."""
    application.stop(stand.nodes)
    ends = time.monotonic() + REST_SECONDS_MAX
    while ask_database(stand.superuser_url, BACKENDS):
        if time.monotonic() > ends:
            raise NoRest(f"connections of the application are still open after {REST_SECONDS_MAX:.0f} s")
        time.sleep(POLL_SECONDS)


def _settle(desk: Desk, plan: Plan) -> None:
    """Asks once more, with the same key: all that may be there or not, and some of what is.

    A refusal is the last word only now: before, an attempt without an answer might still have come after it.
    """
    acknowledged, ends = [], desk.history.now() + SETTLE_SECONDS_MAX
    for operation in desk.history.changes:
        if operation.acknowledged is not None:
            acknowledged.append(operation)
        elif operation.uncertain:
            ask(operation, desk)
            settle(operation, desk, ends=ends)
    chance = Random(f"{plan.seed}/replays")
    for operation in chance.sample(acknowledged, min(plan.replays, len(acknowledged))):
        desk.tricks.append(ASKED_AT_THE_END)
        ask(operation, desk)
