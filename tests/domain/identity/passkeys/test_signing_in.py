"""Whom an answer of a passkey signs in, and every answer that signs in nobody."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace

import psycopg2.extensions
import pytest

from backend.config import Config
from backend.db import Database
from backend.db.provision import application_url
from backend.domain.identity import second_factors
from backend.domain.identity.sign_in import webauthn
from backend.domain.identity.sign_in.attempts import Attempt, count_failure
from backend.domain.identity.sign_in.by_passkey import finish_by_passkey, sign_in_alone
from backend.domain.identity.sign_in.by_password import (
    Origin,
)
from backend.domain.identity.sign_in.webauthn import PasskeyWrong
from backend.domain.identity.tokens import authenticate
from backend.errors import NotAuthenticated
from tests.concurrency.threads import together
from tests.domain.identity.device import Device
from tests.domain.identity.passkeys.signing import (
    CHALLENGE,
    ORIGIN,
    PARTY,
    alone,
    enrolled,
    nurse_of,
    offer_making,
    refused,
    remove,
    second,
    stored,
    tokens_of,
)
from tests.domain.identity.test_second_factors import refusal_of, require
from tests.domain.identity.test_sign_in import change, origin
from tests.hospital import Hospital, now, open_hospital


def test_a_passkey_alone_signs_in_with_two_factors(hospital: Hospital, database: Database, device: Device) -> None:
    require(hospital, "nurse")
    done = alone(database, device)
    actor, _ = authenticate(database, done.issued.token, request_id="r")
    assert (actor.user_id, actor.second_factor) == (hospital.nurse.user_id, True)
    assert stored(hospital) == [(1, True)]


def test_a_passkey_after_the_password_is_the_second_factor(
    hospital: Hospital, database: Database, device: Device
) -> None:
    require(hospital, "nurse")
    done = second(database, nurse_of(hospital, database), device, verified=False)
    assert authenticate(database, done.issued.token, request_id="r")[0].second_factor
    assert stored(hospital) == [(1, True)]


def test_a_device_that_does_not_say_who_holds_it_signs_nobody_in_alone(
    hospital: Hospital, database: Database, device: Device
) -> None:
    refused(lambda: alone(database, device, verified=False), hospital)
    assert alone(database, device)


@pytest.mark.parametrize("kind", ["alone", "after the password"])
@pytest.mark.parametrize(
    "other",
    ["https://ward.example.evil.example", "http://ward.example", "https://ward.example:8443", "https://evil.example"],
)
def test_an_answer_to_another_page_is_refused(
    hospital: Hospital, database: Database, device: Device, other: str, kind: str
) -> None:
    person = nurse_of(hospital, database)
    device.origin = other
    act = {"alone": lambda: alone(database, device), "after the password": lambda: second(database, person, device)}
    refused(act[kind], hospital)
    device.origin = ORIGIN
    assert act[kind]()


def test_an_answer_for_another_server_is_refused(hospital: Hospital, database: Database, device: Device) -> None:
    refused(lambda: alone(database, device, rp_id="evil.example"), hospital)


def test_an_answer_to_another_challenge_is_refused(hospital: Hospital, database: Database, device: Device) -> None:
    refused(lambda: alone(database, device, challenge="A" * 43), hospital)


def test_an_answer_counts_once(hospital: Hospital, database: Database, device: Device) -> None:
    """Even of a device that does not count, so that only the challenge can tell."""
    still = enrolled(hospital, hospital.nurse, Device(ORIGIN, counts=False))
    person = nurse_of(hospital, database)
    for act in (
        lambda asked, answer: sign_in_alone(database, asked, answer, origin()),
        lambda asked, answer: finish_by_passkey(database, person, asked, answer, origin()),
    ):
        asked = webauthn.new_challenge()
        answer = still.show(webauthn.offer_showing(PARTY, asked, known=None))
        act(asked, answer)
        refused(lambda act=act, asked=asked, answer=answer: act(asked, answer), hospital)


def test_a_challenge_is_used_up_by_a_wrong_answer_too(hospital: Hospital, database: Database, device: Device) -> None:
    asked = webauthn.new_challenge()
    offer = webauthn.offer_showing(PARTY, asked, known=None)
    refused(lambda: sign_in_alone(database, asked, device.show(offer, verified=False), origin()), hospital)
    refused(lambda: sign_in_alone(database, asked, device.show(offer), origin()), hospital)


@pytest.mark.concurrency
def test_of_sixteen_at_once_with_one_answer_one_gets_a_token(hospital: Hospital, config: Config) -> None:
    database = Database(replace(config, origin=ORIGIN, pool_size=32, account_failures_max=99), application_url(config))
    still = enrolled(hospital, hospital.nurse, Device(ORIGIN, counts=False))
    asked = webauthn.new_challenge()
    answer = still.show(webauthn.offer_showing(PARTY, asked, known=None))

    def attempt() -> str:
        return refusal_of(lambda: sign_in_alone(database, asked, answer, origin()))

    outcomes = together(*[attempt] * 16)
    database.engine.dispose()
    assert sorted(outcomes) == ["done"] + ["not_authenticated"] * 15
    assert tokens_of(hospital) == 1


def test_taken_challenges_end(database: Database, owner: psycopg2.extensions.connection) -> None:
    with owner.cursor() as cursor:
        old, new = webauthn.new_challenge(), webauthn.new_challenge()
        webauthn.take_challenge(database, old)
        cursor.execute("UPDATE sign_in.taken SET ends_at = now() WHERE challenge = %s", (old,))
        webauthn.take_challenge(database, new)
        kept = "SELECT extract(epoch FROM ends_at - now()) FROM sign_in.taken WHERE challenge = %s"
        cursor.execute(kept, (old,))
        assert cursor.fetchall() == []
        cursor.execute(kept, (new,))
        ((seconds,),) = cursor.fetchall()
    assert seconds > webauthn.CHALLENGE_SECONDS
    with pytest.raises(PasskeyWrong):
        webauthn.take_challenge(database, new)


def test_a_passkey_of_somebody_else_is_no_second_factor(hospital: Hospital, database: Database, device: Device) -> None:
    doctors = enrolled(hospital, hospital.staff["doctor"])
    person = nurse_of(hospital, database)
    refused(lambda: second(database, person, doctors), hospital)
    refused(lambda: second(database, person, doctors, handle=device.handle), hospital)


def test_a_passkey_names_its_owner_and_nobody_else(hospital: Hospital, database: Database, device: Device) -> None:
    doctors = enrolled(hospital, hospital.staff["doctor"])
    refused(lambda: alone(database, device, handle=doctors.handle), hospital)
    refused(lambda: alone(database, device, handle=b""), hospital)
    refused(lambda: alone(database, device, handle=device.handle[:31]), hospital)


def test_a_passkey_of_another_hospital_is_nobodys_here(hospital: Hospital, database: Database, device: Device) -> None:
    other = open_hospital(database)
    theirs = enrolled(other, other.nurse)
    person = nurse_of(hospital, database)
    for act in (
        lambda: second(database, person, theirs),
        lambda: alone(database, theirs, handle=device.handle),
        lambda: alone(database, theirs, handle=device.handle[:16] + theirs.handle[16:]),
        lambda: alone(database, theirs, handle=theirs.handle[:16] + device.handle[16:]),
    ):
        refused(act, hospital)
        assert tokens_of(other) == 0
    assert alone(database, theirs).actor.organization_id == other.organization_id


def test_a_copied_name_without_the_key_is_refused(hospital: Hospital, database: Database, device: Device) -> None:
    forger = Device(ORIGIN, credential_id=device.credential_id, handle=device.handle)
    refused(lambda: alone(database, forger), hospital)
    refused(lambda: second(database, nurse_of(hospital, database), forger), hospital)


def test_a_removed_passkey_signs_nobody_in(hospital: Hospital, database: Database, device: Device) -> None:
    person = nurse_of(hospital, database)
    remove(hospital, device)
    refused(lambda: alone(database, device), hospital)
    refused(lambda: second(database, person, device), hospital)


def test_who_has_left_is_not_let_in(hospital: Hospital, database: Database, device: Device) -> None:
    change(hospital, hospital.nurse, active=False)
    refused(lambda: alone(database, device), hospital)


def test_a_reset_takes_passkeys_and_tokens_away(hospital: Hospital, database: Database, device: Device) -> None:
    doctors = enrolled(hospital, hospital.staff["doctor"])
    token = alone(database, device).issued.token
    values = {"organization_id": hospital.organization_id, "user_id": hospital.nurse.user_id, "now": now()}
    hospital.run(lambda session: second_factors.reset(session, **values))
    refused(lambda: alone(database, device), hospital)
    with pytest.raises(NotAuthenticated):
        authenticate(database, token, request_id="r")
    assert alone(database, doctors)


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_a_count_that_has_not_risen_is_refused(
    hospital: Hospital, database: Database, device: Device, count: int
) -> None:
    device.count = 4
    alone(database, device)
    device.count, device.counts = count, False
    refused(lambda: alone(database, device), hospital)
    refused(lambda: second(database, nurse_of(hospital, database), device), hospital)
    device.count = 6
    assert alone(database, device)


def test_a_device_that_never_counts_signs_in_again_and_again(hospital: Hospital, database: Database) -> None:
    still = enrolled(hospital, hospital.nurse, Device(ORIGIN, counts=False))
    for _ in range(3):
        alone(database, still)
    assert tokens_of(hospital) == 3


def test_failures_of_a_known_passkey_lock_the_account_and_its_right_answer_too(
    hospital: Hospital, database: Database, device: Device
) -> None:
    for _ in range(3):
        refused(lambda: alone(database, device, verified=False), hospital)
    assert refusal_of(lambda: alone(database, device)) == "too_many_attempts"
    assert refusal_of(lambda: nurse_of(hospital, database)) == "too_many_attempts"


def test_failed_second_passkeys_lock_the_account(hospital: Hospital, database: Database, device: Device) -> None:
    person = nurse_of(hospital, database)
    for _ in range(3):
        refused(lambda: second(database, person, Device(ORIGIN)), hospital)
    assert refusal_of(lambda: second(database, person, device)) == "too_many_attempts"


def test_unknown_passkeys_lock_the_address_and_nobodys_account(
    hospital: Hospital, config: Config, device: Device
) -> None:
    limits = {"account_failures_max": 1, "address_failures_max": 3}
    database = Database(replace(config, origin=ORIGIN, **limits), application_url(config))
    where, elsewhere = (origin(f"2001:db8:{random.getrandbits(16):x}:{number}::1") for number in (1, 2))

    def tried(one: Device, at: Origin = where) -> str:
        asked = webauthn.new_challenge()
        answer = one.show(webauthn.offer_showing(PARTY, asked, known=None))
        return refusal_of(lambda: sign_in_alone(database, asked, answer, at))

    stranger = Device(ORIGIN, handle=device.handle)
    assert [tried(stranger) for _ in range(4)] == ["not_authenticated"] * 3 + ["too_many_attempts"]
    assert tried(device) == "too_many_attempts"
    assert tried(device, elsewhere) == "done"
    database.engine.dispose()


def test_a_locked_account_is_locked_to_its_passkeys(hospital: Hospital, database: Database, device: Device) -> None:
    for _ in range(3):
        count_failure(database, Attempt(hospital.slug, f"nurse@{hospital.slug}.example", "192.0.2.9"))
    assert refusal_of(lambda: alone(database, device)) == "too_many_attempts"
    assert tokens_of(hospital) == 0


def test_a_right_passkey_forgives_the_failures_before_it(hospital: Hospital, database: Database) -> None:
    device = enrolled(hospital, hospital.nurse)
    for _ in range(2):
        for _ in range(2):
            refused(lambda: alone(database, device, verified=False), hospital)
        alone(database, device)


def test_no_answer_of_a_stranger_is_anything_but_refused(hospital: Hospital, config: Config, device: Device) -> None:
    database = Database(replace(config, origin=ORIGIN, account_failures_max=9_999), application_url(config))
    draw = random.Random(7)
    offer = webauthn.offer_showing(PARTY, CHALLENGE, known=None)
    right, made = device.show(offer), Device(ORIGIN).make(offer_making(hospital.nurse))
    answers = ["", "null", "[]", "{}", "[" * 5_000, '"\ud800"', "\0", '{"id": 1}', *_spoiled(right, draw)]
    for answer in answers:
        refused(lambda answer=answer: sign_in_alone(database, webauthn.new_challenge(), answer, origin()), hospital)
    for answer in [*answers, *_spoiled(made, draw)]:
        with pytest.raises(PasskeyWrong):
            webauthn.made_by(PARTY, b"d" * 32, answer)
    database.engine.dispose()


def _spoiled(answer: str, draw: random.Random) -> Iterator[str]:
    """The answer with a part of it gone, of another type, cut or garbled."""
    whole = json.loads(answer)
    for place in (whole, whole["response"]):
        for name, value in list(place.items()):
            for other in (None, 1, [], {}, "", "!", "A" * 9, "é", str(value)[:-7], str(value)[::-1]):
                place[name] = other
                yield json.dumps(whole)
            place[name] = value
    for name in ("authenticatorData", "attestationObject", "clientDataJSON", "signature"):
        if value := whole["response"].get(name):
            for _ in range(60):
                at = draw.randrange(len(value))
                whole["response"][name] = value[:at] + draw.choice("AZ_-09") + value[at + draw.randrange(3) :]
                yield json.dumps(whole)
            whole["response"][name] = value
