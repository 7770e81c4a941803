"""Overrides: a dose from an unverified order, only where the ward's list has the drug, with a reason, and reviewed."""

from uuid import UUID

import pytest

from backend.actor import Actor
from backend.db import Database
from backend.db.transaction import ConstraintViolated
from backend.domain.orders import overrides
from backend.domain.orders.errors import OrderNotVerified
from backend.domain.orders.models import OverrideStatus
from backend.domain.orders.overrides import (
    OverrideAlreadyReviewed,
    OverrideDrugListed,
    OverrideDrugNotFound,
    OverrideNotFound,
)
from tests import day
from tests.concurrency.threads import together
from tests.hospital import Hospital, now, open_hospital


@pytest.fixture
def strict(database: Database) -> Hospital:
    """A hospital that asks for verification, with stock."""
    hospital = open_hospital(database, verification_required=True)
    hospital.receive(9)
    return hospital


def _list(hospital: Hospital, ward_id: UUID | None = None) -> UUID:
    wanted = {"organization_id": hospital.organization_id, "drug_id": hospital.drug_id}
    return hospital.run(
        lambda session: overrides.list_drug(session, ward_id=ward_id or hospital.ward_id, **wanted),
        hospital.staff["pharmacist"],
    )


def _review(hospital: Hospital, override_id: UUID, verdict: OverrideStatus, actor: Actor | None = None) -> None:
    who = actor or hospital.staff["pharmacist"]
    wanted = {"override_id": override_id, "verdict": verdict, "note": "seen", "now": now()}
    hospital.run(lambda session: overrides.review(session, actor=who, **wanted), who)


def _override(hospital: Hospital) -> UUID:
    """The review that a dose with a reason opened."""
    _list(hospital)
    hospital.fulfil(hospital.place(), override_reason="anaphylaxis")
    return UUID(str(hospital.rows("SELECT id FROM order_overrides")[0][0]))


def test_a_listed_drug_is_given_with_a_reason_and_opens_a_review(strict: Hospital) -> None:
    order_id = strict.place()
    _list(strict)
    strict.fulfil(order_id, override_reason="anaphylaxis")
    assert strict.on_hand() == 8
    opened = strict.rows(
        "SELECT v.order_id, v.administration_id = a.id, v.ward_id, v.nurse_id, v.reason, v.status::text"
        " FROM order_overrides v, medication_administrations a"
    )
    assert opened == [(order_id, True, strict.ward_id, strict.nurse.user_id, "anaphylaxis", "pending")]


def test_without_a_reason_or_a_place_on_the_list_nothing_is_given(strict: Hospital) -> None:
    order_id = strict.place()
    _list(strict, strict.add_ward())  # another ward's list
    for reason in (None, "anaphylaxis"):
        with day.refused(strict, OrderNotVerified):
            strict.fulfil(order_id, override_reason=reason)
    _list(strict)
    with day.refused(strict, OrderNotVerified):
        strict.fulfil(order_id)
    assert strict.on_hand() == 9


def test_a_verified_order_opens_no_review_whatever_the_reason(strict: Hospital) -> None:
    _list(strict)
    order_id = strict.place()
    strict.change("UPDATE medication_orders SET verified_at = now(), verified_by_id = prescriber_id")
    strict.fulfil(order_id, override_reason="anaphylaxis")
    assert strict.rows("SELECT count(*) FROM order_overrides") == [(0,)]


def test_a_replayed_override_opens_one_review(strict: Hospital) -> None:
    _list(strict)
    order_id = strict.place()
    for _ in range(2):
        assert strict.fulfil(order_id, key="k", override_reason="anaphylaxis").status == 200
    assert strict.rows("SELECT count(*) FROM order_overrides") == [(1,)]


@pytest.mark.parametrize("verdict", [OverrideStatus.APPROPRIATE, OverrideStatus.INAPPROPRIATE])
def test_an_override_is_reviewed_once(strict: Hospital, verdict: OverrideStatus) -> None:
    override_id = _override(strict)
    _review(strict, override_id, verdict)
    assert strict.rows("SELECT status::text, reviewed_by_id, review_note FROM order_overrides") == [
        (verdict.value, strict.staff["pharmacist"].user_id, "seen")
    ]
    with day.refused(strict, OverrideAlreadyReviewed) as refusal:
        _review(strict, override_id, OverrideStatus.APPROPRIATE)
    assert refusal.value.members == {"verdict": verdict.value}
    with day.refused(strict, OverrideNotFound):
        _review(strict, strict.patient_id, verdict)


@pytest.mark.concurrency
def test_of_two_reviews_at_once_one_stands(strict: Hospital) -> None:
    override_id = _override(strict)
    verdicts = (OverrideStatus.APPROPRIATE, OverrideStatus.INAPPROPRIATE)
    got = together(*(day.outcome_of(lambda one=one: _review(strict, override_id, one)) for one in verdicts))
    assert sorted(got) == ["OverrideAlreadyReviewed", "done"]


def test_the_list_has_a_drug_once_and_loses_it(strict: Hospital) -> None:
    entry_id = _list(strict)
    with day.refused(strict, OverrideDrugListed):
        _list(strict)
    wanted = {"organization_id": strict.organization_id, "entry_id": entry_id}
    strict.run(lambda session: overrides.unlist_drug(session, **wanted))
    with day.refused(strict, OverrideDrugNotFound):
        strict.run(lambda session: overrides.unlist_drug(session, **wanted))
    order_id = strict.place()
    with day.refused(strict, OrderNotVerified):
        strict.fulfil(order_id, override_reason="anaphylaxis")


def test_the_database_refuses_a_nurse_who_reviews_herself(strict: Hospital) -> None:
    override_id = _override(strict)
    with day.refused(strict, ConstraintViolated) as refusal:
        _review(strict, override_id, OverrideStatus.APPROPRIATE, strict.nurse)
    assert refusal.value.members == {"constraint": "ck_order_overrides_reviewer_is_another"}


def test_the_database_refuses_a_drug_twice_on_a_list(strict: Hospital) -> None:
    _list(strict)
    with day.refused(strict, ConstraintViolated) as refusal:
        strict.change(
            "INSERT INTO override_drugs (organization_id, id, ward_id, drug_id)"
            " SELECT organization_id, gen_random_uuid(), ward_id, drug_id FROM override_drugs"
        )
    assert refusal.value.members["constraint"].startswith("uq_override_drugs_")


def test_the_database_refuses_a_verdict_without_a_reviewer(strict: Hospital) -> None:
    _override(strict)
    with day.refused(strict, ConstraintViolated) as refusal:
        strict.change("UPDATE order_overrides SET status = 'appropriate', reviewed_at = now()")
    assert refusal.value.members == {"constraint": "ck_order_overrides_reviewed_by_with_time"}
