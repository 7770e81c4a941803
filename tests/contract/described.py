"""The API's own document with a populated hospital's ids in it: what Schemathesis needs to get past 404."""

import json
import re
from typing import Any

import orjson

from backend.actor import Actor
from backend.api import RESOURCES
from backend.web import cursors, openapi
from tests.api.valid_requests import OPERATIONS, VALID, OneEach
from tests.hospital import Hospital

# A value of each part of a cursor: a cursor can be had from a list only, which no JSON Schema can say.
PARTS: dict[cursors.KeyPart, Any] = {
    cursors.text_part: "a",
    cursors.mode_part: "all",
    cursors.time_part: "2026-01-01T00:00:00Z",
    cursors.day_part: "2026-01-01",
    cursors.id_part: "00000000-0000-7000-8000-000000000000",
    cursors.number_part: 1,
    cursors.share_part: 0.5,
    cursors.either_part: 0,
}
# Operations that answer more than a list and read its cursor themselves.
READ_BY_ROUTE = {
    "GET /mar": cursors.BY_BED,
    "GET /me/tokens": cursors.BY_TIME,
    "GET /stock/replenishment": cursors.BY_LACK,
}


def described(hospital: Hospital, actor: Actor) -> dict[str, Any]:
    """The OpenAPI document; each operation with an example that succeeds for `actor`, if they may ask it, each list
    with the one cursor that is right, so that any other must be refused."""
    document: dict[str, Any] = json.loads(orjson.dumps(openapi.document(RESOURCES)))
    for name, promised in OPERATIONS.items():
        method, path = re.sub(r"<uuid:(\w+)>", r"{\1}", name).split(" ", 1)
        operation, ask = document["paths"][path][method.lower()], VALID[name](hospital)
        own = {key: value[actor.user_id] for key, value in ask.path.items() if isinstance(value, OneEach)}
        known = {**ask.path, **own, **ask.query}
        for parameter in operation["parameters"]:
            if parameter["name"] in known:
                parameter["example"] = str(known[parameter["name"]])
            if parameter["name"] == "cursor":
                cursor = cursors.encode(tuple(PARTS[part] for part in promised.page or READ_BY_ROUTE[name]))
                parameter["schema"] = {"type": "string", "enum": [cursor]}
        if promised.page and promised.body is not None:
            sent = document["components"]["schemas"][type(promised.body).__name__]
            sent["properties"]["cursor"] = {"type": "string", "enum": [ask.body["cursor"]]}
        for media in operation.get("requestBody", {}).get("content", {}).values():
            media["example"] = ask.body if ask.data is None else ask.data.decode()
    return document
