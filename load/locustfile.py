"""Load tests: nurses, pharmacists and doctors of one hospital at work, then the proof that stock and orders agree.

From the top of the repository:

    locust -f load/locustfile.py --headless -u 50 -r 10 -t 60s --host http://127.0.0.1:8000

Works with the web interface and with `--processes` or `--master` and `--worker` alike. Refusals that a ward meets every
day are counted by their code and are no failures; a wrong body, a replay that differs, any 5xx but a proper `busy` are.
A run ends with the summary and `valmed verify`; the exit status is 0 only when there was no failure, something was
answered, and the verification passed. Settings: load/scenarios/settings.py.

Decision: the people pause between actions as people do, so that a number of users is a number of people at screens.
Because a closed loop without pauses measures the client. Cost: a hundred users are some fifteen requests a second;
VALMED_LOAD_THINK=0.1 makes them ten times as hurried.
"""

import logging
from collections.abc import Callable
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment
from locust.event import EventHook
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner, WorkerRunner

from load.scenarios.doctor import Doctor
from load.scenarios.nurse import Nurse
from load.scenarios.outcomes import OUTCOMES, problems_of, summary_of
from load.scenarios.pharmacist import Pharmacist
from load.scenarios.verification import verify

__all__ = ["Doctor", "Nurse", "Pharmacist"]

console = logging.getLogger("locust.stats_logger")  # where Locust prints its own tables


class Conclusions:
    """What every test of this process came to: the text to print and whether all passed."""

    def __init__(self) -> None:
        self.passed: bool | None = None
        self.text = ""
        self.at_work: gevent.Greenlet | None = None

    def draw(self, environment: Environment) -> None:
        """Sums the test up and verifies the database."""
        verdict = verify()
        problems = problems_of(environment) + [verdict.problem] * bool(verdict.problem)
        result = "FAILED: " + "; ".join(problems) if problems else "passed"
        result += "" if verdict.verified else ", stock and orders not verified"
        self.text = f"\n{verdict.text}\n\n{summary_of(environment)}\n\nload test {result}\n"
        self.passed = self.passed is not False and not problems

    def draw_and_show(self, environment: Environment) -> None:
        """The same in the web interface, where one test may follow another."""
        if isinstance(environment.runner, MasterRunner):
            gevent.sleep(WORKER_REPORT_INTERVAL + 1)  # the workers' last reports
        self.draw(environment)
        self.show()

    def show(self, **_: Any) -> None:
        """Prints what is not printed yet."""
        if self.text:
            console.info(self.text)
            self.text = ""


CONCLUSIONS = Conclusions()


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, **_: Any) -> None:
    """Connects the counts of workers and master, and has every test concluded once, where the results come together."""
    happens = environment.events
    listeners: list[tuple[EventHook, Callable[..., None]]] = [(happens.test_start, OUTCOMES.clear)]
    if isinstance(environment.runner, WorkerRunner):
        listeners.append((happens.report_to_master, OUTCOMES.hand_over))
    else:
        listeners.append((happens.worker_report, OUTCOMES.take_over))
        listeners.append((happens.test_stop, conclude_test))
        listeners.append((happens.quitting, conclude_run))
        listeners.append((happens.quit, CONCLUSIONS.show))
    for hook, listener in listeners:
        hook.add_listener(listener)  # type: ignore[no-untyped-call]


def conclude_test(environment: Environment, **_: Any) -> None:
    """The end of one test in the web interface; a headless run has only one and is concluded when it quits."""
    if environment.web_ui is not None:
        CONCLUSIONS.at_work = gevent.spawn(CONCLUSIONS.draw_and_show, environment)


def conclude_run(environment: Environment, **_: Any) -> None:
    """The end of the run: waits for its last requests and results, then decides on the exit status."""
    assert environment.runner is not None
    environment.runner.quit()
    if environment.web_ui is None:
        CONCLUSIONS.draw(environment)
    elif CONCLUSIONS.at_work is not None:
        CONCLUSIONS.at_work.join()
    if CONCLUSIONS.passed is not None:
        environment.process_exit_code = int(not CONCLUSIONS.passed)
