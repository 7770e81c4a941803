"""What the hospital has decided: its policies, each with what it means."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.actor import Role
from backend.errors import DomainError
from backend.ui.frame.asking import ask, ensure_may
from backend.ui.frame.forms import number_of
from backend.ui.frame.rendering import blueprint_of, form_key

blueprint = blueprint_of("policies")


class Policy(NamedTuple):
    """A field of the organization."""

    name: str
    label: str
    meaning: str
    unit: str = ""


FLAGS = (
    Policy(
        "verification_required",
        "A pharmacist verifies each order before it is given",
        "Drugs of a ward's override list may still be given with a reason, which a pharmacist reviews.",
    ),
    Policy(
        "witness_required",
        "A second person witnesses each dose of a controlled drug",
        "Wasting, adjusting and resolving controlled drugs always take a witness.",
    ),
    Policy(
        "custody_witness_required",
        "A second person witnesses each receipt and transfer of a controlled drug",
        "When it is received from outside, sent to another ward, and accepted there: somebody of the ward where it is.",
    ),
)
NUMBERS = (
    Policy("dose_window_minutes", "A dose is due", "So long before and after its time, then overdue.", "minutes"),
    Policy("discrepancy_hours", "A discrepancy is resolved within", "Later it raises an alert.", "hours"),
    Policy("transit_hours", "A transfer arrives within", "Later it raises an alert.", "hours"),
)
TEXTS = (
    Policy("name", "Name of the hospital", ""),
    Policy("time_zone", "Time zone", "By which days begin and lots expire, such as Europe/Berlin."),
)


@blueprint.get("/policies")
def show_policies() -> str:
    """The policies as they are."""
    return _page(None, {})


@blueprint.post("/policies")
def change() -> AnyResponse | tuple[str, int]:
    """Changes them together."""
    given = {
        **{policy.name: request.form.get(policy.name, "").strip() for policy in TEXTS},
        **{policy.name: number_of(request.form.get(policy.name, "")) for policy in NUMBERS},
        **{policy.name: policy.name in request.form for policy in FLAGS},
        "second_factor_roles": request.form.getlist("second_factor_roles"),
    }
    try:
        ask("PATCH /organization", body=given, key=form_key())
    except DomainError as refusal:
        return _page(refusal, given), refusal.status
    flash("The policies are changed. They hold from now on.")
    return redirect(url_for(".show_policies"))


def _page(refusal: DomainError | None, given: Mapping[str, Any]) -> str:
    ensure_may("PATCH /organization")
    values = {**ask("GET /organization"), **given}
    return render_template(
        "policies.html",
        values=values,
        refusal=refusal,
        flags=FLAGS,
        numbers=NUMBERS,
        texts=TEXTS,
        roles=list(Role),
    )
