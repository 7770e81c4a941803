"""Adding and removing passkeys, alone and many at once, and the setting that they need."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from backend.actor import SecondFactorRequired
from backend.config import Config, ConfigError
from backend.db import Database
from backend.db.provision import application_url
from backend.domain.identity import passkeys, queries, second_factors
from backend.domain.identity.passkeys import PASSKEYS_MAX, PasskeyTaken, TooManyPasskeys
from backend.domain.identity.second_factors import SecondFactorChanged
from backend.domain.identity.sign_in import totp, webauthn
from backend.domain.identity.sign_in.by_passkey import sign_in_alone
from backend.domain.identity.sign_in.by_password import (
    enrol_and_finish,
    has_second_factor,
)
from backend.domain.identity.sign_in.webauthn import Made, Party, PasskeyWrong
from tests.concurrency.threads import together
from tests.domain.identity.device import Device
from tests.domain.identity.passkeys.signing import (
    CHALLENGE,
    ORIGIN,
    PARTY,
    add,
    enrolled,
    nurse_of,
    offer_making,
    remove,
    stored,
    tokens_of,
)
from tests.domain.identity.test_second_factors import refusal_of, require
from tests.domain.identity.test_sign_in import issue, origin
from tests.hospital import Hospital, now


def test_a_passkey_is_registered_once(hospital: Hospital, device: Device) -> None:
    for login in ("nurse", "doctor"):
        actor = hospital.staff[login]
        with pytest.raises(PasskeyTaken):
            add(hospital, actor, device.make(offer_making(actor)))
    assert len(stored(hospital)) == 1


@pytest.mark.parametrize("other", ["https://evil.example", "http://ward.example", "https://ward.example:8443"])
def test_a_passkey_made_for_another_page_is_not_registered(hospital: Hospital, other: str) -> None:
    with pytest.raises(PasskeyWrong):
        add(hospital, hospital.nurse, Device(other).make(offer_making(hospital.nurse)))
    answer = Device(ORIGIN).make(offer_making(hospital.nurse))
    for party, challenge in ((PARTY, b"d" * 32), (Party("https://else.example"), CHALLENGE)):
        with pytest.raises(PasskeyWrong):
            webauthn.made_by(party, challenge, answer)


def test_nobody_has_more_than_ten(hospital: Hospital, database: Database) -> None:
    for _ in range(PASSKEYS_MAX):
        enrolled(hospital, hospital.nurse)
    with pytest.raises(TooManyPasskeys):
        enrolled(hospital, hospital.nurse)
    with pytest.raises(TooManyPasskeys):
        hospital.run(lambda session: passkeys.known_before_another(session, actor=hospital.nurse))
    assert len(stored(hospital)) == PASSKEYS_MAX
    assert enrolled(hospital, hospital.staff["doctor"])


@pytest.mark.concurrency
def test_of_eight_added_at_once_to_nine_one_is(hospital: Hospital, database: Database) -> None:
    for _ in range(PASSKEYS_MAX - 1):
        enrolled(hospital, hospital.nurse)
    gate = threading.Barrier(8)

    def add(number: int) -> str:
        made = Made(b"n%d" % number, b"key", 0, [], backed_up=False)

        def work(session: Any) -> None:
            queries.count_passkeys(
                session, organization_id=hospital.organization_id, user_id=hospital.nurse.user_id
            )  # the snapshot is taken
            if not gate.broken:
                try_wait(gate)
            passkeys.add_passkey(session, actor=hospital.nurse, made=made, name="n")

        return refusal_of(lambda: database.transact(work, actor=hospital.nurse))

    outcomes = sorted(together(*(partial(add, number) for number in range(8))))
    assert outcomes == ["done"] + ["too_many_passkeys"] * 7
    assert len(stored(hospital)) == PASSKEYS_MAX


def try_wait(gate: threading.Barrier) -> None:
    """Everybody's first run waits for the others; a run after a conflict goes on at once."""
    try:
        gate.wait(10)
    except threading.BrokenBarrierError:
        return
    gate.abort()


def test_the_last_factor_of_who_must_have_one_stays(hospital: Hospital, device: Device) -> None:
    require(hospital, "nurse")
    with pytest.raises(SecondFactorRequired):
        remove(hospital, device)
    assert len(stored(hospital)) == 1
    spare = enrolled(hospital, hospital.nurse)
    remove(hospital, device)
    with pytest.raises(SecondFactorRequired):
        remove(hospital, spare)
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", totp.new_secret())
    remove(hospital, spare)
    with pytest.raises(SecondFactorRequired):
        hospital.run(lambda session: second_factors.remove(session, actor=hospital.nurse))
    enrolled(hospital, hospital.nurse)
    hospital.run(lambda session: second_factors.remove(session, actor=hospital.nurse))
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(None,)]


@pytest.mark.concurrency
def test_of_two_that_take_away_the_app_and_the_passkey_at_once_one_is_refused(
    hospital: Hospital, database: Database, device: Device
) -> None:
    require(hospital, "nurse")
    hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", totp.new_secret())
    ((passkey_id,),) = hospital.rows("SELECT id FROM passkeys")
    gate = threading.Barrier(2)

    def first_looking(act: Callable[[Any], None]) -> Callable[[Any], None]:
        def work(session: Any) -> None:
            second_factors.standing(session, actor=hospital.nurse)
            if not gate.broken:
                try_wait(gate)
            act(session)

        return work

    acts = [
        first_looking(lambda session: second_factors.remove(session, actor=hospital.nurse)),
        first_looking(lambda session: passkeys.remove_passkey(session, actor=hospital.nurse, passkey_id=passkey_id)),
    ]

    def attempt(act: Callable[[Any], None]) -> str:
        return refusal_of(lambda: database.transact(act, actor=hospital.nurse))

    outcomes = sorted(together(*(partial(attempt, act) for act in acts)))
    assert outcomes == ["done", "second_factor_required"]
    assert has_second_factor(database, nurse_of(hospital, database))


def test_who_knows_the_password_does_not_set_an_app_up_beside_a_passkey(
    hospital: Hospital, database: Database, device: Device
) -> None:
    """A thief on the page that sets up a first factor: it is not the first."""
    require(hospital, "nurse")
    person, secret = nurse_of(hospital, database), totp.new_secret()
    otp = totp.code_of(secret, totp.step_at(now()))
    with pytest.raises(SecondFactorChanged):
        enrol_and_finish(database, person, secret, otp, origin())
    assert hospital.rows("SELECT totp_secret FROM users WHERE role = 'nurse'") == [(None,)]
    assert tokens_of(hospital) == 0


@pytest.mark.parametrize("origin", ["https://ward.example", "https://ward.example:8443", "http://localhost:8000"])
def test_an_address_that_browsers_make_passkeys_for(origin: str) -> None:
    assert Config.from_env({"VALMED_ORIGIN": origin}).origin == origin
    assert Party(origin).id in {"ward.example", "localhost"}


@pytest.mark.parametrize(
    "origin",
    [
        *("ward.example", "http://ward.example", "https://ward.example/", "https://ward.example/x", "https://"),
        *(
            "http://127.0.0.1:8000",
            "https://10.1.2.3",
            "https://[::1]",
            "https://u@ward.example",
            "https://Ward.example",
        ),
        *(
            "https://ward.example:x",
            "https://ward.example?",
            "https://-.example",
            "ftp://localhost",
            "https://ä.example",
        ),
    ],
)
def test_no_other_address_is_taken(origin: str) -> None:
    with pytest.raises(ConfigError, match="VALMED_ORIGIN"):
        Config.from_env({"VALMED_ORIGIN": origin})


def test_without_an_address_there_are_no_passkeys(hospital: Hospital, config: Config, device: Device) -> None:
    database = Database(config, application_url(config))
    asked = webauthn.new_challenge()
    answer = device.show(webauthn.offer_showing(PARTY, asked, known=None))
    assert refusal_of(lambda: sign_in_alone(database, asked, answer, origin())) == "passkeys_off"
    assert issue(hospital)
    assert tokens_of(hospital) == 1
    database.engine.dispose()
