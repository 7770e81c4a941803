"""Runs do not race: they wait for each other, see what the one before committed, and leave all or nothing."""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from backend.db import Database, Session
from backend.db.provision import application_url
from backend.domain.claims import runs
from backend.domain.claims.drift import Parameters
from backend.domain.claims.runs import ABANDONED, fail, lock_hospital, start, write_events
from backend.errors import Busy
from backend.observability import DRIFT_RUNS
from tests.concurrency.threads import together
from tests.domain.claims.filing import AS_OF, an_event, claims, drift, events_of, file_claims, run, states
from tests.hospital import Hospital, now, open_hospital
from tests.waiting import PATIENCE_SECONDS, wait_until_blocked

BEFORE, LATELY = 50, 7
EVENTS = text("SELECT count(*) FROM drift_events")
pytestmark = pytest.mark.concurrency


@pytest.fixture
def drifting(hospital: Hospital) -> Hospital:
    """A hospital whose next run finds one event."""
    file_claims(hospital, claims(50, ago=BEFORE), claims(50, ago=LATELY, denied=50))
    return hospital


@contextmanager
def computing(hospital: Hospital) -> Iterator[Callable[[], None]]:
    """A run that has locked the hospital and written its events and not committed; it does when it is told, or at the
    end."""
    written, told, mine = threading.Event(), threading.Event(), threading.local()

    def write_and_wait(session: Session, **values: Any) -> None:
        write_events(session, **values)
        if hasattr(mine, "first"):
            written.set()
            assert told.wait(PATIENCE_SECONDS)

    def first() -> UUID:
        mine.first = True
        return run(hospital)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(runs, "write_events", write_and_wait)
        running = pool.submit(first)
        assert written.wait(PATIENCE_SECONDS)
        try:
            yield told.set
        finally:
            told.set()
            running.result(timeout=PATIENCE_SECONDS)


def second(pool: ThreadPoolExecutor, hospital: Hospital) -> "Future[int]":
    """Another connection that locks the hospital as a run does: how many events it then sees."""

    def work(session: Session) -> int:
        lock_hospital(session, organization_id=hospital.organization_id)
        return int(session.execute(EVENTS).scalar_one())

    return pool.submit(hospital.database.transact, work, actor=hospital.operator, report=True)


def test_the_second_run_waits_and_sees_what_the_first_committed(drifting: Hospital, owner: Any) -> None:
    with ThreadPoolExecutor(1) as pool, computing(drifting) as commit:
        waiting = second(pool, drifting)
        wait_until_blocked(owner)
        assert not waiting.done()
        commit()
        assert waiting.result(timeout=PATIENCE_SECONDS) == 1


def test_a_run_that_forgets_its_lane_is_still_held_by_the_row(drifting: Hospital, owner: Any) -> None:
    """The row alone lets it wait as well, but go on with a snapshot from before: why there is a lane."""
    row = text("SELECT id FROM organizations WHERE id = :id FOR NO KEY UPDATE").bindparams(id=drifting.organization_id)

    def work(session: Session) -> int:
        session.execute(row)
        return int(session.execute(EVENTS).scalar_one())

    with ThreadPoolExecutor(1) as pool, computing(drifting) as commit:
        waiting = pool.submit(drifting.database.transact, work, actor=drifting.operator, report=True)
        wait_until_blocked(owner)
        assert not waiting.done()
        commit()
        assert waiting.result(timeout=PATIENCE_SECONDS) == 0


def test_another_hospital_and_the_wards_do_not_wait(drifting: Hospital) -> None:
    other = open_hospital(drifting.database)
    while runs.report_lane_of(other.organization_id) == runs.report_lane_of(drifting.organization_id):
        other = open_hospital(drifting.database)
    drifting.receive(5)
    order_id = drifting.place()
    with computing(drifting):
        assert drifting.fulfil(order_id).status == 200
        drifting.add_ward()
        file_claims(drifting, claims(1, ago=1))
        assert states(drifting)[0][0] == "running"
        run(other)
        assert states(other)[0][0] == "success"


def test_eight_runs_at_once_all_succeed(drifting: Hospital) -> None:
    made = together(*[lambda: run(drifting)] * 8)
    assert len(set(made)) == 8
    assert states(drifting) == [("success", 1, 1, None, 1)] * 8


def test_one_run_asked_for_eight_times_at_once_is_one_run(drifting: Hospital) -> None:
    made = together(*[lambda: run(drifting, "the same")] * 8)
    assert len(set(made)) == 1
    assert states(drifting) == [("success", 1, 1, None, 1)]


def test_a_run_that_waits_too_long_has_failed_and_says_busy(drifting: Hospital) -> None:
    hasty = replace(drifting.database.config, report_timeout_ms=300)
    other = Database(replace(hasty, pool_size=2), application_url(hasty))
    with computing(drifting), pytest.raises(Busy):
        run(replace(drifting, database=other))
    other.engine.dispose()
    assert [state[0] for state in states(drifting)] == ["success", "failed"]
    assert states(drifting)[1] == ("failed", None, None, "busy", 0)


def test_a_signal_that_is_written_again_is_left_as_it_is(drifting: Hospital) -> None:
    run_id = run(drifting)
    before = drifting.rows("SELECT * FROM drift_events")
    again = [an_event(), an_event("Cigna"), an_event("Cigna", severity=0.1), an_event(drift_type="DECISION_TIME")]
    at = {"organization_id": drifting.organization_id, "run_id": run_id}
    drifting.run(lambda session: write_events(session, events=again, **at))
    found = {(event.payer, str(event.drift_type)): event.severity for event in events_of(drifting, run_id)}
    assert found == {("Aetna", "DENIAL_RATE"): 1.0, ("Cigna", "DENIAL_RATE"): 0.5, ("Aetna", "DECISION_TIME"): 0.5}
    assert set(before) <= set(drifting.rows("SELECT * FROM drift_events"))


@pytest.mark.parametrize("error", [RuntimeError("a bug"), Busy("later")])
def test_a_run_that_fails_leaves_no_event_and_says_so(
    drifting: Hospital, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It fails after its events were written: they are gone, its failure is not."""
    finish = runs._finish

    def fail_at_the_end(session: Session, **values: Any) -> None:
        if values["status"] == "success":
            assert session.execute(EVENTS).scalar_one() == 1
            raise error
        finish(session, **values)

    def counted() -> float:
        (family,) = DRIFT_RUNS.collect()
        return sum(s.value for s in family.samples if s.name.endswith("_total") and s.labels["outcome"] == "failed")

    before = counted()
    monkeypatch.setattr(runs, "_finish", fail_at_the_end)
    with pytest.raises(type(error)):
        run(drifting, "again")
    failure = "busy" if isinstance(error, Busy) else "internal_error"
    assert counted() - before == 1
    assert states(drifting) == [("failed", None, None, failure, 0)]
    monkeypatch.undo()
    run(drifting, "again")
    assert states(drifting) == [("success", 1, 1, None, 1)], "asked for again, the same run succeeds"


def test_a_statement_that_takes_too_long_fails_the_run(drifting: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(drifting.database.config, report_timeout_ms=200)
    hasty = Database(replace(config, pool_size=2), application_url(config))
    monkeypatch.setattr(runs, "read_groups", lambda session, **_: session.execute(text("SELECT pg_sleep(5)")))
    with pytest.raises(Busy):
        run(replace(drifting, database=hasty))
    hasty.engine.dispose()
    assert states(drifting) == [("failed", None, None, "busy", 0)]


def test_a_repeat_of_a_run_that_succeeded_is_left_as_it_is(drifting: Hospital) -> None:
    run_id = run(drifting, "one")
    before = states(drifting), events_of(drifting, run_id)
    file_claims(drifting, claims(50, ago=BEFORE, payer="Cigna"), claims(50, ago=LATELY, denied=50, payer="Cigna"))
    assert run(drifting, "one") == run_id
    at = {"organization_id": drifting.organization_id, "run_id": run_id}
    drifting.run(lambda session: fail(session, failure="late", **at))
    assert (states(drifting), events_of(drifting, run_id)) == before
    assert len(drift(drifting)) == 2, "while a new run sees the new claims"


def test_a_run_that_was_cut_off_is_taken_up_or_said_to_be_abandoned(drifting: Hospital) -> None:
    """Its process was killed between its transactions."""

    def cut_off(asked_by: str, ago: timedelta) -> None:
        at = {"run_id": uuid.uuid5(drifting.organization_id, asked_by), "now": now() - ago}
        parameters = Parameters(as_of=AS_OF)
        drifting.run(lambda session: start(session, actor=drifting.operator, parameters=parameters, **at))

    cut_off("old", ABANDONED + timedelta(minutes=1))
    cut_off("young", timedelta(minutes=1))
    run(drifting, "third")
    assert [state[0::3] for state in states(drifting)] == [
        ("failed", "abandoned"),
        ("running", None),
        ("success", None),
    ]
    run(drifting, "young")
    run(drifting, "old")
    assert [state[0] for state in states(drifting)] == ["success"] * 3
