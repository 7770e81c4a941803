"""Run use cases for whoever sits at the screen: the same functions as the API's, called by name and typed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flask import g
from marshmallow import Schema

from backend.api.witnessing import WitnessIn, find_witness
from backend.db.idempotency import IdempotencyKey
from backend.db.paging import PageRequest
from backend.db.typed import to_json
from backend.db.use_cases import Bound, UseCase, admit
from backend.ui.frame.forms import witness_fields
from backend.ui.frame.rendering import form_key
from backend.web.cursors import KeyPart, page_request
from backend.web.endpoint import database_of_app
from backend.web.idempotency import make_key
from backend.web.parsing import load

T = TypeVar("T")
NOT_IN_KEY = frozenset({"actor", "witness"})  # the key has the person's id; what a witness sends proves who they are


def look(wanted: Bound[T]) -> T:
    """Read. Raises Forbidden, and what the use case raises."""
    return database_of_app().read(wanted)


def do(wanted: Bound[T]) -> T:
    """Make the change that the form asks for, once, however often it is sent.

    Raises Forbidden, and what the use case raises.
    """
    return database_of_app().change(wanted, key=_key(wanted))


def do_before_witness(wanted: Bound[T]) -> T:
    """Make a change as `do` does, before the witness whom the form names, if it names one.

    Raises WitnessRequired, TooManyAttempts, and what `do` raises.
    """
    database, key = database_of_app(), _key(wanted)
    wanted.admit()
    named = witness_fields()
    given: dict[str, str] | None = load(WitnessIn(), named) if named else None
    witness = find_witness(database, wanted.actor, key, given)
    return database.change(replace(wanted, arguments={**wanted.arguments, "witness": witness}), key=key)


def ensure_may_do(use_case: UseCase[..., Any]) -> None:
    """Raise Forbidden where the person at the screen may not do it: its form is not shown to them."""
    admit(use_case, g.actor)


def page_of_query(
    schema: Schema, query: dict[str, str], parts: Sequence[KeyPart]
) -> tuple[dict[str, Any], PageRequest]:
    """Read the filters of a list and the page that an address asks for; empty values narrow nothing.

    Raises ValidationFailed.
    """
    filters = load(schema, {name: value for name, value in query.items() if value})
    return filters, page_request(filters.pop("limit", None), filters.pop("cursor", None), parts)


def _key(wanted: Bound[Any]) -> IdempotencyKey:
    """Return the form's key, with the fingerprint of who asks for what."""
    arguments = {name: value for name, value in wanted.arguments.items() if name not in NOT_IN_KEY}
    what: dict[str, object] = {"arguments": to_json(arguments).decode()}
    return make_key(f"page-{form_key()}", wanted.actor, "DO", wanted.use_case.name, b"", what)
