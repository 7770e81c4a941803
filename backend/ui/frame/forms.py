"""What a form or an address says, as an operation wants it. Nothing here refuses: the operation does."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flask import request

from backend.errors import DomainError, ValidationFailed

_DIGITS_MAX = 9
# How a GS1 code begins: a symbology identifier, an identifier in parentheses, or digits alone.
_CODE = re.compile(r"[\](]|[0-9]{8}")
WITNESS = ("email", "password", "otp")
WITNESS_ADVICE = {  # of every page with a form for a witness
    "witness_required": "Ask a colleague of this ward to type their own email and password, and their code if asked.",
    "witness_code_required": "Ask the witness to type the code that their app shows now, or ask another colleague.",
}


def number_of(typed: str) -> int | str:
    """What was typed as a number; the text itself where it is none, for the operation to refuse."""
    plain = typed.strip()
    return int(plain) if plain.isdecimal() and len(plain) <= _DIGITS_MAX else plain


def is_code(typed: str) -> bool:
    """Tell whether what was typed may be the code of a package, as a scanner reads it."""
    return _CODE.match(typed) is not None


def query_fields(*names: str) -> dict[str, str]:
    """Return the named fields of the address's query, without blank edges; absent ones are empty."""
    return {name: request.args.get(name, "").strip() for name in names}


def form_fields(prefix: str) -> dict[str, str]:
    """Return the fields of the form whose names begin with `prefix`, by the rest of the name; empty ones left out."""
    return {
        name.removeprefix(prefix): value.strip()
        for name, value in request.form.items()
        if name.startswith(prefix) and value.strip()
    }


def with_witness(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the second person's credentials, where the form names one."""
    named = witness_fields()
    return {**body, "witness": named} if named else body


def witness_fields() -> dict[str, str]:
    """The credentials of the second person whom the form names; empty where it names nobody."""
    witness = form_fields("witness_")
    witness["otp"] = witness.get("otp", "").replace(" ", "")
    named = {name: witness[name] for name in WITNESS if witness.get(name)}
    return named if "email" in named else {}


def by(items: Iterable[dict[str, Any]], name: str) -> dict[Any, list[dict[str, Any]]]:
    """The items in groups of an equal `name`, in the order they came."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(item[name], []).append(item)
    return groups


def in_names(refusal: DomainError, lines: Sequence[str], names: Mapping[str, str]) -> DomainError:
    """The refusal with the names that the screen shows, where the operation knows numbers of lines and ids of drugs.

    `lines` are the ids of what was sent, in its order; `names` are names by id.
    """
    if not isinstance(refusal, ValidationFailed):
        return refusal
    errors = []
    for error in refusal.members["errors"]:
        detail = error["detail"]
        for known, name in names.items():
            detail = detail.replace(f"drug {known}", name)
        found = re.match(r"/lines/([0-9]+)", error["pointer"])
        about = names.get(lines[int(found[1])]) if found else None
        errors.append({"pointer": "", "detail": f"{about}: {detail}"} if about else {**error, "detail": detail})
    return ValidationFailed(errors)
