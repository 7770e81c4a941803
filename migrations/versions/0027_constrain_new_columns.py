"""What the new columns may hold. A dose not given needs no further words than its outcome."""

from backend.db import ddl

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


USER = "FOREIGN KEY (organization_id, {0}) REFERENCES users (organization_id, id)"
CONSTRAINTS = {
    "lots": {
        "fk_lots_organization_id_status_changed_by_id": USER.format("status_changed_by_id"),
        "ck_lots_kept_back_with_reason": "CHECK (status = 'available' OR status_reason IS NOT NULL)",
    },
    "stock_movements": {
        "fk_stock_movements_organization_id_witness_id": USER.format("witness_id"),
        "fk_stock_movements_organization_id_corrects_id": "FOREIGN KEY (organization_id, corrects_id)"
        " REFERENCES stock_movements (organization_id, id)",
        "ck_stock_movements_witness_is_another": "CHECK (witness_id <> actor_id)",
        "ck_stock_movements_corrects_by_correction": "CHECK (corrects_id IS NULL OR reason = 'correction')",
    },
    "stock_transfers": {
        "fk_stock_transfers_organization_id_cancelled_by_id": USER.format("cancelled_by_id"),
        "ck_stock_transfers_cancelled_at_with_status": "CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL))",
    },
    "organizations": {
        "ck_organizations_dose_window_minutes_range": "CHECK (dose_window_minutes BETWEEN 0 AND 1440)",
        "ck_organizations_discrepancy_hours_range": "CHECK (discrepancy_hours BETWEEN 1 AND 720)",
        "ck_organizations_transit_hours_range": "CHECK (transit_hours BETWEEN 1 AND 720)",
    },
    "medication_administrations": {
        "fk_medication_administrations_organization_id_in_error_by_id": USER.format("in_error_by_id"),
        "ck_medication_administrations_given_has_no_reason": "CHECK (outcome <> 'given' OR reason IS NULL)",
        "ck_medication_administrations_remainder_not_negative": "CHECK (wasted_units >= 0 AND returned_units >= 0)",
        "ck_medication_administrations_remainder_within_withdrawn": "CHECK (wasted_units + returned_units"
        " <= quantity_units)",
        "ck_medication_administrations_entered_in_error_with_reason": "CHECK ((entered_in_error_at IS NULL)"
        " = (error_reason IS NULL) AND (entered_in_error_at IS NULL) = (in_error_by_id IS NULL))",
        "ck_medication_administrations_stands_unless_in_error": "CHECK (stands OR entered_in_error_at IS NOT NULL)",
    },
}
REPLACED = "ck_medication_administrations_not_given_has_reason"


def upgrade() -> None:
    for table, constraints in CONSTRAINTS.items():
        ddl.add_constraints(table, constraints)
    ddl.drop_constraints("medication_administrations", REPLACED)


def downgrade() -> None:
    for table, constraints in CONSTRAINTS.items():
        ddl.drop_constraints(table, *constraints)
    unsaid = "outcome <> 'given' AND reason IS NULL"
    ddl.for_each_hospital(f"UPDATE medication_administrations SET reason = outcome::text WHERE {unsaid}")
    given = "CHECK ((outcome = 'given') = (reason IS NULL))"
    ddl.add_constraints("medication_administrations", {REPLACED: given})
