"""Signing in and out, and the lock of an idle screen.

The password has a page and so has the second factor: between them the signed cookie says whose password was right, for
five minutes, and holds no token. Who must have a second factor and has none sets it up in its place. A password that
somebody else chose leads, after the factor that there is, to a page that asks for one's own. A passkey is asked for by
a script, which takes the question from `.../options` and sends the answer like any form.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flask import flash, g, redirect, render_template, request, session, url_for
from sqlalchemy import Row
from werkzeug.wrappers import Response

from backend.actor import SecondFactorRequired
from backend.api.sign_in import CredentialsIn
from backend.domain.identity import passwords, queries, tokens
from backend.domain.identity.first_passwords import FirstPasswordExpired, PasswordChangeRequired
from backend.domain.identity.second_factors import SecondFactorChanged
from backend.domain.identity.sign_in import by_passkey, by_password, totp, webauthn
from backend.domain.identity.sign_in.attempts import TooManyAttempts
from backend.domain.identity.sign_in.by_password import CodeWrong, Origin, SignedIn
from backend.domain.identity.sign_in.webauthn import PasskeyWrong
from backend.domain.identity.tokens import Credentials, Person
from backend.domain.organizations.hospitals import get_organization
from backend.errors import DomainError, NotAuthenticated, ValidationFailed
from backend.ui.frame import session as screen
from backend.ui.frame.problem_text import plainly
from backend.ui.frame.rendering import blueprint_of
from backend.ui.pages.totp_setup import Enrolment, enrolment_of_form
from backend.web.authentication import origin_of
from backend.web.endpoint import JSON, database_of_app
from backend.web.fields import Body, Password
from backend.web.parsing import load

blueprint = blueprint_of("signing_in", signed_in=False)
Page = tuple[str, int, dict[str, str]]
T = TypeVar("T")
# One slash, and nothing that a browser reads as another or leaves out: //elsewhere and ///elsewhere are other hosts.
_OURS = re.compile(r"/(?!/)[^\\\x00-\x20\x7f]*")


class ChoiceIn(Body):
    """What the form of one's own password says."""

    new_password = Password(least=passwords.LENGTH_MIN, required=True)


def _origin() -> Origin:
    return origin_of(database_of_app(), request)


def _target() -> str:
    """Where to go on: a path of ours, else the start."""
    wanted = request.values.get("next", "/")
    return wanted if _OURS.fullmatch(wanted) else "/"


def _again(template: str, refusal: DomainError, **values: Any) -> Page:
    """The form again with what is wrong."""
    wrong = "Fill in every field." if isinstance(refusal, ValidationFailed) else plainly(refusal.detail)
    status = 401 if isinstance(refusal, ValidationFailed) else refusal.status
    seconds = refusal.retry_after_seconds
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    g.problem_code = refusal.code
    return render_template(template, next=_target(), wrong=wrong, **values), status, headers


@blueprint.get("/sign-in")
def show_sign_in() -> str:
    """The form."""
    return render_template("sign_in.html", next=_target(), organization=request.cookies.get("organization", ""))


@blueprint.post("/sign-in")
def sign_in() -> Response | Page:
    """A new session for the credentials, the page of the second factor, or the form again."""
    given = {name: request.form.get(name, "").strip() for name in ("organization", "email")}
    given["password"] = request.form.get("password", "")
    try:
        credentials = Credentials(**load(CredentialsIn(), given))
        return _go_on(by_password.check_password(database_of_app(), credentials, _origin()))
    except (NotAuthenticated, ValidationFailed, TooManyAttempts, FirstPasswordExpired) as refused:
        return _again("sign_in.html", refused, organization=given["organization"], email=given["email"])


def _go_on(person: Person) -> Response:
    """Where a right password leads. Raises NotAuthenticated where it has changed meanwhile."""
    if by_password.has_second_factor(database_of_app(), person):
        return _next_page(".show_code", person)
    if person.first_password:
        return _next_page(".show_choice", person)
    return _finish(person, factor_shown=False)


def _finish(person: Person, *, factor_shown: bool) -> Response:
    """The session, or the page that sets up the second factor that the role must have."""
    try:
        done = by_password.finish(database_of_app(), person, None, _origin(), factor_shown=factor_shown)
    except SecondFactorRequired:
        return _next_page(".show_enrolment", person)
    return _enter(person, done)


def _next_page(endpoint: str, person: Person, *, factor_shown: bool = False) -> Response:
    whose = {
        "organization": person.organization,
        "email": person.email,
        "mark": by_password.password_fingerprint(person),
    }
    screen.remember(factor_shown=factor_shown, **whose)
    return redirect(url_for(endpoint, next=_target()))


def _remembered() -> Person:
    """Whose password was right a moment ago. Raises NotAuthenticated."""
    return by_password.recall(database_of_app(), **screen.remembered())


def _enter(person: Person, done: SignedIn) -> Response:
    """The screen is theirs, in a session of its own."""
    hospital = database_of_app().transact(
        lambda work: get_organization(work, organization_id=person.organization_id), actor=done.actor, read_only=True
    )
    screen.sign_in(
        done.issued.token,
        sign_in_id=str(done.issued.id),
        name=person.name,
        role=person.role.value,
        email=person.email.lower(),
        organization=person.organization,
        hospital=hospital.name,
        time_zone=hospital.time_zone,
    )
    response = redirect(_target())
    _keep(response, "organization", person.organization)
    return response


@blueprint.get("/sign-in/code")
def show_code() -> str | Response:
    """The second page: six digits, or a passkey, or whichever comes first to hand."""
    return _while_remembered(lambda person: render_template("code.html", next=_target(), **_factors(person)))


@blueprint.post("/sign-in/code")
def check_code() -> Response | Page:
    """The session, the page of one's own password, or the page again."""

    def check(person: Person) -> Response | Page:
        try:
            otp = request.form.get("otp", "").replace(" ", "")
            if person.first_password:
                by_password.use_code(database_of_app(), person, otp, _origin())
                return _next_page(".show_choice", person, factor_shown=True)
            return _enter(person, by_password.finish(database_of_app(), person, otp, _origin()))
        except (NotAuthenticated, TooManyAttempts) as refused:
            return _again("code.html", refused, **_factors(person))

    return _while_remembered(check)


def _factors(person: Person) -> dict[str, bool]:
    return {"app": person.totp_secret is not None, "passkeys": bool(_passkeys(person))}


def _passkeys(person: Person) -> Sequence[Row[Any]]:
    whose = {"organization_id": person.organization_id, "user_id": person.user_id}
    actor = person.actor(g.audit_request_id, second_factor=False)
    return database_of_app().transact(lambda work: queries.list_passkeys(work, **whose), actor=actor, read_only=True)


@blueprint.post("/sign-in/code/passkey/options")
def ask_for_second_passkey() -> Response:
    """What a passkey of whose password was right is asked."""
    person = _remembered()
    party = webauthn.party_of(database_of_app().config)
    asked = screen.challenge(f"after the password of {person.user_id}")
    return _as_json(webauthn.offer_showing(party, asked, known=_passkeys(person)))


@blueprint.post("/sign-in/code/passkey")
def check_second_passkey() -> Response | Page:
    """The session, the page of one's own password, or the page again."""

    def check(person: Person) -> Response | Page:
        database, origin = database_of_app(), _origin()
        try:
            asked = screen.challenged(f"after the password of {person.user_id}")
            answer = request.form.get("credential", "")
            if person.first_password:
                by_passkey.show_passkey(database, person, asked, answer, origin)
                return _next_page(".show_choice", person, factor_shown=True)
            done = by_passkey.finish_by_passkey(database, person, asked, answer, origin)
        except (NotAuthenticated, PasskeyWrong, TooManyAttempts) as refused:
            return _again("code.html", refused, **_factors(person))
        return _enter(person, done)

    return _while_remembered(check)


@blueprint.post("/sign-in/passkey/options")
def ask_for_passkey() -> Response:
    """What any passkey is asked, of whomever."""
    party = webauthn.party_of(database_of_app().config)
    return _as_json(webauthn.offer_showing(party, screen.challenge("alone"), known=None))


@blueprint.post("/sign-in/passkey")
def sign_in_by_passkey() -> Response | Page:
    """The session of whoever holds the passkey, without a password, or the page again; on a locked screen it takes the
    place of the one that was there, whoever comes."""
    try:
        asked = screen.challenged("alone")
        answer = request.form.get("credential", "")
        person, done = by_passkey.sign_in_alone(database_of_app(), asked, answer, _origin())
    except (NotAuthenticated, PasskeyWrong, TooManyAttempts) as refused:
        template = "lock.html" if "token" in session else "sign_in.html"
        return _again(template, refused, organization=request.cookies.get("organization", ""))
    if "token" in session:
        _revoke(session["token"])
    return _enter(person, done)


def _as_json(options: str) -> Response:
    return Response(options, content_type=JSON)


@blueprint.get("/sign-in/password")
def show_choice() -> str | Response:
    """Choosing a password in the place of one that somebody else chose."""
    return _while_remembered(lambda person: _choice(person, ""))


@blueprint.post("/sign-in/password")
def choose() -> Response | tuple[str, int]:
    """The session with the new password, the page of the second factor that the role must have, or the page again."""

    def take(person: Person) -> Response | tuple[str, int]:
        shown = screen.factor_shown()
        try:
            new = load(ChoiceIn(), {"new_password": request.form.get("new_password", "")})["new_password"]
            if request.form.get("again", "") != new:
                raise ValidationFailed.of("again", "not the same as the new password")
            chosen = by_password.choose_password(database_of_app(), person, new, _origin(), factor_shown=shown)
        except ValidationFailed as refused:
            return _choice(person, refused.members["errors"][0]["detail"].rstrip(".")), refused.status
        response = _finish(chosen, factor_shown=shown)
        flash("The password is yours alone now: sign in with it from here on.")
        return response

    try:
        return _while_remembered(take)
    except SecondFactorRequired:
        return redirect(url_for(".show_code", next=_target()))


def _choice(person: Person, wrong: str) -> str:
    return render_template("choose_password.html", next=_target(), email=person.email, wrong=wrong)


@blueprint.get("/sign-in/enrol")
def show_enrolment() -> str | Response:
    """Setting up the second factor that the role must have."""

    def show(person: Person) -> str:
        return render_template("enrol.html", next=_target(), enrolment=_enrolment(person, totp.new_secret()))

    return _while_remembered(show)


@blueprint.post("/sign-in/enrol")
def enrol() -> Response | Page:
    """The second factor and the session, or the page again with the same secret."""

    def take(person: Person) -> Response | Page:
        try:
            given = enrolment_of_form()
        except ValidationFailed:
            return _again("enrol.html", CodeWrong(), enrolment=_enrolment(person, totp.new_secret()))
        database, origin = database_of_app(), _origin()
        try:
            done = by_password.enrol_and_finish(database, person, given["secret"], given["otp"], origin)
        except (CodeWrong, TooManyAttempts) as refused:
            return _again("enrol.html", refused, enrolment=_enrolment(person, given["secret"]))
        response = _enter(person, done)
        flash("The second factor is on. You are asked for a code whenever you sign in.")
        return response

    try:
        return _while_remembered(take)
    except SecondFactorChanged:
        return redirect(url_for(".show_code", next=_target()))
    except PasswordChangeRequired:
        return redirect(url_for(".show_choice", next=_target()))


def _enrolment(person: Person, secret: str) -> Enrolment:
    actor = person.actor(g.audit_request_id, second_factor=False)
    hospital = database_of_app().transact(
        lambda work: get_organization(work, organization_id=person.organization_id), actor=actor, read_only=True
    )
    return Enrolment(secret, totp.uri_of(secret, email=person.email.lower(), hospital=hospital.name))


def _while_remembered(answer: Callable[[Person], T]) -> T | Response:
    """What `answer` makes of whose password was right; the first page where that is nobody any more."""
    try:
        return answer(_remembered())
    except NotAuthenticated as refused:
        screen.sign_out()
        flash(refused.detail, "warning")
        return redirect(url_for(".show_sign_in", next=_target()))


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
def unlock() -> Response | Page:
    """The password of whose screen it is opens it; one that an admin has given them since begins a sign-in."""
    about = session.get("about")
    if about is None:
        return redirect(url_for(".show_sign_in"))
    credentials = Credentials(about["organization"], about["email"], request.form.get("password", ""))
    try:
        person = by_password.check_password(database_of_app(), credentials, _origin())
    except (TooManyAttempts, FirstPasswordExpired) as refused:
        return _again("lock.html", refused)
    except NotAuthenticated:
        return _again("lock.html", NotAuthenticated("That is not the password."))
    if person.first_password:
        _revoke(session["token"])
        return _go_on(person)
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
        actor, _ = tokens.authenticate(database, token, request_id=g.audit_request_id)
    except NotAuthenticated:
        return
    database.transact(lambda work: tokens.revoke_token(work, actor=actor, token=token, now=work.now), actor=actor)


@blueprint.post("/theme")
def change_theme() -> Response:
    """Light, dark or as the device says."""
    response = redirect(_target())
    wanted = request.form.get("theme", "")
    _keep(response, "theme", wanted if wanted in {"light", "dark"} else "")
    return response


def _keep(response: Response, name: str, value: str) -> None:
    """A cookie of this device for a year."""
    options: dict[str, Any] = {"httponly": True, "samesite": "Strict", "secure": request.is_secure}
    response.set_cookie(name, value, max_age=31_536_000, **options)
