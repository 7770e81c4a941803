"""What a run looks like while it runs: every few seconds Locust's own figures and the server's /metrics."""

import time
from typing import Any

import gevent  # type: ignore[import-untyped]
import requests
from locust.env import Environment

from load.scenarios.outcomes import OUTCOMES
from load.scenarios.samples import Sample, Server, read_server

SECONDS_MIN, SAMPLES_WANTED = 1.0, 300
METRICS_SECONDS_MAX = 5.0


class Sampler:
    """Takes samples from the start of a test to its end, on the process where the results come together."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._greenlet: gevent.Greenlet | None = None

    def start(self, environment: Environment, **_: Any) -> None:
        """Forgets the last test and begins."""
        self.stop()
        self.samples = []
        self._greenlet = gevent.spawn(self._run, environment)

    def stop(self, **_: Any) -> None:
        """Takes no more samples."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def _run(self, environment: Environment) -> None:
        session = requests.Session()
        session.trust_env = False
        started = time.monotonic()
        while True:
            spent = time.monotonic() - started
            gevent.sleep(max(SECONDS_MIN, spent / SAMPLES_WANTED))
            self.samples.append(self._sample(environment, session, time.monotonic() - started))

    def _sample(self, environment: Environment, session: requests.Session, seconds: float) -> Sample:
        total = environment.stats.total
        before = self.samples[-1] if self.samples else None
        elapsed = seconds - (before.seconds if before else 0.0)
        asked = total.num_requests - (before.requests if before else 0)
        return Sample(
            seconds=round(seconds, 2),
            users=environment.runner.user_count if environment.runner else 0,
            requests=total.num_requests,
            requests_per_second=round(max(0, asked) / elapsed, 2),
            p50_ms=float(total.get_current_response_time_percentile(0.5) or 0),
            p95_ms=float(total.get_current_response_time_percentile(0.95) or 0),
            failures=total.num_failures,
            busy=OUTCOMES.count("busy"),
            server=_ask(session, environment.host or ""),
            refusals=OUTCOMES.refusals(),
        )


def _ask(session: requests.Session, host: str) -> Server | None:
    try:
        answer = session.get(f"{host}/metrics", timeout=METRICS_SECONDS_MAX)
    except requests.RequestException:
        return None
    return read_server(answer.text) if answer.ok else None


SAMPLER = Sampler()
