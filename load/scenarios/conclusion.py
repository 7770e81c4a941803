"""How every run ends: what came of it, `valmed verify`, the report, and the exit status.

A scenario imports this module; that connects it to Locust's events.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import EventHook
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner, WorkerRunner

from load.scenarios import report
from load.scenarios.flatness import flatness
from load.scenarios.outcomes import OUTCOMES, problems_of, summary_of
from load.scenarios.sampling import SAMPLER
from load.scenarios.verification import verify

console = logging.getLogger("locust.stats_logger")  # where Locust prints its own tables


class Conclusions:
    """What every test of this process came to: the text to print and whether all passed."""

    def __init__(self) -> None:
        self.passed: bool | None = None
        self.text = ""
        self.at_work: gevent.Greenlet | None = None

    def draw(self, environment: Environment) -> None:
        """Sums the test up and verifies the database."""
        SAMPLER.stop()
        verdict = verify()
        problems = problems_of(environment) + [verdict.problem] * bool(verdict.problem)
        summary = summary_of(environment)
        if getattr(environment.shape_class, "must_be_flat", False):
            judged = flatness(SAMPLER.samples)
            problems += [f"{each.name} not flat" for each in judged if not each.flat]
            summary += "".join(f"\n{each.text}" for each in judged)
        written = ""
        try:
            written = _report(environment, f"{verdict.text}\n\n{summary}", problems)
        except OSError as error:
            problems.append(f"the report could not be written: {error}")
        result = "FAILED: " + "; ".join(problems) if problems else "passed"
        result += "" if verdict.verified else ", stock and orders not verified"
        self.text = f"\n{verdict.text}\n\n{summary}\n\nload test {result}\n{written}"
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


def _report(environment: Environment, summary: str, problems: list[str]) -> str:
    """Writes the report where a folder was named; the line that says where it is."""
    folder = environment.parsed_options.report_folder if environment.parsed_options else ""
    if not folder:
        return ""
    scenario = type(environment.shape_class).__name__ if environment.shape_class else "Day"
    started_at = datetime.fromtimestamp(environment.stats.total.start_time, UTC).isoformat(timespec="seconds")
    run = report.Run(scenario, environment.host or "", started_at, SAMPLER.samples, summary, problems)
    return f"report: {', '.join(map(str, report.write(run, Path(folder))))}\n"


CONCLUSIONS = Conclusions()


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: LocustArgumentParser) -> None:
    """Where the report goes."""
    parser.add_argument(
        "--report-folder", default="", metavar="FOLDER", help="Write run.json and run.html with charts into FOLDER"
    )


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Environment, **_: Any) -> None:
    """Connects the counts of workers and master, and has every test concluded once, where the results come together."""
    happens = environment.events
    listeners: list[tuple[EventHook, Callable[..., None]]] = [(happens.test_start, OUTCOMES.clear)]
    if isinstance(environment.runner, WorkerRunner):
        listeners.append((happens.report_to_master, OUTCOMES.hand_over))
    else:
        listeners.append((happens.worker_report, OUTCOMES.take_over))
        listeners.append((happens.test_start, SAMPLER.start))
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
