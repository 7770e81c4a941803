"""A request that waits in a lane acts for nobody whose sign-in ended meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2.extensions
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests import day
from tests.api.valid_requests import assert_problem
from tests.hospital import Client, Hospital, sign_in
from tests.waiting import wait_until_blocked

End = Callable[[Client, Client, str], TestResponse]


def _deactivate(admin: Client, _nurse: Client, user_id: str) -> TestResponse:
    return admin.patch(f"/users/{user_id}", {"active": False})


def _change_role(admin: Client, _nurse: Client, user_id: str) -> TestResponse:
    return admin.patch(f"/users/{user_id}", {"role": "doctor"})


def _sign_out(_admin: Client, nurse: Client, _user_id: str) -> TestResponse:
    return nurse.delete("/me/tokens")


def _skip(nurse: Client, order_id: str) -> TestResponse:
    return nurse.post(f"/orders/{order_id}/skip", {"reason": "refused", "note": "nausea"})


def _fulfil(nurse: Client, order_id: str) -> TestResponse:
    return nurse.post(f"/orders/{order_id}/fulfill")


def _give_round(nurse: Client, order_id: str) -> TestResponse:
    return nurse.post("/fulfillments", {"order_ids": [order_id]})


@pytest.mark.parametrize("end", [_deactivate, _change_role, _sign_out])
@pytest.mark.parametrize("act", [_fulfil, _give_round, _skip])
def test_ended_sign_in_changes_nothing_after_its_wait(
    app: Flask,
    hospital: Hospital,
    owner: psycopg2.extensions.connection,
    act: Callable[[Client, str], TestResponse],
    end: End,
) -> None:
    hospital.receive(5)
    order_id = str(hospital.place())
    nurse, admin = sign_in(app, hospital, "nurse"), sign_in(app, hospital, "admin")
    with owner.cursor() as cursor, ThreadPoolExecutor(1) as waiting:
        cursor.execute(f"BEGIN; LOCK TABLE lanes.lane_{hospital.shelf.lane:03d} IN EXCLUSIVE MODE")
        answer = waiting.submit(act, nurse, order_id)
        wait_until_blocked(owner)
        assert end(admin, nurse, str(hospital.nurse.user_id)).status_code in {200, 204}
        before = hospital.counts()
        cursor.execute("ROLLBACK")
        assert_problem(answer.result(), 401, "not_authenticated")
    assert hospital.counts() == before
    assert hospital.on_hand() == 5


@pytest.mark.parametrize("end", [_deactivate, _change_role, _sign_out])
def test_ended_sign_in_dispatches_no_transfer_after_its_wait(
    app: Flask, hospital: Hospital, owner: psycopg2.extensions.connection, end: End
) -> None:
    """The database module itself asks the guard, of a use case that declares its lanes."""
    hospital.receive(5)
    transfer_id = day.request(hospital, hospital.ward_id, hospital.add_ward(), 2)
    pharmacist, admin = sign_in(app, hospital, "pharmacist"), sign_in(app, hospital, "admin")
    with owner.cursor() as cursor, ThreadPoolExecutor(1) as waiting:
        cursor.execute(f"BEGIN; LOCK TABLE lanes.lane_{hospital.shelf.lane:03d} IN EXCLUSIVE MODE")
        answer = waiting.submit(pharmacist.post, f"/transfers/{transfer_id}/dispatch")
        wait_until_blocked(owner)
        assert end(admin, pharmacist, str(hospital.staff["pharmacist"].user_id)).status_code in {200, 204}
        before = hospital.counts()
        cursor.execute("ROLLBACK")
        assert_problem(answer.result(), 401, "not_authenticated")
    assert hospital.counts() == before
    assert day.custody(hospital) == (5, 0)
