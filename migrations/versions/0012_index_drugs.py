"""Find a drug by the beginning of its name or generic name."""

from backend.db import ddl

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_drugs_name_key": "(organization_id, name_key, id)",
    "ix_drugs_generic_name_key": "(organization_id, generic_name_key)",
}


def upgrade() -> None:
    ddl.create_indexes("drugs", INDEXES)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
