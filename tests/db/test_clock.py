"""The clock of a node against the database's: what differs for certain, and who is told."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask import Flask

from backend import create_app
from backend.config import Config
from backend.db import Session
from backend.db.clock import COMPARED_EVERY_SECONDS, ClockWatch
from backend.observability import CLOCK_OFFSET
from tests.hospital import Hospital


def _told(seconds: float) -> datetime:
    """The time of a database whose clock is `seconds` behind this node's."""
    return datetime.fromtimestamp(time.time() - seconds, UTC)


@pytest.mark.parametrize(("ahead", "is_off"), [(0.0, False), (0.9, False), (1.5, True), (-1.5, True), (120.0, True)])
def test_node_is_off_by_more_than_a_second(ahead: float, is_off: bool) -> None:
    watch = ClockWatch()
    watch.compare(time.time(), _told(ahead))
    assert watch.offset_seconds == pytest.approx(ahead, abs=0.5 if ahead else 0.05)
    assert watch.is_off is is_off


def test_slow_answer_is_no_difference_of_clocks() -> None:
    """The database read its clock at some moment between the question and the answer."""
    watch = ClockWatch()
    watch.compare(time.time() - 30, _told(15))
    assert watch.offset_seconds == 0


def test_clocks_are_compared_every_few_seconds_only() -> None:
    watch = ClockWatch()
    watch.compare(time.time(), _told(120))
    watch.compare(time.time(), _told(0))
    assert watch.is_off
    assert COMPARED_EVERY_SECONDS <= 15, "Prometheus asks that often"


def test_requests_tell_the_metric_and_readyz_warns(config: Config) -> None:
    app: Flask = create_app(replace(config, pool_size=1))
    clock = app.extensions["valmed"].clock
    clock.compare(time.time(), _told(-120))
    assert CLOCK_OFFSET._value.get() == pytest.approx(-120, abs=0.5)
    ready = app.test_client().get("/readyz")
    assert (ready.status_code, ready.get_json()["status"]) == (200, "ready")
    assert ready.get_json()["clock_offset_seconds"] == pytest.approx(-120, abs=0.5)
    assert "clock" in ready.get_json()["warning"]
    app.extensions["valmed"].engine.dispose()


def test_time_of_a_transaction_is_read_once_after_its_lanes(hospital: Hospital) -> None:
    def work(session: Session) -> tuple[datetime, datetime, datetime]:
        session.take_lanes([hospital.shelf.lane])
        return session.now, session.now, hospital.database.now()

    first, second, later = hospital.run(work)
    assert first == second <= later
