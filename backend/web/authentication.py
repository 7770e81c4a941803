"""Who asks: the bearer token of a request becomes an Actor."""

import re
from uuid import UUID

from flask import Request, g

from backend.actor import Actor
from backend.db import Database
from backend.domain.identity import tokens
from backend.domain.identity.sign_in.by_password import Origin
from backend.domain.identity.tokens import OrderPlace
from backend.errors import NotAuthenticated
from backend.observability import bind_contextvars

_BEARER = re.compile(r"Bearer ([\x21-\x7e]+)", re.IGNORECASE)


def bearer_of(request: Request) -> str:
    """The token of the Authorization header. Raises NotAuthenticated."""
    match = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    if match is None:
        raise NotAuthenticated()
    return match[1]


def origin_of(database: Database, request: Request) -> Origin:
    """Say where a sign-in comes from, and when by the database's clock.

    The address is the client's where VALMED_PROXIES says how many proxies to believe. Raises Busy.
    """
    return Origin(request.remote_addr or "", g.audit_request_id, database.now())


def actor_of(database: Database, request: Request, order_id: UUID | None) -> tuple[Actor, OrderPlace | None]:
    """Who asks and, for `order_id`, where that order lies. Raises NotAuthenticated."""
    actor, place = tokens.authenticate(database, bearer_of(request), request_id=g.audit_request_id, order_id=order_id)
    bind_contextvars(organization_id=str(actor.organization_id), user_id=str(actor.user_id))
    return actor, place
