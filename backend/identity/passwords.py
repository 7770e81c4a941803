"""Passwords: argon2id with OWASP's figures (19 MiB, two passes, one lane), never on the path of an API call."""

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from backend.errors import ValidationFailed

LENGTH_MIN, LENGTH_MAX = 12, 128
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _HASHER.hash("nobody's password, checked so that an unknown name takes as long as a known one")


def hash_password(password: str, *, field: str = "password") -> str:
    """The hash to store. Raises ValidationFailed, at `field` of the body, for one that is too short or too long."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise ValidationFailed.of(field, f"between {LENGTH_MIN} and {LENGTH_MAX} characters")
    return _HASHER.hash(password)


def is_password(stored: str | None, password: str) -> bool:
    """Whether `password` belongs to the hash `stored`; takes as long where there is none."""
    try:
        return _HASHER.verify(stored or _NOBODY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
