"""One-time codes and second factors, below HTTP: each code once, required means required, a lost phone is no end."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyotp
import pytest

from backend.actor import Role, SecondFactorRequired
from backend.db import Database
from backend.domain.identity import second_factors
from backend.domain.identity.queries import UserNotFound
from backend.domain.identity.second_factors import SecondFactorChanged
from backend.domain.identity.sign_in import totp as codes
from backend.domain.identity.sign_in.by_password import (
    CodeWrong,
    check_own_password,
    check_password,
    enrol_and_finish,
    finish,
    password_fingerprint,
    recall,
)
from backend.domain.identity.tokens import Person, authenticate
from backend.errors import DomainError, NotAuthenticated
from tests.concurrency.threads import together
from tests.domain.identity.test_sign_in import change, credentials_of, issue, origin, sign_in
from tests.hospital import Hospital, now, open_hospital

OTHER = "another long password"


def at_step(seconds: int = 5) -> datetime:
    """A moment within the present half minute, so that a test knows the step of its codes."""
    return datetime.fromtimestamp(int(now().timestamp()) // 30 * 30 + seconds, tz=now().tzinfo)


@pytest.fixture
def secret(hospital: Hospital) -> str:
    """What the nurse has enrolled."""
    made = codes.new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", made)
    return made


def refusal_of(act: Callable[[], Any]) -> str:
    """The code of the refusal, or what there was instead."""
    try:
        act()
    except DomainError as refusal:
        return refusal.code
    return "done"


def require(hospital: Hospital, *roles: str) -> None:
    """The hospital's policy."""
    hospital.change("UPDATE organizations SET second_factor_roles = :p1", list(roles))


def nurse_of(hospital: Hospital, database: Database) -> Person:
    """The nurse, whose password was right."""
    return check_password(database, credentials_of(hospital), origin())


# Codes


def test_a_code_belongs_to_the_half_minutes_around_now_and_to_its_secret() -> None:
    secret, other, at = codes.new_secret(), codes.new_secret(), at_step()
    totp, present = pyotp.TOTP(secret), int(at.timestamp()) // 30
    assert [codes.step_of(secret, totp.generate_otp(present + off), at) for off in (-1, 0, 1)] == [
        present - 1,
        present,
        present + 1,
    ]
    assert [codes.step_of(secret, totp.generate_otp(present + off), at) for off in (-2, 2)] == [None, None]
    assert codes.step_of(secret, pyotp.TOTP(other).at(at), at) is None
    assert len(codes.new_secret()) == 32


@pytest.mark.parametrize(
    "otp", ["", "x", "12345", "1234567", "١٢٣٤٥٦", "１２３４５６", "12345\n", "123456\n", " 123456"]
)
def test_a_code_is_six_ascii_digits(otp: str) -> None:
    assert codes.step_of(codes.new_secret(), otp, now()) is None


def test_a_code_of_other_digits_is_not_the_code() -> None:
    secret, at = codes.new_secret(), at_step()
    wide = pyotp.TOTP(secret).at(at).translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    assert codes.step_of(secret, wide, at) is None


@pytest.mark.parametrize(("seconds", "otp"), [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")])
def test_codes_are_those_of_rfc_6238(seconds: int, otp: str) -> None:
    """Appendix B, the last six digits."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert codes.code_of(secret, seconds // codes.STEP_SECONDS) == otp


def test_the_picture_says_whose_secret_it_is() -> None:
    secret = codes.new_secret()
    read = pyotp.parse_uri(codes.uri_of(secret, email="nurse@h.example", hospital="St Mary's: & Co"))
    assert (read.secret, read.name, read.issuer) == (secret, "nurse@h.example", "ValMed St Mary's: & Co")


# Each once


def test_a_code_works_once_and_so_do_all_before_it(hospital: Hospital, database: Database, secret: str) -> None:
    at = at_step()
    totp, where = pyotp.TOTP(secret), origin(at=at)

    def tried(off: int) -> str:
        otp = totp.generate_otp(int(at.timestamp()) // 30 + off)
        return refusal_of(lambda: sign_in(database, credentials_of(hospital, otp=otp), where))

    assert [tried(off) for off in (0, 0, -1, 1, 1, 0)] == [
        "done",
        "not_authenticated",
        "not_authenticated",
        "done",
        "not_authenticated",
        "not_authenticated",
    ]
    assert hospital.rows("SELECT second_factor FROM access_tokens") == [(True,)] * 2


@pytest.mark.concurrency
@pytest.mark.parametrize("before", [False, True], ids=["the first code ever", "after another"])
def test_of_sixteen_at_once_with_one_code_one_gets_a_token(
    hospital: Hospital, database: Database, secret: str, before: bool
) -> None:
    at = at_step()
    if before:
        earlier = pyotp.TOTP(secret).at(at - timedelta(seconds=30))
        sign_in(database, credentials_of(hospital, otp=earlier), origin(at=at))
    credentials = credentials_of(hospital, otp=pyotp.TOTP(secret).at(at))
    person = nurse_of(hospital, database)

    def attempt() -> str:
        return refusal_of(lambda: finish(database, person, credentials.otp, origin(at=at)))

    outcomes = together(*[attempt] * 16)
    assert outcomes.count("done") == 1
    assert set(outcomes) <= {"done", "not_authenticated", "too_many_attempts"}
    assert hospital.rows("SELECT count(*) FROM access_tokens") == [(1 + before,)]


def test_a_code_of_one_user_uses_up_nobody_elses(hospital: Hospital, database: Database, secret: str) -> None:
    hospital.change("UPDATE users SET totp_secret = :p1", secret)
    otp = pyotp.TOTP(secret).at(at_step())
    for login in ("nurse", "doctor"):
        assert sign_in(database, credentials_of(hospital, login, otp=otp), origin(at=at_step())).actor.second_factor


# Required


@pytest.mark.parametrize("role", Role)
def test_only_the_roles_that_the_policy_names_need_a_second_factor(
    hospital: Hospital, database: Database, role: Role
) -> None:
    require(hospital, role.value)
    for login in Role:
        outcome = refusal_of(lambda login=login: sign_in(database, credentials_of(hospital, login.value), origin()))
        assert outcome == ("second_factor_required" if login is role else "done")
    assert hospital.rows("SELECT count(*) FROM access_tokens") == [(3,)]


def test_the_policy_of_one_hospital_binds_no_other(hospital: Hospital, database: Database) -> None:
    other = open_hospital(database, second_factor_roles=list(Role))
    assert refusal_of(lambda: sign_in(database, credentials_of(other), origin())) == "second_factor_required"
    assert refusal_of(lambda: sign_in(database, credentials_of(hospital), origin())) == "done"


def test_who_is_enrolled_and_must_be_signs_in_with_a_code_only(
    hospital: Hospital, database: Database, secret: str
) -> None:
    require(hospital, "nurse")
    with pytest.raises(SecondFactorRequired) as refused:
        sign_in(database, credentials_of(hospital), origin())
    assert refused.value.members == {"enrolled": True}
    otp = pyotp.TOTP(secret).at(at_step())
    assert sign_in(database, credentials_of(hospital, otp=otp), origin(at=at_step())).actor.second_factor


# Enrolling


def test_enrolling_takes_a_right_code_which_is_then_used_up(hospital: Hospital, database: Database) -> None:
    require(hospital, "nurse")
    made, at = codes.new_secret(), at_step()
    person, otp = nurse_of(hospital, database), pyotp.TOTP(made).at(at)
    with pytest.raises(CodeWrong):
        enrol_and_finish(database, person, made, "000000" if otp != "000000" else "111111", origin(at=at))
    assert hospital.rows("SELECT count(*) FROM users WHERE totp_secret IS NOT NULL") == [(0,)]
    done = enrol_and_finish(database, person, made, otp, origin(at=at))
    assert authenticate(database, done.issued.token, request_id="r")[0].second_factor
    again = credentials_of(hospital, otp=otp)
    assert refusal_of(lambda: sign_in(database, again, origin(at=at))) == "not_authenticated"


def test_who_enrolled_meanwhile_keeps_what_they_enrolled(hospital: Hospital, database: Database) -> None:
    """Two screens after the password, both with a QR code: the second one does not take the first one's place."""
    person, at = nurse_of(hospital, database), at_step()
    first, second = codes.new_secret(), codes.new_secret()
    enrol_and_finish(database, person, first, pyotp.TOTP(first).at(at), origin(at=at))
    with pytest.raises(SecondFactorChanged):
        enrol_and_finish(database, person, second, pyotp.TOTP(second).at(at), origin(at=at))
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(first,)]
    assert hospital.rows("SELECT count(*) FROM access_tokens") == [(1,)]


def test_a_required_factor_is_not_removed_and_any_other_is(hospital: Hospital, secret: str) -> None:
    def remove() -> None:
        hospital.run(lambda session: second_factors.remove(session, actor=hospital.nurse))

    require(hospital, "doctor", "nurse")
    with pytest.raises(SecondFactorRequired):
        remove()
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(secret,)]
    require(hospital)
    remove()
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(None,)]


def test_a_reset_ends_every_token_of_that_user_and_of_no_other(
    hospital: Hospital, database: Database, secret: str
) -> None:
    theirs, others = issue(hospital).token, issue(hospital, hospital.staff["doctor"]).token
    where = {"organization_id": hospital.organization_id, "now": now()}
    hospital.run(lambda session: second_factors.reset(session, user_id=hospital.nurse.user_id, **where))
    assert hospital.rows("SELECT count(*) FROM users WHERE totp_secret IS NOT NULL") == [(0,)]
    with pytest.raises(NotAuthenticated):
        authenticate(database, theirs, request_id="r")
    assert authenticate(database, others, request_id="r")
    foreign = open_hospital(database).nurse.user_id
    with pytest.raises(UserNotFound):
        hospital.run(lambda session: second_factors.reset(session, user_id=foreign, **where))


# Between the two pages


def test_what_is_remembered_of_a_password_ends_with_it(hospital: Hospital, database: Database) -> None:
    person = nurse_of(hospital, database)
    remembered = (person.organization, person.email, password_fingerprint(person))
    assert recall(database, *remembered) == person
    with pytest.raises(NotAuthenticated):
        recall(database, *remembered[:2], "0" * 64)
    change(hospital, hospital.nurse, password=OTHER)
    with pytest.raises(NotAuthenticated):
        recall(database, *remembered)


def test_who_left_is_not_remembered(hospital: Hospital, database: Database) -> None:
    person = nurse_of(hospital, database)
    change(hospital, hospital.nurse, active=False)
    with pytest.raises(NotAuthenticated):
        recall(database, person.organization, person.email, password_fingerprint(person))


def test_a_person_and_credentials_show_no_secret(hospital: Hospital, database: Database, secret: str) -> None:
    credentials = credentials_of(hospital, otp="123456")
    shown = repr((nurse_of(hospital, database), credentials))
    assert not [found for found in (secret, "argon2", credentials.password, "123456") if found in shown]


def test_ones_own_password_is_ones_own(hospital: Hospital, database: Database) -> None:
    doctor = hospital.staff["doctor"]
    change(hospital, doctor, password=OTHER)
    assert check_own_password(database, replace(doctor), OTHER, origin()).user_id == doctor.user_id
    outcome = refusal_of(lambda: check_own_password(database, hospital.nurse, OTHER, origin()))
    assert outcome == "password_wrong"
