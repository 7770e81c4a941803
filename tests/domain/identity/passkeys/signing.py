"""Signing in by a passkey as the tests of passkeys do, and what it leaves."""

from collections.abc import Callable
from typing import Any

import pytest

from backend.actor import Actor
from backend.db import Database
from backend.domain.identity import passkeys
from backend.domain.identity.sign_in import webauthn
from backend.domain.identity.sign_in.by_passkey import finish_by_passkey, sign_in_alone
from backend.domain.identity.sign_in.by_password import (
    SignedIn,
    check_password,
)
from backend.domain.identity.sign_in.webauthn import Party
from backend.domain.identity.tokens import Person
from backend.errors import NotAuthenticated
from tests.domain.identity.device import Device
from tests.domain.identity.test_sign_in import credentials_of, origin
from tests.hospital import Hospital

ORIGIN = "https://ward.example"
PARTY = Party(ORIGIN)
CHALLENGE = b"c" * 32  # of registrations, which are checked before they reach the database


def enrolled(hospital: Hospital, actor: Actor, device: Device | None = None) -> Device:
    """A device whose passkey is the actor's."""
    made = device or Device(ORIGIN)
    add(hospital, actor, made.make(offer_making(actor)))
    return made


def offer_making(actor: Actor) -> str:
    """What a device is asked that makes a passkey of the actor's."""
    assert actor.user_id is not None
    handle = webauthn.handle_of(actor.organization_id, actor.user_id)
    return webauthn.offer_making(PARTY, CHALLENGE, handle=handle, email="e", name=actor.name, known=[])


def add(hospital: Hospital, actor: Actor, answer: str, name: str = "Phone") -> None:
    """Stores the passkey that a device has made."""
    made = webauthn.made_by(PARTY, CHALLENGE, answer)
    hospital.run(lambda session: passkeys.add_passkey(session, actor=actor, made=made, name=name), actor)


def alone(database: Database, device: Device, **changes: Any) -> SignedIn:
    """Signs in by the passkey alone."""
    asked = webauthn.new_challenge()
    answer = device.show(webauthn.offer_showing(PARTY, asked, known=None), **changes)
    return sign_in_alone(database, asked, answer, origin())[1]


def second(database: Database, person: Person, device: Device, **changes: Any) -> SignedIn:
    """Signs in somebody whose password was right."""
    asked = webauthn.new_challenge()
    answer = device.show(webauthn.offer_showing(PARTY, asked, known=[]), **changes)
    return finish_by_passkey(database, person, asked, answer, origin())


def nurse_of(hospital: Hospital, database: Database) -> Person:
    """The nurse, whose password was right."""
    return check_password(database, credentials_of(hospital), origin())


def stored(hospital: Hospital) -> list[tuple[Any, ...]]:
    """The passkeys of the hospital: count, and whether each was used."""
    return hospital.rows("SELECT sign_count, last_used_at IS NOT NULL FROM passkeys ORDER BY id")


def tokens_of(hospital: Hospital) -> int:
    """How many sign-ins there were."""
    return int(hospital.rows("SELECT count(*) FROM access_tokens")[0][0])


def refused(act: Callable[[], Any], hospital: Hospital) -> None:
    """The act signs nobody in, and uses no passkey."""
    before = (tokens_of(hospital), stored(hospital))
    with pytest.raises(NotAuthenticated):
        act()
    assert (tokens_of(hospital), stored(hospital)) == before


def remove(hospital: Hospital, device: Device) -> None:
    """The nurse removes the passkey of `device`."""
    ((passkey_id,),) = hospital.rows("SELECT id FROM passkeys WHERE credential_id = :p1", device.credential_id)
    hospital.run(
        lambda session: passkeys.remove_passkey(session, actor=hospital.nurse, passkey_id=passkey_id), hospital.nurse
    )
