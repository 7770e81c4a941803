"""The HTTP API: one file per resource, its schemas and its routes, nothing else."""

from flask import Blueprint, Flask

from backend.api import (
    adjustments,
    administrations,
    alerts,
    audit,
    care_team,
    claims,
    counts,
    discrepancies,
    drift,
    drugs,
    fulfillments,
    history,
    lots,
    mar,
    me,
    orders,
    organization,
    overrides,
    patients,
    receipts,
    register,
    scans,
    second_factors,
    sign_in,
    stock,
    transfers,
    users,
    wards,
)
from backend.web import openapi
from backend.web.endpoint import Resource

RESOURCES: tuple[Resource, ...] = (
    sign_in.resource,
    sign_in.sign_ins,
    me.resource,
    second_factors.resource,
    organization.resource,
    users.resource,
    wards.resource,
    patients.resource,
    care_team.resource,
    drugs.resource,
    orders.resource,
    fulfillments.resource,
    mar.resource,
    administrations.resource,
    overrides.resource,
    stock.resource,
    receipts.resource,
    adjustments.resource,
    lots.resource,
    scans.resource,
    transfers.resource,
    counts.resource,
    discrepancies.resource,
    register.resource,
    alerts.resource,
    history.resource,
    audit.resource,
    claims.resource,
    drift.resource,
)


def install(app: Flask) -> None:
    """Mounts the API, its OpenAPI document and its documentation at /api/v1."""
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
    for resource in RESOURCES:
        resource.register(blueprint)

    openapi.install(blueprint, RESOURCES)
    app.register_blueprint(blueprint)
