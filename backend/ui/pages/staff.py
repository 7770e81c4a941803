"""Staff: who works here, as what, on which wards."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.api.users import WARDS_MAX
from backend.domain.identity.first_passwords import FIRST_PASSWORD_DAYS
from backend.errors import DomainError
from backend.ui.frame.asking import ask, ensure_may
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, form_key, local_now
from backend.ui.frame.ward_choice import wards

blueprint = blueprint_of("staff")
CHANGE = "PATCH /users/<uuid:user_id>"
_THEN = f" within {FIRST_PASSWORD_DAYS} days, and will choose their own."


@blueprint.get("/staff")
def show_users() -> str:
    """Staff by email, of one role, of one ward or with a part of the name."""
    ensure_may("POST /users")
    wanted = query_fields("q", "role", "ward_id", "cursor")
    answer = ask("GET /users", query=wanted)
    for user in answer["items"]:
        user["expired"] = _expired(user)
    names = {ward["id"]: ward["name"] for ward in wards()}
    return render_template("staff.html", roles=list(Role), wanted=wanted, wards=names, **answer)


@blueprint.get("/staff/new")
def show_new() -> str:
    """The form of somebody who begins to work here."""
    return _page(None, {"ward_ids": []}, None)


@blueprint.post("/staff/new")
def add() -> AnyResponse | tuple[str, int]:
    """Adds them."""
    given, ticked = _given("email", "name", "role", "password"), request.form.getlist("ward_ids")
    try:
        made = ask("POST /users", body={**given, "ward_ids": ticked[:WARDS_MAX]}, key=form_key())
        _change_further(made["id"], ticked[WARDS_MAX:], [])
    except DomainError as refusal:
        return _page(None, {**given, "ward_ids": ticked}, refusal), refusal.status
    flash(f"{made['name']} can sign in with this email and password{_THEN}")
    return redirect(url_for(".show_users", q=made["email"]))


@blueprint.get("/staff/<uuid:user_id>")
def show_user(user_id: UUID) -> str:
    """One of the staff."""
    return _page(user_id, _user(user_id), None)


@blueprint.post("/staff/<uuid:user_id>")
def change(user_id: UUID) -> AnyResponse | tuple[str, int]:
    """Changes name, role, wards and password, and whether they work here.

    Of the wards it changes those that were ticked or unticked on the page, and leaves what a colleague changed since.
    """
    given = {**_given("name", "role", "password"), "active": "active" in request.form}
    ticked, had = request.form.getlist("ward_ids"), request.form.getlist("had_ward_ids")
    added = [ward_id for ward_id in ticked if ward_id not in set(had)]
    removed = [ward_id for ward_id in had if ward_id not in set(ticked)]
    wards_first = {"add_ward_ids": added[:WARDS_MAX], "remove_ward_ids": removed[:WARDS_MAX]}
    if not had:  # nor does a form have it that was shown before a release knew of it: then what is ticked is all
        wards_first = {"ward_ids": ticked[:WARDS_MAX]}
    try:
        changed = ask(CHANGE, path={"user_id": user_id}, body={**given, **wards_first}, key=form_key())
        _change_further(user_id, added[WARDS_MAX:], removed[WARDS_MAX:])
    except DomainError as refusal:
        return _page(user_id, {**_user(user_id), **given, "ward_ids": ticked}, refusal), refusal.status
    flash(
        f"{changed['name']} can sign in with the new password{_THEN}"
        if "password" in given
        else f"{changed['name']} is changed."
    )
    return redirect(url_for(".show_users", q=changed["email"]))


@blueprint.post("/staff/<uuid:user_id>/second-factor")
def reset_second_factor(user_id: UUID) -> AnyResponse:
    """Takes the second factor of a lost phone away."""
    ask("DELETE /users/<uuid:user_id>/second-factor", path={"user_id": user_id}, key=form_key())
    flash("The second factor is taken away, and they are signed out everywhere.")
    return redirect(url_for(".show_user", user_id=user_id))


def _given(*names: str) -> dict[str, Any]:
    """What the form says; an empty field is not sent, so that the operation says what is missing."""
    fields = {name: request.form.get(name, "").strip() for name in names}
    return {name: value for name, value in fields.items() if value}


def _change_further(user_id: UUID | str, added: list[str], removed: list[str]) -> None:
    """Changes the wards that one request could not name, by as many requests as it takes."""
    for first in range(0, max(len(added), len(removed)), WARDS_MAX):
        part = slice(first, first + WARDS_MAX)
        body = {"add_ward_ids": added[part], "remove_ward_ids": removed[part]}
        ask(CHANGE, path={"user_id": user_id}, body=body, key=f"{form_key()}-{first}")


def _user(user_id: UUID) -> dict[str, Any]:
    found: dict[str, Any] = ask("GET /users/<uuid:user_id>", path={"user_id": user_id})
    return found


def _page(user_id: UUID | None, user: dict[str, Any], refusal: DomainError | None) -> str:
    ensure_may("POST /users")
    had = _user(user_id)["ward_ids"] if refusal is not None and user_id is not None else user["ward_ids"]
    values = {"roles": list(Role), "wards": wards(), "days": FIRST_PASSWORD_DAYS, "expired": _expired(user), "had": had}
    return render_template("user.html", user_id=user_id, user=user, refusal=refusal, **values)


def _expired(user: dict[str, Any]) -> bool:
    """Whether the password that they were given signs them in no more."""
    until = user.get("first_password_expires_at")
    return until is not None and datetime.fromisoformat(until) <= local_now()
