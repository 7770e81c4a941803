"""The Idempotency-Key of a request: the caller's, or one made here so that a lost COMMIT can be looked for."""

import hashlib
import re

import orjson
from flask import Request

from backend.actor import Actor
from backend.db import new_id
from backend.db.idempotency import IdempotencyKey
from backend.errors import ValidationFailed

SECRETS = frozenset({"password", "otp", "new_password", "secret"})
_FORM = re.compile(r"[\x21-\x7e]{1,128}")


def key_of(request: Request, actor: Actor, body: dict[str, object]) -> IdempotencyKey:
    """The key and the fingerprint of who asks for what. Raises ValidationFailed for a key that is not 1 to 128 visible
    ASCII characters."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        key = f"server-{new_id()}"
    elif not _FORM.fullmatch(key):
        raise ValidationFailed.of("Idempotency-Key", "1 to 128 visible ASCII characters")
    return IdempotencyKey(key, fingerprint_of(actor, request.method, request.path, request.query_string, body))


def fingerprint_of(actor: Actor, method: str, path: str, query: bytes, body: dict[str, object]) -> bytes:
    """The SHA-256 of who asks for what.

    It covers the parsed body, so that another spelling of the same JSON is the same request. Passwords and one-time
    codes are left out: a fast hash of them must not be stored, and a repeat may bring a fresh code.
    """
    digest = hashlib.sha256(f"{actor.user_id} {method} {path} ".encode() + query)
    if body:
        digest.update(orjson.dumps(_without_secrets(body), option=orjson.OPT_SORT_KEYS, default=str))
    return digest.digest()


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_secrets(inner) for name, inner in value.items() if name not in SECRETS}
    return value
