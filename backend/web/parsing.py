"""What the caller sent: the JSON body and the query, checked by a schema before anything else happens."""

from typing import Any

import orjson
from flask import Request
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from backend.errors import ValidationFailed

FIELDS_MAX = 100  # of one object: who sends more is told so at once, not after half a second of looking at each
ERRORS_MAX = 50  # that one answer tells
NO_PARAMETERS = Schema()


def parse_body(request: Request, schema: Schema | None) -> dict[str, Any]:
    """The body as `schema` reads it; an absent body counts as an empty object.

    Raises BadRequest for what is not JSON, UnsupportedMediaType, ValidationFailed.
    """
    raw = request.get_data(cache=False)
    if schema is None:
        if raw.strip() not in {b"", b"{}"}:
            raise ValidationFailed([{"pointer": "", "detail": "this request takes no body"}])
        return {}
    if raw and request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as application/json.")
    return load(schema, _json(raw) if raw else {})


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON.") from None


def load(schema: Schema, data: Any) -> dict[str, Any]:
    """`data` as `schema` reads it. Raises ValidationFailed with a JSON pointer for each of the first errors."""
    if isinstance(data, dict) and len(data) > FIELDS_MAX:
        raise ValidationFailed([{"pointer": "", "detail": f"more than {FIELDS_MAX} fields"}])
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        raise ValidationFailed(_pointers(error.messages)[:ERRORS_MAX]) from None
    return loaded


def parse_query(request: Request, schema: Schema | None) -> dict[str, Any]:
    """The query parameters as `schema` reads them; one given twice is refused. Raises ValidationFailed."""
    pairs = {name: values[0] for name, values in request.args.lists() if len(values) == 1}
    if len(pairs) != len(request.args):
        raise ValidationFailed([{"pointer": "", "detail": "a query parameter is given more than once"}])
    return load(schema or NO_PARAMETERS, pairs) if pairs or schema is not None else {}


def _pointers(messages: Any, pointer: str = "") -> list[dict[str, str]]:
    if isinstance(messages, dict):
        return [
            error
            for name, inner in messages.items()
            for error in _pointers(inner, pointer if name == "_schema" else f"{pointer}/{_escape(str(name))}")
        ]
    return [{"pointer": pointer, "detail": str(message)} for message in messages]


def _escape(name: str) -> str:
    return name[:100].replace("~", "~0").replace("/", "~1")
