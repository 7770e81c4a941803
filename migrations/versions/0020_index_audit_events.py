"""The audit trail by row, by actor and by time."""

from backend.db import ddl

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_audit_events_row": "(organization_id, table_name, row_id, id)",
    "ix_audit_events_actor": "(organization_id, actor_id, id)",
    "ix_audit_events_time": "(organization_id, occurred_at)",
}


def upgrade() -> None:
    ddl.create_indexes("audit_events", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
