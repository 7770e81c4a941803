"""Whoever sets somebody's wards sets all of them, also where another does so at the same time."""

import pytest
from flask import Flask

from tests.concurrency.threads import together
from tests.hospital import Hospital, sign_in


@pytest.mark.concurrency
def test_of_two_who_set_the_wards_of_a_nurse_at_once_one_has_the_last_word(app: Flask, hospital: Hospital) -> None:
    """Else she would keep the ward that each of them took from her."""
    admin = sign_in(app, hospital, "admin")
    path = f"/users/{hospital.nurse.user_id}"
    for _ in range(6):
        assert admin.patch(path, {"ward_ids": []}).status_code == 200
        wanted = [[str(hospital.add_ward())] for _ in range(3)]
        answers = together(
            *(lambda ward_ids=ward_ids: admin.patch(path, {"ward_ids": ward_ids}) for ward_ids in wanted)
        )
        assert [answer.status_code for answer in answers] == [200] * 3
        found = hospital.rows("SELECT ward_id::text FROM ward_memberships WHERE user_id = :p1", hospital.nurse.user_id)
        assert [ward_id for (ward_id,) in found] in wanted
