"""Orders by time, by status, and by whatever a list filters on."""

from backend.db import ddl

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_medication_orders_created_at": "(organization_id, created_at, id)",
    "ix_medication_orders_active": "(organization_id, created_at, id) WHERE status = 'active'",
    "ix_medication_orders_completed": "(organization_id, created_at, id) WHERE status = 'completed'",
    "ix_medication_orders_discontinued": "(organization_id, created_at, id) WHERE status = 'discontinued'",
    "ix_medication_orders_board": "(organization_id, ward_id) WHERE status = 'active'",
    "ix_medication_orders_ward_id": "(organization_id, ward_id, created_at, id)",
    "ix_medication_orders_patient_id": "(organization_id, patient_id, created_at, id)",
    "ix_medication_orders_drug_id": "(organization_id, drug_id, created_at, id)",
    "ix_medication_orders_prescriber_id": "(organization_id, prescriber_id, created_at, id)",
}


def upgrade() -> None:
    ddl.create_indexes("medication_orders", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
