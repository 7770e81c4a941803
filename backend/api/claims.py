"""Claims from files."""

import io
from typing import Any

from flask import Request, Response, after_this_request, current_app
from marshmallow import Schema, fields
from werkzeug.exceptions import UnsupportedMediaType

from backend.actor import Role
from backend.api.claims_csv import ImportIn, read_claims
from backend.db import Session
from backend.domain.claims import imports
from backend.domain.claims.imports import ClaimFile
from backend.web.endpoint import Call, Resource
from backend.web.fields import Body, Whole, WholeNumber
from backend.web.parsing import parse_query
from backend.web.tables import CSV

resource = Resource("claims")


class LineErrorOut(Body):
    """What is wrong with a column."""

    pointer = fields.String()
    detail = fields.String()


class RejectionOut(Body):
    """A line of the file that was not imported."""

    line = fields.Integer()
    errors = Whole(fields.Nested(LineErrorOut), because="one for each wrong column of a line")


class ImportQuery(Body):
    """After which line of the file rejections are told; the same file again changes nothing."""

    after_line = WholeNumber()


class ImportOut(Body):
    """Tell what became of the lines. `accepted` are new, changed or known as they are; `rejections` are the first 1,000
    after `after_line`. Where there are more, send the file again with `next_after_line` as `after_line`."""

    accepted = fields.Integer()
    created = fields.Integer()
    changed = fields.Integer()
    unchanged = fields.Integer()
    rejected = fields.Integer()
    rejections = fields.List(fields.Nested(RejectionOut))
    next_after_line = fields.Integer(allow_none=True)


def read_upload(request: Request, _schema: Schema | None) -> dict[str, Any]:
    """The body of an import: its rows are checked while they come. Raises UnsupportedMediaType, ValidationFailed."""
    if request.mimetype != CSV:
        raise UnsupportedMediaType("Send the claims as text/csv.")
    request.max_content_length = current_app.config["CLAIMS_BYTES_MAX"]
    with io.BufferedReader(request.stream) as stream:  # type: ignore[type-var]
        told_after = parse_query(request, ImportQuery()).get("after_line", 0)
        return {"file": closed_in_the_end(read_claims(stream, told_after=told_after))}


def closed_in_the_end(file: ClaimFile) -> ClaimFile:
    """The file, whose disk is given back when the request has been answered."""

    @after_this_request
    def close(response: Response) -> Response:
        file.close()
        return response

    return file


@resource.post(
    "/claims/imports",
    "Import claims from CSV",
    query=ImportQuery(),
    body=ImportIn(),
    reads=read_upload,
    media=CSV,
    answer=ImportOut(),
    status=201,
    roles=frozenset({Role.ADMIN}),
    lanes=lambda call: (imports.import_lane(call.organization_id),),
    lengthy=True,
)
def import_claims(session: Session, call: Call) -> Any:
    """Columns `claim_id`, `payer`, `cpt`, `cpt_group`, `submitted_date`, `decided_date`, `outcome`, named in the first
    line, UTF-8; dates like 2026-01-31; outcome PAID, DENIED, or PENDING without a decided_date.

    Rows that are wrong are rejected with their line numbers, the others imported. A claim that is known takes on what
    the file says now; the same file again changes nothing.
    """
    return imports.import_claims(session, actor=call.actor, file=call.body["file"], now=session.now)
