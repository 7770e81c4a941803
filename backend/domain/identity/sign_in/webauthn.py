"""The two ceremonies of WebAuthn: a device makes a passkey, a device shows that it holds one.

Decision: a challenge travels in the signed cookie of the browser that asked for it, and PostgreSQL keeps which ones
were answered. Because asking, which anybody may before anybody is known, then writes nothing; an answer counts in the
browser that asked and nowhere else; and every worker knows what was taken, so that none counts twice. Cost: a row of 32
bytes for each answer, right or wrong, for as long as its challenge could be shown again.

Decision: a passkey knows its owner by the ids of the hospital and of the user, 32 bytes that say nothing to anybody
else. Because whoever signs in by a passkey alone then names the hospital too, and no key of ours crosses hospitals.

Attestation is not asked for: which make of device somebody has is theirs to choose.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from sqlalchemy import Row
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import (
    options_to_json,
    parse_authentication_credential_json,
    parse_registration_credential_json,
)
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from backend.config import Config
from backend.db import Database, Prepared
from backend.errors import Forbidden, NotFound

CHALLENGE_SECONDS = 5 * 60
_TAKE = Prepared("take_challenge", "SELECT take_challenge(:challenge::bytea, :kept_seconds::integer)")
_KEPT_SECONDS = 2 * CHALLENGE_SECONDS  # longer than any cookie counts, on a node whose clock is off too
_TIMEOUT_MS = 120_000  # for the person at the device
_UUID_BYTES = 16
T = TypeVar("T")


class PasskeysOff(NotFound):
    """This server knows no address for passkeys. Its operator can set one: VALMED_ORIGIN."""


class PasskeyWrong(Forbidden):
    """The passkey was not accepted. Try again."""


@dataclass(frozen=True, slots=True)
class Party:
    """Whom passkeys are made for: the address of the pages, and its host name, to which browsers bind them."""

    origin: str

    @property
    def id(self) -> str:
        """The RP id."""
        return urlsplit(self.origin).hostname or ""


@dataclass(frozen=True, slots=True)
class Made:
    """A passkey that a device has made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]
    backed_up: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """What a right answer says of the device: how often its passkey was used, whether it is copied to a cloud."""

    sign_count: int
    backed_up: bool


def party_of(config: Config) -> Party:
    """The party that the settings name. Raises PasskeysOff."""
    if not config.origin:
        raise PasskeysOff()
    return Party(config.origin)


def new_challenge() -> bytes:
    """256 random bits."""
    return secrets.token_bytes(32)


def take_challenge(database: Database, challenge: bytes) -> None:
    """Uses `challenge` up, in a transaction of its own. Raises PasskeyWrong where it was used before."""
    if not database.increment(_TAKE, challenge=challenge, kept_seconds=_KEPT_SECONDS)[0][0]:
        raise PasskeyWrong("This answer was used before. Try again.")


def offer_making(
    party: Party, challenge: bytes, *, handle: bytes, email: str, name: str, known: Sequence[Row[Any]]
) -> str:
    """What navigator.credentials.create() is asked, as JSON; no device that holds one of `known` makes another."""
    return options_to_json(
        webauthn.generate_registration_options(
            rp_id=party.id,
            rp_name="ValMed",
            user_id=handle,
            user_name=email,
            user_display_name=name,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
            ),
            exclude_credentials=[_descriptor(passkey) for passkey in known],
        )
    )


def offer_showing(party: Party, challenge: bytes, *, known: Sequence[Row[Any]] | None) -> str:
    """What navigator.credentials.get() is asked, as JSON: one of `known`, after a password; None: any passkey, whose
    device must make sure who holds it."""
    alone = known is None
    return options_to_json(
        webauthn.generate_authentication_options(
            rp_id=party.id,
            challenge=challenge,
            timeout=_TIMEOUT_MS,
            allow_credentials=[_descriptor(passkey) for passkey in known or ()],
            user_verification=UserVerificationRequirement.REQUIRED
            if alone
            else UserVerificationRequirement.DISCOURAGED,
        )
    )


def made_by(party: Party, challenge: bytes, answer: str) -> Made:
    """The passkey of an answer to `offer_making`. Raises PasskeyWrong."""

    def verify() -> Made:
        credential = parse_registration_credential_json(answer)
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
        )
        return Made(
            verified.credential_id,
            verified.credential_public_key,
            verified.sign_count,
            [transport.value for transport in credential.response.transports or ()],
            verified.credential_backed_up,
        )

    return _believed(verify)


def answer_of(text: str) -> AuthenticationCredential:
    """An answer to `offer_showing`, read and not believed yet. Raises PasskeyWrong."""
    return _believed(lambda: parse_authentication_credential_json(text))


def shown_by(
    party: Party, challenge: bytes, answer: AuthenticationCredential, *, public_key: bytes, alone: bool
) -> Shown:
    """What a right answer of the passkey `public_key` says; `alone` without a password. Raises PasskeyWrong.

    The count is not compared here, where it would be before the signature: only who holds the key is told of it.
    """

    def verify() -> VerifiedAuthentication:
        return webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=alone,
        )

    verified = _believed(verify)
    return Shown(verified.new_sign_count, verified.credential_backed_up)


def handle_of(organization_id: UUID, user_id: UUID) -> bytes:
    """What a passkey remembers of its owner."""
    return organization_id.bytes + user_id.bytes


def owner_of(answer: AuthenticationCredential) -> tuple[UUID, UUID]:
    """The hospital and the user that an answer names. Raises PasskeyWrong where it names none."""
    handle = answer.response.user_handle or b""
    if len(handle) != 2 * _UUID_BYTES:
        raise PasskeyWrong()
    return UUID(bytes=handle[:_UUID_BYTES]), UUID(bytes=handle[_UUID_BYTES:])


def _descriptor(passkey: Row[Any]) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(transport) for transport in passkey.transports]
    return PublicKeyCredentialDescriptor(id=passkey.credential_id, transports=transports)


def _believed(verify: Callable[[], T]) -> T:
    """What `verify` returns. The library refuses a stranger's bytes with errors of its own, of its decoders and of its
    cryptography: whatever it says, they are no passkey's."""
    try:
        return verify()
    except Exception:  # noqa: BLE001
        raise PasskeyWrong() from None
