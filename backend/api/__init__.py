"""The HTTP API: one file per resource, its schemas and its routes, nothing else."""

from flask import Blueprint, Flask

from backend.api import drugs, mar, me, orders, organization, patients, stock, tokens, users, wards
from backend.http import openapi
from backend.http.endpoint import Resource

RESOURCES: tuple[Resource, ...] = (
    tokens.resource,
    me.resource,
    organization.resource,
    users.resource,
    wards.resource,
    patients.resource,
    drugs.resource,
    orders.resource,
    mar.resource,
    stock.resource,
)


def install(app: Flask) -> None:
    """Mounts the API, its OpenAPI document and its documentation at /api/v1."""
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
    for resource in RESOURCES:
        resource.register(blueprint)

    openapi.install(blueprint, RESOURCES)
    app.register_blueprint(blueprint)
