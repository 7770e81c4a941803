"""Signing in and out, and the lock of an idle screen."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import flash, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from backend.api.tokens import CredentialsIn
from backend.errors import NotAuthenticated, ValidationFailed
from backend.http.endpoint import database_of_app
from backend.http.parsing import load
from backend.identity import tokens
from backend.identity.tokens import Credentials
from backend.organizations.organizations import get_organization
from backend.ui import session as screen
from backend.ui.pages import blueprint_of

blueprint = blueprint_of("signing_in", signed_in=False)
FIELDS = ("organization", "email", "password", "otp")


def _target() -> str:
    """Where to go on: a path of ours, else the start."""
    wanted = request.values.get("next", "/")
    parts = urlsplit(wanted)
    return wanted if wanted.startswith("/") and not (parts.scheme or parts.netloc or "\\" in wanted) else "/"


@blueprint.get("/sign-in")
def show_sign_in() -> str:
    """The form."""
    return render_template("sign_in.html", next=_target(), organization=request.cookies.get("organization", ""))


@blueprint.post("/sign-in")
def sign_in() -> Response | tuple[str, int]:
    """A new session for the credentials, or the form again."""
    given = {name: request.form.get(name, "").strip() for name in FIELDS if request.form.get(name, "").strip()}
    try:
        credentials = Credentials(**load(CredentialsIn(), given))
        database = database_of_app()
        actor = tokens.check_credentials(database, credentials, request_id=g.request_id)
        now = datetime.now(UTC)
        hours = database.config.token_hours
        issued = database.transact(
            lambda work: tokens.issue_token(work, actor=actor, now=now, hours=hours), actor=actor
        )
        policies = database.transact(
            lambda work: get_organization(work, organization_id=actor.organization_id), actor=actor, read_only=True
        )
    except (NotAuthenticated, ValidationFailed) as refused:
        wrong = refused.detail if isinstance(refused, NotAuthenticated) else "Fill in every field."
        page = render_template(
            "sign_in.html",
            next=_target(),
            organization=given.get("organization", ""),
            email=given.get("email", ""),
            wrong=wrong,
        )
        return page, 401
    screen.sign_in(
        issued.token,
        name=issued.name,
        role=issued.role.value,
        email=credentials.email.lower(),
        organization=credentials.organization,
        hospital=policies.name,
        time_zone=policies.time_zone,
    )
    response = redirect(_target())
    response.set_cookie("organization", credentials.organization, max_age=31_536_000, httponly=True, samesite="Strict")
    return response


@blueprint.get("/lock")
def show_lock() -> str | Response:
    """The lock of a screen that somebody left."""
    if "token" not in session:
        return redirect(url_for(".show_sign_in"))
    return render_template("lock.html", next=_target())


@blueprint.post("/lock")
def lock() -> Response:
    """Locks the screen at once."""
    if "token" in session:
        screen.lock()
    return redirect(url_for(".show_lock"))


@blueprint.post("/unlock")
def unlock() -> Response | tuple[str, int]:
    """The password of whose screen it is opens it."""
    about = session.get("about")
    if about is None:
        return redirect(url_for(".show_sign_in"))
    credentials = Credentials(about["organization"], about["email"], request.form.get("password", ""))
    try:
        tokens.check_credentials(database_of_app(), credentials, request_id=g.request_id)
    except NotAuthenticated:
        return render_template("lock.html", next=_target(), wrong="That is not the password."), 401
    screen.touch()
    return redirect(_target())


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """Ends the token and the session."""
    if "token" in session:
        _revoke(session["token"])
    screen.sign_out()
    flash("You are signed out.")
    return redirect(url_for(".show_sign_in"))


def _revoke(token: str) -> None:
    database = database_of_app()
    try:
        actor, _ = tokens.authenticate(database, token, request_id=g.request_id)
    except NotAuthenticated:
        return
    now = datetime.now(UTC)
    database.transact(lambda work: tokens.revoke_token(work, actor=actor, token=token, now=now), actor=actor)


@blueprint.post("/theme")
def change_theme() -> Response:
    """Light, dark or as the device says."""
    response = redirect(_target())
    wanted = request.form.get("theme", "")
    response.set_cookie("theme", wanted if wanted in {"light", "dark"} else "", max_age=31_536_000, samesite="Strict")
    return response
