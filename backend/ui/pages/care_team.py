"""A patient's care team: who is on it, who was, and the changes; a change of the PRIMARY names both people first."""

from typing import Any
from uuid import UUID

from flask import flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.domain.care_team.assigning import Outgoing
from backend.domain.care_team.models import CareRole
from backend.domain.identity.queries import UserNotFound
from backend.errors import DomainError, ValidationFailed
from backend.ui.frame.asking import OPERATIONS, ask, ask_from
from backend.ui.frame.forms import query_fields
from backend.ui.frame.rendering import blueprint_of, form_key, kept_key
from backend.web.fields import Body, Id
from backend.web.parsing import load

blueprint = blueprint_of("care_team")
TEAM = "/patients/<uuid:patient_id>/care-team"
TEAM_PAGES = 2  # of LIMIT_MAX each
DOCTORS_MAX = 200
ADVICE = {
    "second_factor_required": "Sign out, and sign in with the code of your authenticator app or a passkey.",
    "primary_provider_exists": "To put somebody else in their place, choose “Make primary” beside their name.",
    "provider_already_assigned": "Look at the list above; to change the role, remove them first.",
    "primary_provider_changed": "Look at who is PRIMARY now, and decide anew.",
    "assignment_ended": "Nothing is to be done.",
    "busy": "Nothing is known to have changed. Tap again: nothing is done twice.",
}


class Wanted(Body):
    """Who is to be PRIMARY."""

    provider_id = Id(required=True)


@blueprint.get("/patients/<uuid:patient_id>/care-team")
def show_team(patient_id: UUID) -> str:
    """The team, the forms of who may change it, and the history."""
    return _page(patient_id, None, {})


def _page(patient_id: UUID, refusal: DomainError | None, given: dict[str, str]) -> str:
    where, wanted = {"patient_id": patient_id}, query_fields("q", "cursor", "members")
    patient = ask("GET /patients/<uuid:patient_id>", path=where)
    team, more_members = ask_from(f"GET {TEAM}", {}, path=where, pages=TEAM_PAGES, cursor=wanted["members"])
    history = ask(f"GET {TEAM}/history", path=where, query={"cursor": wanted["cursor"]})
    may_change = g.actor.role in OPERATIONS[f"POST {TEAM}"].roles
    doctors, many_doctors = _doctors(wanted["q"], team) if may_change and g.actor.second_factor else ([], False)
    return render_template(
        "care_team.html",
        patient=patient,
        team=team,
        primary=_primary(where),
        members=wanted["members"],
        more_members=more_members,
        history=history["items"],
        more=history["next_cursor"],
        doctors=doctors,
        many_doctors=many_doctors,
        may_change=may_change and g.actor.second_factor,
        lacks_code=may_change and not g.actor.second_factor,
        roles=list(CareRole),
        q=wanted["q"],
        given=given,
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        key=kept_key(refusal),
    )


def _primary(where: dict[str, UUID]) -> dict[str, Any] | None:
    """The patient's PRIMARY, who comes first on the team; None where nobody is."""
    first = ask(f"GET {TEAM}", path=where, query={"limit": 1})["items"]
    return first[0] if first and first[0]["role"] == CareRole.PRIMARY else None


def _doctors(q: str, team: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Doctors who work here and are not on the team, by name, and whether there may be more than were looked at."""
    present = {member["provider_id"] for member in team}
    found = ask("GET /users", query={"role": Role.DOCTOR.value, "q": q, "limit": DOCTORS_MAX})
    free = [doctor for doctor in found["items"] if doctor["active"] and doctor["id"] not in present]
    return sorted(free, key=lambda doctor: str(doctor["name"])), found["next_cursor"] is not None


@blueprint.post("/patients/<uuid:patient_id>/care-team")
def assign(patient_id: UUID) -> AnyResponse | tuple[str, int]:
    """Assigns a doctor. Where a PRIMARY stands, a new one is confirmed first."""
    given = {name: request.form.get(name, "").strip() for name in ("provider_id", "role")}
    body = {name: value for name, value in given.items() if value}
    try:
        made = ask(f"POST {TEAM}", path={"patient_id": patient_id}, body=body, key=form_key())
    except DomainError as refusal:
        if refusal.code == "primary_provider_exists":
            return redirect(url_for(".confirm_primary", patient_id=patient_id, provider_id=given["provider_id"]))
        return _page(patient_id, refusal, given), refusal.status
    flash(f"{made['provider_name']} is on the care team: {made['role'].capitalize()}.")
    return redirect(url_for(".show_team", patient_id=patient_id))


@blueprint.get("/patients/<uuid:patient_id>/care-team/primary")
def confirm_primary(patient_id: UUID) -> str:
    """Who replaces whom, before it is done."""
    wanted = load(Wanted(), {name: value for name, value in query_fields("provider_id").items() if value})
    return _primary_page(patient_id, str(wanted["provider_id"]), None)


def _primary_page(patient_id: UUID, provider_id: str, refusal: DomainError | None) -> str:
    OPERATIONS[f"PUT {TEAM}/primary"].admit(g.actor)
    where = {"patient_id": patient_id}
    incoming = _doctor(provider_id)
    return render_template(
        "care_team_primary.html",
        patient=ask("GET /patients/<uuid:patient_id>", path=where),
        primary=_primary(where),
        incoming=incoming,
        outgoing=request.form.get("outgoing", Outgoing.DEMOTE.value),
        refusal=refusal,
        advice=ADVICE.get(refusal.code, "") if refusal is not None else "",
        key=kept_key(refusal),
    )


def _doctor(provider_id: str) -> dict[str, Any]:
    """The doctor with this id. Raises ValidationFailed where nobody is."""
    try:
        found: dict[str, Any] = ask("GET /users/<uuid:user_id>", path={"user_id": UUID(provider_id)})
    except (ValueError, UserNotFound):
        found = {"role": ""}
    if found["role"] != Role.DOCTOR:
        raise ValidationFailed.of("provider_id", "no doctor of this hospital")
    return found


@blueprint.post("/patients/<uuid:patient_id>/care-team/primary")
def change_primary(patient_id: UUID) -> AnyResponse | tuple[str, int]:
    """Replaces the PRIMARY whom the page named, and nobody else."""
    given = {name: request.form.get(name, "").strip() for name in ("provider_id", "outgoing", "replaces")}
    body = {name: value for name, value in given.items() if value}
    try:
        made = ask(f"PUT {TEAM}/primary", path={"patient_id": patient_id}, body=body, key=form_key())
    except ValidationFailed as refusal:
        return _page(patient_id, refusal, {}), refusal.status
    except DomainError as refusal:
        if refusal.code == "second_factor_required":
            return _page(patient_id, refusal, {}), refusal.status
        return _primary_page(patient_id, given["provider_id"], refusal), refusal.status
    flash(f"{made['provider_name']} is the primary provider now.")
    return redirect(url_for(".show_team", patient_id=patient_id))


@blueprint.get("/patients/<uuid:patient_id>/care-team/<uuid:assignment_id>/remove")
def confirm_removal(patient_id: UUID, assignment_id: UUID) -> str | AnyResponse:
    """Who leaves the team, before it is done."""
    OPERATIONS[f"DELETE {TEAM}/<uuid:assignment_id>"].admit(g.actor)
    where = {"patient_id": patient_id}
    leaving = _member(where, str(assignment_id))
    if leaving is None:
        flash("This assignment has ended already.", "warning")
        return redirect(url_for(".show_team", patient_id=patient_id))
    patient = ask("GET /patients/<uuid:patient_id>", path=where)
    return render_template("care_team_removal.html", patient=patient, leaving=leaving)


def _member(where: dict[str, UUID], assignment_id: str) -> dict[str, Any] | None:
    """The assignment, from however long a team; None where it has ended."""
    cursor = ""
    while True:
        team, cursor = ask_from(f"GET {TEAM}", {}, path=where, pages=TEAM_PAGES, cursor=cursor)
        found = next((member for member in team if member["id"] == assignment_id), None)
        if found is not None or not cursor:
            return found


@blueprint.post("/patients/<uuid:patient_id>/care-team/<uuid:assignment_id>/remove")
def remove(patient_id: UUID, assignment_id: UUID) -> AnyResponse | tuple[str, int]:
    """Ends the assignment."""
    where = {"patient_id": patient_id, "assignment_id": assignment_id}
    try:
        ask(f"DELETE {TEAM}/<uuid:assignment_id>", path=where, key=form_key())
    except DomainError as refusal:
        return _page(patient_id, refusal, {}), refusal.status
    flash("Removed from the care team; the history keeps it.")
    return redirect(url_for(".show_team", patient_id=patient_id))
