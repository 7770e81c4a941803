"""Passwords: argon2id with OWASP's figures (19 MiB, two passes, one lane), never on the path of an API call."""

import hashlib
from collections.abc import Iterable

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import hash_secret_raw

from backend.domain.identity.sign_in.leaked_passwords import normalised, why_guessable
from backend.errors import ValidationFailed

LENGTH_MIN, LENGTH_MAX = 12, 128
PASSES, MEMORY_KIB, LANES = 2, 19_456, 1
_HASHER = PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
_NOBODY = _HASHER.hash("nobody's password, checked so that an unknown name takes as long as a known one")


def hash_password(password: str, *, about: Iterable[str] = (), field: str = "password") -> str:
    """The hash to store. `about` are names and addresses of the person and the hospital.

    Raises ValidationFailed, at `field` of the body, for one that is too short, too long or easily guessed.
    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX or not LENGTH_MIN <= len(normalised(password)) <= LENGTH_MAX:
        raise ValidationFailed.of(field, f"between {LENGTH_MIN} and {LENGTH_MAX} characters")
    if reason := why_guessable(password, about):
        raise ValidationFailed.of(field, f"choose another: {reason}")
    return hash_again(password)


def hash_again(password: str) -> str:
    """The hash of a password that was found right: what it must be was asked when it was chosen."""
    return _HASHER.hash(normalised(password))


def derive(password: str, purpose: str) -> bytes:
    """Return 32 bytes that stand for `password`; to guess it from them costs as much as from what `hash_password`
    stores. `purpose` gives the salt, so it must not be used twice."""
    salt = hashlib.sha256(purpose.encode()).digest()
    return hash_secret_raw(
        normalised(password).encode(),
        salt,
        time_cost=PASSES,
        memory_cost=MEMORY_KIB,
        parallelism=LANES,
        hash_len=32,
        type=Type.ID,
    )


def is_outdated(stored: str) -> bool:
    """Whether the hash `stored` was made with other figures than today's."""
    return _HASHER.check_needs_rehash(stored)


def is_password(stored: str | None, password: str) -> bool:
    """Whether `password` belongs to the hash `stored`; takes as long where there is none."""
    typed = normalised(password) if len(password) <= LENGTH_MAX else ""  # which is nobody's
    try:
        return _HASHER.verify(stored or _NOBODY, typed) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
