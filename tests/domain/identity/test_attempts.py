"""Failed sign-ins: counted by account and by address, for every worker, in a window, and never for ever."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg2.extensions
import pyotp
import pytest

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from backend.domain.identity.sign_in import totp as codes
from backend.domain.identity.sign_in.attempts import Attempt, TooManyAttempts, count_failure
from backend.domain.identity.sign_in.by_password import Origin, check_code, check_first_code, check_password, finish
from backend.domain.identity.tokens import authenticate
from tests.concurrency.threads import together
from tests.domain.identity.test_second_factors import refusal_of
from tests.domain.identity.test_sign_in import credentials_of, issue, origin, sign_in
from tests.hospital import PASSWORD, Hospital, now, open_hospital

Connection = psycopg2.extensions.connection
ACCOUNT_MAX, ADDRESS_MAX = 3, 5


@pytest.fixture
def strict(config: Config, owner: Connection) -> Iterator[Database]:
    """A worker that locks an account after three failures and an address after five; nobody has failed yet."""
    with owner.cursor() as cursor:
        cursor.execute("DELETE FROM sign_in.failures")
    limits = {"account_failures_max": ACCOUNT_MAX, "address_failures_max": ADDRESS_MAX}
    limits["retry_tries_max"] = 1  # a counter waits for its row and is never told to begin again
    made = Database(replace(config, pool_size=32, **limits), application_url(config))
    yield made
    made.engine.dispose()


@pytest.fixture
def hospital(strict: Database) -> Hospital:
    """A hospital of the test's own."""
    return open_hospital(strict)


def tried(database: Database, hospital: Hospital, where: Origin | None = None, **changes: Any) -> str:
    """The outcome of signing in."""
    return refusal_of(lambda: sign_in(database, credentials_of(hospital, **changes), where or origin()))


def fail(database: Database, hospital: Hospital, times: int, *, address: str = "", **changes: Any) -> None:
    """So many wrong passwords, each from another address unless one is given."""
    for number in range(times):
        where = origin(address or f"198.51.100.{number}")
        assert tried(database, hospital, where, **{"password": "wrong", **changes}) == "not_authenticated"


def failures(owner: Connection) -> list[int]:
    """What is counted."""
    with owner.cursor() as cursor:
        cursor.execute("SELECT failures FROM sign_in.failures ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


def test_an_account_is_locked_after_so_many_failures_even_to_the_right_password(
    strict: Database, hospital: Hospital
) -> None:
    fail(strict, hospital, ACCOUNT_MAX)
    with pytest.raises(TooManyAttempts) as refused:
        sign_in(strict, credentials_of(hospital), origin())
    assert refused.value.status == 429
    assert 14 * 60 < refused.value.members["retry_after_seconds"] <= 15 * 60
    assert refused.value.retry_after_seconds == refused.value.members["retry_after_seconds"]
    assert refused.value.detail == "Too many sign-ins have failed. Try again in 15 minutes."
    assert tried(strict, hospital, login="doctor") == "done"
    assert hospital.rows("SELECT count(*) FROM access_tokens") == [(1,)]


def test_an_account_that_does_not_exist_is_locked_alike(strict: Database, hospital: Hospital) -> None:
    for unknown in ({"email": "nobody@nowhere.example"}, {"organization": "no-such-hospital"}):
        fail(strict, hospital, ACCOUNT_MAX, **unknown)
        assert tried(strict, hospital, password="wrong", **unknown) == "too_many_attempts"


def test_another_spelling_is_the_same_account(strict: Database, hospital: Hospital) -> None:
    email = f"nurse@{hospital.slug}.example"
    for number, spelled in enumerate((email, email.upper(), email.title())):
        fail(strict, hospital, 1, email=spelled, address=f"192.0.2.{number}")
    assert tried(strict, hospital) == "too_many_attempts"


def test_an_address_is_locked_for_every_account(strict: Database, hospital: Hospital) -> None:
    for number in range(ADDRESS_MAX):
        fail(strict, hospital, 1, address="192.0.2.7", email=f"{number}@nowhere.example")
    assert tried(strict, hospital, origin("192.0.2.7")) == "too_many_attempts"
    assert tried(strict, hospital, origin("192.0.2.8")) == "done"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "unix:", False),
    ],
)
def test_a_network_of_ipv6_is_one_address(strict: Database, one: str, other: str, same: bool) -> None:
    config = replace(strict.config, account_failures_max=1_000)
    (_, first), (_, second) = (Attempt("h", "e", address).limits(config)["counted"] for address in (one, other))
    assert (first == second) is same


def test_successes_count_for_nothing_and_clear_the_account_but_not_the_address(
    strict: Database, hospital: Hospital, owner: Connection
) -> None:
    for _ in range(2 * ADDRESS_MAX):
        assert tried(strict, hospital) == "done"
    assert failures(owner) == []
    fail(strict, hospital, ACCOUNT_MAX - 1, address="192.0.2.1")
    assert tried(strict, hospital) == "done"
    assert failures(owner) == [ACCOUNT_MAX - 1], "the address keeps its failures"
    fail(strict, hospital, ACCOUNT_MAX - 1)
    assert tried(strict, hospital, origin("192.0.2.9")) == "done"


def test_the_lock_is_known_to_every_worker_and_outlives_a_restart(
    strict: Database, hospital: Hospital, config: Config
) -> None:
    fail(strict, hospital, ACCOUNT_MAX)
    other = Database(strict.config, application_url(config))
    assert tried(other, hospital) == "too_many_attempts"
    other.engine.dispose()


def test_the_lock_ends_with_its_window_and_the_count_begins_anew(
    strict: Database, hospital: Hospital, owner: Connection
) -> None:
    fail(strict, hospital, ACCOUNT_MAX)
    fail_later = "UPDATE sign_in.failures SET ends_at = ends_at - interval '15 minutes'"
    with owner.cursor() as cursor:
        cursor.execute(fail_later)
    fail(strict, hospital, ACCOUNT_MAX - 1)
    assert tried(strict, hospital, origin("203.0.113.1")) == "done"


def test_a_refusal_does_not_make_the_lock_longer(strict: Database, hospital: Hospital, owner: Connection) -> None:
    fail(strict, hospital, ACCOUNT_MAX)
    before = failures(owner)
    for _ in range(2 * ADDRESS_MAX):
        assert tried(strict, hospital, password="wrong") == "too_many_attempts"
    assert failures(owner) == before


def test_rows_of_ended_windows_go_as_new_ones_come(strict: Database, hospital: Hospital, owner: Connection) -> None:
    with owner.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sign_in.failures SELECT sha256(n::text::bytea), 9, now() FROM generate_series(1, 250) n"
        )
    for number, left in enumerate((150, 50, 0)):
        fail(strict, hospital, 1, email=f"{number}@nowhere.example", address=f"192.0.2.{number}")
        assert len(failures(owner)) == left + 2 * (number + 1)


@pytest.mark.concurrency
def test_of_many_guesses_at_once_each_failure_is_counted(
    strict: Database, hospital: Hospital, owner: Connection
) -> None:
    def guess(number: int) -> str:
        attempt = Attempt(hospital.slug, "nurse@h.example", f"192.0.2.{number}")
        return refusal_of(lambda: count_failure(strict, attempt))

    outcomes = together(*(partial(guess, number) for number in range(16)))
    assert sorted(outcomes) == ["done"] * ACCOUNT_MAX + ["too_many_attempts"] * (16 - ACCOUNT_MAX)
    assert failures(owner) == [1] * 16 + [16]


def test_a_right_password_that_comes_after_the_limit_was_reached_is_refused(
    strict: Database, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was let in to be looked at, and others failed meanwhile."""
    attempt = origin().attempt(credentials_of(hospital))

    def slow(stored: str | None, password: str) -> bool:
        for _ in range(ACCOUNT_MAX):
            count_failure(strict, attempt)
        return password == PASSWORD

    monkeypatch.setattr("backend.domain.identity.sign_in.by_password.is_password", slow)
    assert tried(strict, hospital) == "too_many_attempts"
    assert hospital.rows("SELECT count(*) FROM access_tokens") == [(0,)]


# Codes


@pytest.fixture
def secret(hospital: Hospital) -> str:
    """What the nurse has enrolled."""
    made = codes.new_secret()
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", made)
    return made


def test_wrong_codes_count_and_a_right_password_between_them_forgives_none(
    strict: Database, hospital: Hospital, secret: str
) -> None:
    person = check_password(strict, credentials_of(hospital), origin())
    for _ in range(ACCOUNT_MAX):
        assert refusal_of(lambda: check_code(strict, person, "x", origin())) == "not_authenticated"
        tried(strict, hospital)
    assert tried(strict, hospital) == "too_many_attempts"
    otp = pyotp.TOTP(secret).now()
    assert refusal_of(lambda: finish(strict, person, otp, origin())) == "too_many_attempts"


def test_a_used_code_counts_and_a_right_one_forgives(
    strict: Database, hospital: Hospital, secret: str, owner: Connection
) -> None:
    at = now()
    person, totp = check_password(strict, credentials_of(hospital), origin()), pyotp.TOTP(secret)
    step = int(at.timestamp()) // 30
    otp = totp.generate_otp(step)
    outcomes = [refusal_of(lambda: finish(strict, person, otp, origin(at=at))) for _ in range(2)]
    assert outcomes == ["done", "not_authenticated"]
    assert failures(owner) == [1, 1]
    assert refusal_of(lambda: finish(strict, person, totp.generate_otp(step + 1), origin(at=at))) == "done"
    assert failures(owner) == [1]


def test_wrong_first_codes_count_too(strict: Database, hospital: Hospital) -> None:
    person, made = check_password(strict, credentials_of(hospital), origin()), codes.new_secret()
    for _ in range(ACCOUNT_MAX):
        assert refusal_of(lambda: check_first_code(strict, person, made, "x", origin())) == "code_wrong"
    otp = pyotp.TOTP(made).now()
    assert refusal_of(lambda: check_first_code(strict, person, made, otp, origin())) == "too_many_attempts"


def test_who_is_signed_in_stays_so_while_the_account_is_locked(strict: Database, hospital: Hospital) -> None:
    token = issue(hospital).token
    fail(strict, hospital, ACCOUNT_MAX)
    assert authenticate(strict, token, request_id="r")
