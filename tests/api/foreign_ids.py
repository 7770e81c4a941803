"""Every id that a request of the API can carry, and what is answered to one of another hospital."""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields

from backend.web.fields import Id
from tests.hospital import Hospital

TEAM = "/patients/<uuid:patient_id>/care-team"
DOSE = "/administrations/<uuid:administration_id>"
# (operation, place, field) -> what a foreign id answers: a problem code, "nothing" or what a round makes of it
FOREIGN = {
    ("GET /users/<uuid:user_id>", "path", "user_id"): "user_not_found",
    ("PATCH /users/<uuid:user_id>", "path", "user_id"): "user_not_found",
    ("DELETE /users/<uuid:user_id>/second-factor", "path", "user_id"): "user_not_found",
    ("DELETE /me/tokens/<uuid:token_id>", "path", "token_id"): "sign_in_not_found",
    ("POST /me/passkeys/<uuid:passkey_id>/remove", "path", "passkey_id"): "passkey_not_found",
    ("PATCH /users/<uuid:user_id>", "body", "ward_ids"): "validation_failed",
    ("PATCH /users/<uuid:user_id>", "body", "add_ward_ids"): "validation_failed",
    ("PATCH /users/<uuid:user_id>", "body", "remove_ward_ids"): "validation_failed",
    ("POST /users", "body", "ward_ids"): "validation_failed",
    ("GET /users", "query", "ward_id"): "nothing",
    ("GET /patients", "query", "ward_id"): "nothing",
    ("POST /patients", "body", "ward_id"): "ward_not_found",
    ("POST /patients/search", "body", "ward_id"): "nothing",
    ("GET /patients/<uuid:patient_id>", "path", "patient_id"): "patient_not_found",
    ("GET /patients/<uuid:patient_id>/cautions", "path", "patient_id"): "patient_not_found",
    ("GET /patients/<uuid:patient_id>/cautions", "query", "drug_id"): "drug_not_found",
    (f"GET {TEAM}", "path", "patient_id"): "patient_not_found",
    (f"GET {TEAM}/history", "path", "patient_id"): "patient_not_found",
    (f"GET {TEAM}/primary", "path", "patient_id"): "patient_not_found",
    (f"POST {TEAM}", "path", "patient_id"): "patient_not_found",
    (f"POST {TEAM}", "body", "provider_id"): "user_not_found",
    (f"PUT {TEAM}/primary", "path", "patient_id"): "patient_not_found",
    (f"PUT {TEAM}/primary", "body", "provider_id"): "user_not_found",
    (f"PUT {TEAM}/primary", "body", "replaces"): "primary_provider_changed",
    (f"DELETE {TEAM}/<uuid:assignment_id>", "path", "patient_id"): "patient_not_found",
    (f"DELETE {TEAM}/<uuid:assignment_id>", "path", "assignment_id"): "assignment_not_found",
    ("GET /drugs/<uuid:drug_id>", "path", "drug_id"): "drug_not_found",
    ("PATCH /drugs/<uuid:drug_id>", "path", "drug_id"): "drug_not_found",
    ("GET /orders", "query", "ward_id"): "nothing",
    ("GET /orders", "query", "patient_id"): "nothing",
    ("GET /orders", "query", "drug_id"): "nothing",
    ("GET /orders", "query", "prescriber_id"): "nothing",
    ("POST /orders", "body", "patient_id"): "patient_not_found",
    ("POST /orders", "body", "drug_id"): "drug_not_found",
    ("POST /orders", "body", "ward_id"): "ward_not_found",
    ("GET /orders/statistics", "query", "ward_id"): "nothing",
    ("GET /orders/<uuid:order_id>", "path", "order_id"): "order_not_found",
    ("POST /orders/<uuid:order_id>/verify", "path", "order_id"): "order_not_found",
    ("POST /orders/<uuid:order_id>/discontinue", "path", "order_id"): "order_not_found",
    ("POST /orders/<uuid:order_id>/fulfill", "path", "order_id"): "order_not_found",
    ("GET /mar", "query", "ward_id"): "ward_not_found",
    ("GET /stock", "query", "ward_id"): "nothing",
    ("GET /stock", "query", "drug_id"): "nothing",
    ("POST /stock/receipts", "body", "ward_id"): "ward_not_found",
    ("POST /stock/receipts", "body", "drug_id"): "drug_not_found",
    ("GET /stock/movements", "query", "ward_id"): "nothing",
    ("GET /stock/movements", "query", "drug_id"): "nothing",
    ("GET /stock/as-of", "query", "ward_id"): "nothing",
    ("GET /stock/as-of", "query", "drug_id"): "nothing",
    ("GET /stock/consumption", "query", "ward_id"): "nothing",
    ("GET /stock/consumption", "query", "drug_id"): "nothing",
    ("GET /stock/expiring-value", "query", "ward_id"): "nothing",
    ("POST /orders/<uuid:order_id>/skip", "path", "order_id"): "order_not_found",
    ("POST /fulfillments", "body", "order_ids"): "not found in the round",
    ("POST /fulfillments", "body", "doses.order_id"): "no dose of the round",
    ("GET /administrations", "query", "order_id"): "nothing",
    ("GET /administrations", "query", "patient_id"): "nothing",
    ("GET /administrations", "query", "ward_id"): "nothing",
    ("GET /administrations", "query", "nurse_id"): "nothing",
    (f"GET {DOSE}", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/entered-in-error", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/waste", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/waste", "body", "lot_id"): "validation_failed",
    (f"POST {DOSE}/return", "path", "administration_id"): "administration_not_found",
    (f"POST {DOSE}/return", "body", "lot_id"): "validation_failed",
    ("GET /override-drugs", "query", "ward_id"): "nothing",
    ("POST /override-drugs", "body", "ward_id"): "ward_not_found",
    ("POST /override-drugs", "body", "drug_id"): "drug_not_found",
    ("DELETE /override-drugs/<uuid:entry_id>", "path", "entry_id"): "override_drug_not_found",
    ("GET /overrides", "query", "ward_id"): "nothing",
    ("GET /overrides", "query", "nurse_id"): "nothing",
    ("POST /overrides/<uuid:override_id>/review", "path", "override_id"): "override_not_found",
    ("PUT /stock/levels", "body", "ward_id"): "ward_not_found",
    ("PUT /stock/levels", "body", "drug_id"): "drug_not_found",
    ("POST /stock/deliveries", "body", "ward_id"): "ward_not_found",
    ("POST /stock/deliveries", "body", "lines.drug_id"): "drug_not_found",
    ("POST /wards/<uuid:ward_id>/deliveries", "path", "ward_id"): "ward_not_found",
    ("POST /stock/adjustments", "body", "ward_id"): "ward_not_found",
    ("POST /stock/adjustments", "body", "drug_id"): "drug_not_found",
    ("POST /stock/adjustments", "body", "lot_id"): "lot_not_found",
    ("POST /stock/movements/<uuid:movement_id>/correct", "path", "movement_id"): "movement_not_found",
    ("GET /lots", "query", "drug_id"): "nothing",
    ("GET /lots/<uuid:lot_id>", "path", "lot_id"): "lot_not_found",
    ("GET /lots/<uuid:lot_id>/doses", "path", "lot_id"): "lot_not_found",
    ("GET /lots/<uuid:lot_id>/doses", "query", "ward_id"): "nothing",
    ("GET /lots/<uuid:lot_id>/doses", "query", "patient_id"): "nothing",
    ("GET /lots/<uuid:lot_id>/patients", "path", "lot_id"): "lot_not_found",
    ("POST /lots/<uuid:lot_id>/hold", "path", "lot_id"): "lot_not_found",
    ("POST /lots/<uuid:lot_id>/release", "path", "lot_id"): "lot_not_found",
    ("POST /lots/<uuid:lot_id>/recall", "path", "lot_id"): "lot_not_found",
    ("GET /transfers", "query", "source_ward_id"): "nothing",
    ("GET /transfers", "query", "destination_ward_id"): "nothing",
    ("POST /transfers", "body", "source_ward_id"): "ward_not_found",
    ("POST /transfers", "body", "destination_ward_id"): "ward_not_found",
    ("POST /transfers", "body", "lines.drug_id"): "drug_not_found",
    ("POST /transfers/<uuid:transfer_id>/dispatch", "body", "lines.drug_id"): "validation_failed",
    ("POST /transfers/<uuid:transfer_id>/receive", "body", "lines.drug_id"): "validation_failed",
    ("POST /transfers/<uuid:transfer_id>/receive", "body", "lines.lot_id"): "validation_failed",
    ("GET /transfers/<uuid:transfer_id>", "path", "transfer_id"): "transfer_not_found",
    ("POST /transfers/<uuid:transfer_id>/dispatch", "path", "transfer_id"): "transfer_not_found",
    ("POST /transfers/<uuid:transfer_id>/receive", "path", "transfer_id"): "transfer_not_found",
    ("POST /transfers/<uuid:transfer_id>/cancel", "path", "transfer_id"): "transfer_not_found",
    ("GET /stock/replenishment", "query", "ward_id"): "ward_not_found",
    ("POST /stock/replenishment", "body", "ward_id"): "ward_not_found",
    ("POST /stock/replenishment", "body", "source_ward_id"): "ward_not_found",
    ("GET /counts", "query", "ward_id"): "nothing",
    ("POST /counts", "body", "ward_id"): "ward_not_found",
    ("POST /counts", "body", "drug_ids"): "validation_failed",
    ("GET /counts/<uuid:count_id>", "path", "count_id"): "count_not_found",
    ("GET /counts/<uuid:count_id>/lines", "path", "count_id"): "count_not_found",
    ("POST /counts/<uuid:count_id>/lines", "path", "count_id"): "count_not_found",
    ("POST /counts/<uuid:count_id>/lines", "body", "lines.lot_id"): "lot_not_found",
    ("POST /counts/<uuid:count_id>/complete", "path", "count_id"): "count_not_found",
    ("POST /counts/<uuid:count_id>/cancel", "path", "count_id"): "count_not_found",
    ("GET /discrepancies", "query", "ward_id"): "nothing",
    ("GET /discrepancies", "query", "drug_id"): "nothing",
    ("GET /discrepancies", "query", "owner_id"): "nothing",
    ("GET /discrepancies/<uuid:discrepancy_id>", "path", "discrepancy_id"): "discrepancy_not_found",
    ("POST /discrepancies/<uuid:discrepancy_id>/assign", "path", "discrepancy_id"): "discrepancy_not_found",
    ("POST /discrepancies/<uuid:discrepancy_id>/assign", "body", "owner_id"): "user_not_found",
    ("POST /discrepancies/<uuid:discrepancy_id>/resolve", "path", "discrepancy_id"): "discrepancy_not_found",
    ("GET /stock/register", "query", "drug_id"): "drug_not_found",
    ("GET /stock/register", "query", "ward_id"): "nothing",
    ("GET /alerts", "query", "ward_id"): "nothing",
    ("GET /audit", "query", "row_id"): "nothing",
    ("GET /audit", "query", "actor_id"): "nothing",
    ("POST /alerts/<uuid:alert_id>/acknowledge", "path", "alert_id"): "alert_not_found",
    ("GET /drift/runs/<uuid:run_id>", "path", "run_id"): "run_not_found",
    ("GET /drift/runs/<uuid:run_id>/events", "path", "run_id"): "run_not_found",
    ("GET /drift/runs/<uuid:run_id>/events.csv", "path", "run_id"): "run_not_found",
}
TABLES = {
    "order": "medication_orders",
    "administration": "medication_administrations",
    "entry": "override_drugs",
    "override": "order_overrides",
    "movement": "stock_movements",
    "lot": "lots",
    "transfer": "stock_transfers",
    "count": "stock_counts",
    "discrepancy": "discrepancies",
    "alert": "alerts",
    "assignment": "care_team_assignments",
    "replaces": "care_team_assignments",
    "run": "report_runs",
    "token": "access_tokens",
    "passkey": "passkeys",
}


def ids_of(schema: Schema, within: str = "") -> Iterator[str]:
    """The fields of a query or a body that name a row; those of its lines as lines.drug_id."""
    for name, field in schema.fields.items():
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            yield from ids_of(inner.schema, f"{within}{name}.")
        elif isinstance(inner, Id):
            yield within + name


def foreign_id(hospital: Hospital, name: str) -> Any:
    """An id of `hospital` of the kind that the field `name` asks for."""
    match name.rpartition(".")[2].removesuffix("_id").removesuffix("_ids"):
        case "user" | "provider" | "prescriber" | "nurse" | "owner" | "actor":
            return hospital.staff["doctor"].user_id
        case "source_ward" | "destination_ward" | "add_ward" | "remove_ward" | "row":
            return hospital.ward_id
        case "ward" | "patient" | "drug" as kind:
            return getattr(hospital, f"{kind}_id")
        case kind if kind in TABLES:
            return hospital.rows(f"SELECT id FROM {TABLES[kind]} ORDER BY id LIMIT 1")[0][0]
    raise AssertionError(f"say which id {name} is")
