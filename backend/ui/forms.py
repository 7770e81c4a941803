"""What a form or an address says, as an operation wants it. Nothing here refuses: the operation does."""

from collections.abc import Iterable
from typing import Any

from flask import request

_DIGITS_MAX = 9
WITNESS = ("email", "password", "otp")


def number_of(typed: str) -> int | str:
    """What was typed as a number; the text itself where it is none, for the operation to refuse."""
    plain = typed.strip()
    return int(plain) if plain.isdecimal() and len(plain) <= _DIGITS_MAX else plain


def asked(*names: str) -> dict[str, str]:
    """The named parts of the address's query, without blank edges; absent ones are empty."""
    return {name: request.args.get(name, "").strip() for name in names}


def typed(prefix: str) -> dict[str, str]:
    """The fields whose names begin with `prefix`, by the rest of the name; empty ones left out."""
    return {
        name.removeprefix(prefix): value.strip()
        for name, value in request.form.items()
        if name.startswith(prefix) and value.strip()
    }


def with_witness(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the second person's credentials, where the form names one."""
    witness = typed("witness_")
    named = {name: witness[name] for name in WITNESS if name in witness}
    return {**body, "witness": named} if "email" in named else body


def by(items: Iterable[dict[str, Any]], name: str) -> dict[Any, list[dict[str, Any]]]:
    """The items in groups of an equal `name`, in the order they came."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(item[name], []).append(item)
    return groups
