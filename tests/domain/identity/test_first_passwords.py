"""First passwords, below HTTP: good for choosing another, once, for a week, and for nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from backend.actor import Actor, Role
from backend.config import Config
from backend.db import Database, migrate
from backend.db.provision import application_url
from backend.domain.identity.sign_in import totp, webauthn
from backend.domain.identity.sign_in.attempts import TooManyAttempts
from backend.domain.identity.sign_in.by_passkey import finish_by_passkey, show_passkey
from backend.domain.identity.sign_in.by_password import (
    PasswordWrong,
    SignedIn,
    check_own_password,
    check_own_sign_in,
    check_password,
    choose_password,
    enrol_and_finish,
    finish,
    password_fingerprint,
    recall,
)
from backend.domain.identity.tokens import Person, authenticate
from backend.errors import ValidationFailed
from tests.concurrency.threads import together
from tests.domain.identity.passkeys.signing import ORIGIN, PARTY, alone, enrolled
from tests.domain.identity.test_second_factors import refusal_of, require
from tests.domain.identity.test_sign_in import change, credentials_of, issue, origin, sign_in
from tests.hospital import PASSWORD, Hospital, now, open_hospital

OWN = "seven lemons on a sill"
OTHER = "another long password"
ACCOUNT_MAX = 3


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    """A worker that knows the address of its pages and locks an account after three failures."""
    limits = {"account_failures_max": ACCOUNT_MAX, "address_failures_max": 1_000_000}
    made = Database(replace(config, origin=ORIGIN, pool_size=32, **limits), application_url(config))
    yield made
    made.engine.dispose()


@pytest.fixture
def hospital(database: Database) -> Hospital:
    """A hospital of the test's own, where a nurse begins."""
    made = open_hospital(database)
    made.add_staff("new", Role.NURSE, own_password=False)
    return made


def typed(hospital: Hospital, database: Database, login: str = "new") -> Person:
    """Whose password was right."""
    return check_password(database, credentials_of(hospital, login), origin())


def choose(database: Database, person: Person, new: str = OWN, otp: str | None = None) -> SignedIn:
    """Signs in with a password of their own."""
    return finish(database, person, otp, origin(), new_password=new)


def living(hospital: Hospital) -> list[tuple[Any, ...]]:
    """The sign-ins that have not ended: whether each was by a second factor."""
    return hospital.rows("SELECT second_factor FROM access_tokens WHERE revoked_at IS NULL")


def state(hospital: Hospital) -> list[tuple[Any, ...]]:
    """What a refusal leaves as it is."""
    return hospital.rows("SELECT u.*, (SELECT count(*) FROM access_tokens) FROM users u ORDER BY id")


@pytest.fixture
def refused(hospital: Hospital) -> Callable[[str, Callable[[], Any]], None]:
    """Says that an act is refused with a code and changes nothing."""

    def check(code: str, act: Callable[[], Any]) -> None:
        before = state(hospital)
        assert refusal_of(act) == code
        assert state(hospital) == before

    return check


Refused = Callable[[str, Callable[[], Any]], None]


def expire(hospital: Hospital, after: str = "0") -> None:
    """The first password expires so long after now, by the database's clock."""
    hospital.change(f"UPDATE users SET first_password_expires_at = now() + interval '{after}' WHERE name = 'New'")


def test_who_begins_and_whose_password_was_reset_choose_their_own(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    change(hospital, hospital.nurse, password=OTHER)
    for login, given in (("new", PASSWORD), ("nurse", OTHER)):
        credentials = credentials_of(hospital, login, password=given)
        refused("password_change_required", lambda who=credentials: sign_in(database, who, origin()))
        done = choose(database, check_password(database, credentials, origin()))
        assert authenticate(database, done.issued.token, request_id="r")[0].user_id == hospital.staff[login].user_id
        refused("not_authenticated", lambda who=credentials: sign_in(database, who, origin()))
        assert sign_in(database, replace(credentials, password=OWN), origin()).issued
    assert hospital.rows("SELECT count(*) FROM users WHERE first_password_expires_at IS NOT NULL") == [(0,)]


def test_choosing_ends_every_other_sign_in(hospital: Hospital, database: Database) -> None:
    before = issue(hospital, hospital.staff["new"]).token
    choose(database, typed(hospital, database))
    assert refusal_of(lambda: authenticate(database, before, request_id="r")) == "not_authenticated"
    assert living(hospital) == [(False,)]


def test_it_expires_after_seven_days_by_the_clock_of_the_database(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    ((left,),) = hospital.rows("SELECT first_password_expires_at - now() FROM users WHERE name = 'New'")
    assert timedelta(days=6, hours=23, minutes=59) < left <= timedelta(days=7)
    later = origin(at=now() + timedelta(days=30))
    expire(hospital, "1 minute")
    assert check_password(database, credentials_of(hospital, "new"), later).first_password, "not by the server's clock"
    expire(hospital)
    refused("first_password_expired", lambda: typed(hospital, database))
    refused("not_authenticated", lambda: check_password(database, credentials_of(hospital, "new", password="x"), later))
    change(hospital, hospital.staff["new"], password=OTHER)
    choose(database, check_password(database, credentials_of(hospital, "new", password=OTHER), origin()))


def test_one_that_expires_while_its_owner_thinks_is_not_exchanged(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    person = typed(hospital, database)
    expire(hospital)
    refused("not_authenticated", lambda: choose(database, person))
    refused("not_authenticated", lambda: choose_password(database, person, OWN, origin(), factor_shown=False))


@pytest.mark.parametrize("new", [PASSWORD, "short", "Password1234", "x" * 129, "new@nurse-2026", "valmed hospital 1"])
def test_what_is_chosen_is_another_and_no_guessable_one(hospital: Hospital, database: Database, new: str) -> None:
    before, person = state(hospital), typed(hospital, database)
    with pytest.raises(ValidationFailed) as refusal:
        choose(database, person, new)
    assert [error["pointer"] for error in refusal.value.members["errors"]] == ["/new_password"]
    with pytest.raises(ValidationFailed):
        choose_password(database, person, new, origin(), factor_shown=False)
    assert state(hospital) == before


def test_a_password_of_ones_own_is_not_changed_by_signing_in(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    nurse = typed(hospital, database, "nurse")
    refused("validation_failed", lambda: choose(database, nurse))
    refused("validation_failed", lambda: choose_password(database, nurse, OWN, origin(), factor_shown=False))


@pytest.mark.concurrency
def test_of_sixteen_who_choose_at_once_one_does(hospital: Hospital, database: Database) -> None:
    person = typed(hospital, database)

    def attempt(number: int) -> str:
        return refusal_of(lambda: choose(database, person, f"{OWN} {number}"))

    outcomes = together(*(partial(attempt, number) for number in range(16)))
    assert sorted(outcomes) == ["done"] + ["not_authenticated"] * 15
    assert living(hospital) == [(False,)]
    kept = credentials_of(hospital, "new", password=f"{OWN} {outcomes.index('done')}")
    assert sign_in(database, kept, origin()).issued


def test_a_password_that_is_reset_in_the_middle_of_a_sign_in_signs_nobody_in(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    nurse, new = typed(hospital, database, "nurse"), typed(hospital, database)
    secret = totp.new_secret()
    otp = totp.code_of(secret, totp.step_at(now()))
    for actor in (hospital.nurse, hospital.staff["new"]):
        change(hospital, actor, password=OTHER)
    refused("not_authenticated", lambda: finish(database, nurse, None, origin()))
    refused("not_authenticated", lambda: enrol_and_finish(database, nurse, secret, otp, origin()))
    refused("not_authenticated", lambda: choose(database, new))
    refused("not_authenticated", lambda: choose_password(database, new, OWN, origin(), factor_shown=False))


@pytest.mark.concurrency
def test_of_a_sign_in_and_a_reset_at_once_no_token_of_the_old_password_lives(
    hospital: Hospital, database: Database
) -> None:
    """Whoever is first: a token that was made before the reset ends with it, and none is made after it."""
    outcomes = set()
    for number in range(12):
        actor = hospital.add_staff(f"n{number}", Role.NURSE)
        person = typed(hospital, database, f"n{number}")

        def attempt(person: Person = person) -> str:
            return refusal_of(lambda: finish(database, person, None, origin()))

        def reset(actor: Actor = actor) -> None:
            change(hospital, actor, password=OTHER)

        outcomes.add(together(attempt, reset)[0])
    assert outcomes <= {"done", "not_authenticated"}
    assert living(hospital) == []


# With a second factor


@pytest.fixture
def secret(hospital: Hospital) -> str:
    """What the new nurse has enrolled."""
    made = totp.new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE name = 'New'", made)
    return made


def test_the_second_factor_that_there_is_is_shown_before_a_password_is_chosen(
    hospital: Hospital, database: Database, refused: Refused, secret: str
) -> None:
    """The policy asks for none: the API would sign in without."""
    person = typed(hospital, database)
    refused("second_factor_required", lambda: choose(database, person))
    refused("second_factor_required", lambda: choose_password(database, person, OWN, origin(), factor_shown=False))
    refused("not_authenticated", lambda: choose(database, person, otp="x"))
    step = totp.step_at(now()) + 1  # good for a minute at the least
    refused("password_change_required", lambda: finish(database, person, totp.code_of(secret, step), origin()))
    refused("validation_failed", lambda: choose(database, person, PASSWORD, totp.code_of(secret, step)))
    choose(database, person, otp=totp.code_of(secret, step))
    assert living(hospital) == [(True,)]


def test_wrong_codes_beside_a_first_password_count(hospital: Hospital, database: Database, secret: str) -> None:
    person = typed(hospital, database)
    for _ in range(ACCOUNT_MAX):
        assert typed(hospital, database).first_password, "a right password between them forgives none"
        assert refusal_of(lambda: choose(database, person, otp="x")) == "not_authenticated"
    with pytest.raises(TooManyAttempts):
        choose(database, person, otp=totp.code_of(secret, totp.step_at(now())))


def test_an_expired_password_forgives_no_failure(hospital: Hospital, database: Database) -> None:
    expire(hospital)
    outcomes = []
    for _ in range(ACCOUNT_MAX):
        for password in ("wrong", PASSWORD):
            who = credentials_of(hospital, "new", password=password)
            outcomes.append(refusal_of(lambda who=who: check_password(database, who, origin())))
    assert outcomes == ["not_authenticated", "first_password_expired"] * (ACCOUNT_MAX - 1) + [
        "not_authenticated",
        "too_many_attempts",
    ]


def test_whose_role_must_have_a_second_factor_and_has_none_sets_it_up_after_choosing(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    require(hospital, "nurse")
    person, secret = typed(hospital, database), totp.new_secret()
    otp = totp.code_of(secret, totp.step_at(now()) + 1)  # good for a minute at the least
    refused("second_factor_required", lambda: choose(database, person))
    refused("password_change_required", lambda: enrol_and_finish(database, person, secret, otp, origin()))
    chosen = choose_password(database, person, OWN, origin(), factor_shown=False)
    assert living(hospital) == []
    refused("second_factor_required", lambda: finish(database, chosen, None, origin()))
    enrol_and_finish(database, chosen, secret, otp, origin())
    assert living(hospital) == [(True,)]


def test_a_passkey_is_shown_before_a_password_is_chosen(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    device, person = enrolled(hospital, hospital.staff["new"]), typed(hospital, database)

    def answered(act: Callable[..., Any]) -> Any:
        asked = webauthn.new_challenge()
        return act(database, person, asked, device.show(webauthn.offer_showing(PARTY, asked, known=[])), origin())

    refused("second_factor_required", lambda: choose(database, person))
    refused("password_change_required", lambda: answered(finish_by_passkey))
    answered(show_passkey)
    assert living(hospital) == []
    chosen = choose_password(database, person, OWN, origin(), factor_shown=True)
    finish(database, chosen, None, origin(), factor_shown=True)
    assert living(hospital) == [(True,)]


def test_a_passkey_after_a_password_that_was_reset_meanwhile_signs_nobody_in(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    device, person = enrolled(hospital, hospital.nurse), typed(hospital, database, "nurse")
    change(hospital, hospital.nurse, password=OTHER)
    asked = webauthn.new_challenge()
    answer = device.show(webauthn.offer_showing(PARTY, asked, known=[]))
    refused("not_authenticated", lambda: finish_by_passkey(database, person, asked, answer, origin()))


def test_a_passkey_alone_uses_no_first_password_and_whose_it_is_may_choose_another(
    hospital: Hospital, database: Database, refused: Refused
) -> None:
    actor = alone(database, enrolled(hospital, hospital.staff["new"])).actor
    refused("password_wrong", lambda: check_own_sign_in(database, actor, PASSWORD, origin()))
    assert check_own_password(database, actor, PASSWORD, origin()).first_password
    expire(hospital)
    with pytest.raises(PasswordWrong, match="has expired: ask an admin"):
        check_own_password(database, actor, PASSWORD, origin())


# What is left of it


def test_the_trail_says_who_chose_and_when_and_no_secret(hospital: Hospital, database: Database) -> None:
    user_id = hospital.staff["new"].user_id
    trail = (
        "SELECT operation, actor_id, before ->> 'first_password_expires_at' IS NULL,"
        " after ->> 'first_password_expires_at' IS NULL, after ? 'password_hash'"
        " FROM audit_events WHERE table_name = 'users' AND row_id = :p1 ORDER BY id"
    )
    choose(database, typed(hospital, database))
    change(hospital, hospital.staff["new"], password=OTHER)
    assert hospital.rows(trail, user_id) == [
        ("INSERT", None, True, False, False),
        ("UPDATE", user_id, False, True, False),
        ("UPDATE", None, True, False, False),
    ]


def test_an_upgrade_locks_nobody_out(fresh_config: Config) -> None:
    database = Database(fresh_config, application_url(fresh_config))
    standing = open_hospital(database)
    for actor in standing.staff.values():
        change(standing, actor, password=OTHER)
    migrate.downgrade(fresh_config, "0050")
    migrate.upgrade(fresh_config)
    for role in Role:
        assert sign_in(database, credentials_of(standing, role.value, password=OTHER), origin()).issued
    database.engine.dispose()


def test_what_a_page_remembers_of_a_first_password_ends_with_it(hospital: Hospital, database: Database) -> None:
    person = typed(hospital, database)
    remembered = (person.organization, person.email, password_fingerprint(person))
    assert recall(database, *remembered).first_password
    choose(database, person)
    assert refusal_of(lambda: recall(database, *remembered)) == "not_authenticated"
