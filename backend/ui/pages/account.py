"""The account of who sits at the screen: who they are, password, second factor, passkeys, other screens.

A passkey is made between a device, its browser and this page; the API lists and removes them.
"""

from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.domain.identity import passkeys
from backend.domain.identity.sign_in import by_password, totp, webauthn
from backend.domain.identity.sign_in.by_password import CodeWrong
from backend.errors import DomainError, ValidationFailed
from backend.ui.frame import session as screen
from backend.ui.frame.asking import ask
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of
from backend.ui.pages.totp_setup import Enrolment, enrolment_of_form
from backend.web.authentication import origin_of
from backend.web.endpoint import JSON, database_of_app
from backend.web.fields import Body, Line
from backend.web.parsing import load

blueprint = blueprint_of("account")


@blueprint.get("/account")
def show_account() -> str:
    """Who I am."""
    return _page(None, "")


def _page(refusal: DomainError | None, of: str) -> str:
    """The account; a refusal stands at the form that it is `of`."""
    me, factor = ask("GET /me"), ask("GET /me/second-factor")
    here = query_fields("cursor")["cursor"]
    sign_ins = ask("GET /me/tokens", query={"cursor": here})
    return render_template(
        "account.html",
        me=me,
        factor=factor,
        passkeys=ask("GET /me/passkeys")["items"],
        sign_ins=sign_ins["sign_ins"],
        more=sign_ins["next_cursor"],
        cursor=here,
        refusal=refusal,
        of=of,
    )


@blueprint.post("/account/password")
def change_password() -> AnyResponse | tuple[str, int]:
    """A new password; every screen signs in again, this one too."""
    given = {name: request.form.get(name, "") for name in ("password", "new_password")}
    try:
        if request.form.get("again", "") != given["new_password"]:
            raise ValidationFailed.of("again", "not the same as the new password")
        ask("PUT /me/password", body=given)
    except DomainError as refusal:
        return _page(refusal, "password"), refusal.status
    screen.sign_out()
    flash("Your password is changed. Sign in with the new one.")
    return redirect(url_for("signing_in.show_sign_in"))


@blueprint.post("/account/sign-out-everywhere")
def sign_out_everywhere() -> AnyResponse:
    """Ends every sign-in, this one too."""
    ask("DELETE /me/tokens")
    screen.sign_out()
    flash("You are signed out everywhere.")
    return redirect(url_for("signing_in.show_sign_in"))


@blueprint.post("/account/sign-ins/<uuid:token_id>/end")
def end_sign_in(token_id: UUID) -> AnyResponse:
    """Ends one sign-in; whose own it was is asked to sign in again."""
    ask("DELETE /me/tokens/<uuid:token_id>", path={"token_id": token_id})
    flash("That sign-in has ended.")
    return redirect(url_for(".show_account"))


@blueprint.get("/account/second-factor")
def show_enrolment() -> str:
    """A QR code to scan."""
    return _enrolment_page(None, None)


@blueprint.post("/account/second-factor")
def enrol() -> AnyResponse | tuple[str, int]:
    """The second factor is on from the next sign-in, or the page again with the same secret."""
    given: dict[str, str] = {}
    try:
        given = enrolment_of_form()
        ask("PUT /me/second-factor", body=given)
    except ValidationFailed:
        return _enrolment_page(CodeWrong(), None), CodeWrong.status
    except DomainError as refusal:
        return _enrolment_page(refusal, given["secret"]), refusal.status
    flash("The second factor is on. From your next sign-in on you are asked for a code.")
    return redirect(url_for(".show_account"))


def _enrolment_page(refusal: DomainError | None, secret: str | None) -> str:
    me, factor = ask("GET /me"), ask("GET /me/second-factor")
    secret = secret or totp.new_secret()
    enrolment = Enrolment(secret, totp.uri_of(secret, email=me["email"], hospital=me["organization_name"]))
    return render_template("second_factor.html", enrolment=enrolment, factor=factor, refusal=refusal)


@blueprint.post("/account/second-factor/remove")
def remove() -> AnyResponse | tuple[str, int]:
    """The password alone is enough again."""
    try:
        ask("POST /me/second-factor/remove", body={"password": request.form.get("password", "")})
    except DomainError as refusal:
        return _page(refusal, "factor"), refusal.status
    flash("The second factor is off.")
    return redirect(url_for(".show_account"))


class PasskeyIn(Body):
    """What the form of a new passkey says beside the password."""

    name = Line(required=True, length=60)


@blueprint.post("/account/passkeys/options")
def offer_passkey() -> AnyResponse:
    """What a device is asked that makes a passkey. It is told to whoever types the password of the account."""
    database, given = database_of_app(), request.form
    load(PasskeyIn(), {"name": given.get("name", "").strip()})
    party = webauthn.party_of(database.config)
    person = by_password.check_own_sign_in(database, g.actor, given.get("password", ""), origin_of(database, request))
    known = database.transact(
        lambda work: passkeys.known_before_another(work, actor=g.actor), actor=g.actor, read_only=True
    )
    asked = webauthn.offer_making(
        party,
        screen.challenge(f"a passkey of {g.actor.user_id}"),
        handle=webauthn.handle_of(person.organization_id, person.user_id),
        email=person.email.lower(),
        name=person.name,
        known=known,
    )
    return AnyResponse(asked, content_type=JSON)


@blueprint.post("/account/passkeys")
def add_passkey() -> AnyResponse | tuple[str, int]:
    """The passkey that a device has made. Its challenge is the receipt for the password."""
    database = database_of_app()
    try:
        name = load(PasskeyIn(), {"name": request.form.get("name", "").strip()})["name"]
        asked = screen.challenged(f"a passkey of {g.actor.user_id}")
        webauthn.take_challenge(database, asked)
        party = webauthn.party_of(database.config)
        made = webauthn.made_by(party, asked, request.form.get("credential", ""))
        database.transact(lambda work: passkeys.add_passkey(work, actor=g.actor, made=made, name=name), actor=g.actor)
    except DomainError as refusal:
        return _page(refusal, "passkeys"), refusal.status
    flash(f"The passkey {name} is added. From your next sign-in on it is your second factor, or signs you in alone.")
    return redirect(url_for(".show_account"))


@blueprint.post("/account/passkeys/<uuid:passkey_id>/remove")
def remove_passkey(passkey_id: UUID) -> AnyResponse | tuple[str, int]:
    """The passkey signs nobody in any more."""
    body = {"password": request.form.get("password", "")}
    try:
        ask("POST /me/passkeys/<uuid:passkey_id>/remove", path={"passkey_id": passkey_id}, body=body)
    except DomainError as refusal:
        return _page(refusal, "passkeys"), refusal.status
    flash("The passkey is removed. Your device may still show it: delete it there too.")
    return redirect(url_for(".show_account"))
