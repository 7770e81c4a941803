"""What was typed to find a patient, sealed for the address of the page that shows who was found.

Decision: such a search is sent by POST and answered by a redirect to the page, whose address has the term encrypted and
authenticated. Because an address stays in the browser's history and in what proxies log, where no name and no medical
record number belongs (OWASP ASVS 8.3.1), and yet reload, back, a second tab and the link to more must find the same,
without a script and with nothing kept on the server. Cost: a search is two requests, and an address ends with a shift.
"""

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.web.endpoint import database_of_app
from backend.web.fields import Body, Search
from backend.web.parsing import load

PADDED_BYTES = 128  # a seal shows how long the term is: so all but the longest names are as long as each other


class Term(Body):
    """What a search form asks for."""

    q = Search(length=100)


@dataclass(frozen=True)
class Searched:
    """What the address of a page asks for: the term, its seal, and whether there was one that opens no more."""

    q: str = ""
    seal: str = ""
    lost: bool = False


def found_at(endpoint: str, **kept: str) -> AnyResponse:
    """Answers a search form: to the page that shows what its `q` finds, with `kept` in its address as well.

    Raises ValidationFailed for what nobody searches for.
    """
    q = load(Term(), {"q": request.form.get("q", "")})["q"]
    parts: dict[str, Any] = {"found": sealed(q) if q else None, **{name: value or None for name, value in kept.items()}}
    return redirect(url_for(endpoint, **parts), 303)


def searched() -> Searched:
    """What the address asks for; a seal that is broken, too old or another hospital's asks for nothing."""
    seal = request.args.get("found", "")
    if not seal:
        return Searched()
    age = timedelta(hours=database_of_app().config.token_hours)
    try:
        term = _cipher().decrypt(seal.encode(), ttl=int(age.total_seconds()))
    except InvalidToken:
        return Searched(lost=True)
    return Searched(term.decode().rstrip(), seal)


def body_of(term: Searched, **wanted: str) -> dict[str, str]:
    """The body of the search for `term` and whatever is `wanted` beside it.

    A page that follows one of a lost search does not follow the first of another.
    """
    body = {"q": term.q, **wanted}
    return {name: value for name, value in body.items() if value and not (term.lost and name == "cursor")}


def sealed(q: str) -> str:
    """The term, which has no blank edges, for the address of a page of this hospital."""
    return _cipher().encrypt(q.encode().ljust(PADDED_BYTES)).decode()


def _cipher() -> Fernet:
    return cipher_of(str(current_app.secret_key), g.actor.organization_id)


def cipher_of(secret_key: str, organization_id: UUID) -> Fernet:
    """What seals and opens the terms of one hospital, by a key of its own."""
    info = b"valmed sealed terms " + organization_id.bytes
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(key))
