"""The Idempotency-Key of a request: the caller's, or one made here so that a lost COMMIT can be looked for.

Decision: a password that a request sets is part of its fingerprint, as an argon2id hash whose salt is made of the
hospital and the key; a one-time code and the credentials of a witness, which prove who somebody is, are left out.
Because the same key with another password is another request and must not be answered as if that password were set,
because no fast hash of a password may be stored, and because a repeat may bring a fresh code. The stored hash of the
user does not serve for this: it changes when its owner chooses a password, and a true repeat would then be refused.
Cost: one more argon2 hash for a request that sets a password, and a request whose answer the release before this one
stored is refused when it is repeated here.

A replay says what was done when the key was used first. An operation that is not keyed carries every repeat out again,
so it never answers for a secret that it has not read: the caller's own password, second factor and passkeys are so.
"""

import hashlib
import re

import orjson
from flask import Request

from backend.actor import Actor
from backend.db import new_id
from backend.db.idempotency import IdempotencyKey
from backend.domain.identity import passwords
from backend.errors import ValidationFailed

SECRETS = frozenset({"password", "otp", "new_password", "secret"})
SET_BY_REQUEST = SECRETS - {"otp"}  # at the top of a body; deeper down they prove who a second person is
_FORM = re.compile(r"[\x21-\x7e]{1,128}")


def key_of(request: Request, actor: Actor, body: dict[str, object]) -> IdempotencyKey:
    """The key and the fingerprint of who asks for what. Raises ValidationFailed for a key that is not 1 to 128 visible
    ASCII characters."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        key = f"server-{new_id()}"
    elif not _FORM.fullmatch(key):
        raise ValidationFailed.of("Idempotency-Key", "1 to 128 visible ASCII characters")
    return make_key(key, actor, request.method, request.path, request.query_string, body)


def make_key(key: str, actor: Actor, method: str, path: str, query: bytes, body: dict[str, object]) -> IdempotencyKey:
    """Return `key` with the SHA-256 of who asks for what.

    It covers the parsed body, so that another spelling of the same JSON is the same request. Of the secrets it covers
    those that the request sets, as slow hashes.
    """
    digest = hashlib.sha256(f"{actor.user_id} {method} {path} ".encode() + query)
    if body:
        digest.update(orjson.dumps(_without_secrets(body), option=orjson.OPT_SORT_KEYS, default=str))
    for name in sorted(SET_BY_REQUEST & body.keys()):
        digest.update(f" {name} ".encode() + passwords.derive(str(body[name]), f"{actor.organization_id} {key}"))
    return IdempotencyKey(key, digest.digest())


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {name: _without_secrets(inner) for name, inner in value.items() if name not in SECRETS}
    return value
