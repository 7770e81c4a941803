"""Who sits at the screen: a signed cookie with the bearer token of a sign-in, which the server can end at any time.

The token is the same as the API's: only its SHA-256 is stored, it lives for a shift, a new password or leaving ends it.
An idle screen locks itself: the cookie says when it was last used, and after IDLE_MINUTES only the password opens it.
"""

import hashlib
import secrets
from datetime import datetime

from flask import Flask, Request, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature

from backend.config import Config
from backend.db.provision import application_url
from backend.domain.identity import tokens
from backend.domain.identity.sign_in import webauthn
from backend.domain.identity.sign_in.webauthn import CHALLENGE_SECONDS, PasskeyWrong
from backend.errors import NotAuthenticated
from backend.observability import bind_contextvars
from backend.web.endpoint import database_of_app

COOKIE = "valmed"
IDLE_SECONDS_MAX = 10 * 60
CODE_SECONDS_MAX = 5 * 60


class ScreenLocked(NotAuthenticated):
    """The screen was not used for a while. Type your password to go on."""


class _Cookie(SecureCookieSessionInterface):
    """Secure and of this host alone (`__Host-`) wherever the page came by HTTPS: on plain HTTP, a ward's first trial,
    browsers would lose such a cookie."""

    def get_cookie_name(self, app: Flask) -> str:
        """The name that this request's cookie has."""
        return f"__Host-{COOKIE}" if request.is_secure else COOKIE

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether this answer's cookie is for HTTPS only."""
        return request.is_secure

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        """Read the signed cookie, however old: what expires in it carries a time of the database's clock.

        Flask would compare the time of the signature with the clock of the node that reads it, and throw away the
        cookie of a node whose clock is ahead.
        """
        serializer, cookie = self.get_signing_serializer(app), request.cookies.get(self.get_cookie_name(app))
        if serializer is None or not cookie:
            return self.session_class()
        try:
            return self.session_class(serializer.loads(cookie))
        except BadSignature:
            return self.session_class()


def install_session(app: Flask, config: Config) -> None:
    """Signs cookies with the configured secret, else with one derived from the database's password."""
    app.secret_key = config.secret_key or _derived_secret(config)
    app.session_interface = _Cookie()
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        BOOTSTRAP_SERVE_LOCAL=True,
    )


def _derived_secret(config: Config) -> str:
    """The same in every process that serves this database; without a password to derive it from, a new one a start.

    Slowly (scrypt, 16 MiB): who has a cookie can try passwords of the database against its signature.
    """
    password = application_url(config).password
    if not password:
        return secrets.token_hex(32)
    return hashlib.scrypt(str(password).encode(), salt=b"valmed pages", n=2**14, r=8, p=1, dklen=32).hex()


def now() -> datetime:
    """Tell the database's time, the same throughout one request. Raises Busy."""
    if "now" not in g:
        g.now = database_of_app().now()
    moment: datetime = g.now
    return moment


def sign_in(token: str, **about: str) -> None:
    """The screen is now of the person whose `token` this is; `about` is what every page shows of them."""
    session.clear()
    session["token"] = token
    session["about"] = about
    touch()


def remember(*, factor_shown: bool = False, **about: str) -> None:
    """Somebody's password is right and something is still to come: the signed cookie knows who, whether they have shown
    a second factor since, and holds no token."""
    session.clear()
    session["half"] = {**about, "at": now().timestamp()}
    if factor_shown:
        session["factor_shown"] = True


def remembered() -> dict[str, str]:
    """What `remember` was told of them. Raises NotAuthenticated where that is nothing, or too long ago."""
    half = session.get("half")
    if half is None or now().timestamp() - half["at"] > CODE_SECONDS_MAX:
        session.pop("half", None)
        raise NotAuthenticated("That took too long. Type your password again.")
    return {name: value for name, value in half.items() if name != "at"}


def factor_shown() -> bool:
    """Whether whoever is remembered has shown a second factor."""
    return "factor_shown" in session


def challenge(purpose: str) -> bytes:
    """What a passkey is to answer next, in this browser and for this `purpose`."""
    made = webauthn.new_challenge()
    session["challenge"] = {"asked": made.hex(), "purpose": purpose, "at": now().timestamp()}
    return made


def challenged(purpose: str) -> bytes:
    """What this browser was asked for `purpose`. Raises PasskeyWrong where that is nothing, or too long ago."""
    last = session.pop("challenge", None)
    if last is None or last["purpose"] != purpose or now().timestamp() - last["at"] > CHALLENGE_SECONDS:
        raise PasskeyWrong("That took too long. Try again.")
    return bytes.fromhex(last["asked"])


def sign_out() -> None:
    """The screen is of nobody."""
    session.clear()


def touch() -> None:
    """The screen was used just now."""
    session["seen"] = now().timestamp()


def lock() -> None:
    """The screen keeps whose it is and shows nothing until the password is typed."""
    session["seen"] = 0


def identify() -> None:
    """Sets `g.actor`. Raises NotAuthenticated, ScreenLocked."""
    token = session.get("token")
    if token is None:
        raise NotAuthenticated("Sign in.")
    g.actor, _ = tokens.authenticate(database_of_app(), token, request_id=g.audit_request_id)
    g.now = g.actor.requested_at
    bind_contextvars(organization_id=str(g.actor.organization_id), user_id=str(g.actor.user_id))
    if now().timestamp() - session.get("seen", 0) > IDLE_SECONDS_MAX:
        raise ScreenLocked()
