"""Seals over the audit trail and the ledgers; each new row of a ledger has a number, by which the sealer finds it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from backend.db import ddl

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

# What an import may hold for minutes comes first: no ward waits behind a migration that waits for it.
LEDGERS = ("claim_records", "drift_events", "dose_remainders", "stock_movements")


def upgrade() -> None:
    op.create_table(
        "audit_seals",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("form", sa.Integer(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("row_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("row_hashes", postgresql.BYTEA(), nullable=False),
        sa.Column("previous_hash", postgresql.BYTEA(), nullable=False),
        sa.Column("hash", postgresql.BYTEA(), nullable=False),
        sa.CheckConstraint("id > 0 AND through >= 0", name=op.f("ck_audit_seals_numbers")),
        sa.CheckConstraint(
            "cardinality(row_ids) > 0 AND octet_length(row_hashes) = 32 * cardinality(row_ids)",
            name=op.f("ck_audit_seals_a_hash_for_each_row"),
        ),
        sa.CheckConstraint(
            "octet_length(previous_hash) = 32 AND octet_length(hash) = 32", name=op.f("ck_audit_seals_sha256")
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_audit_seals_organization_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_audit_seals")),
    )
    op.create_index("ix_audit_seals_table_name", "audit_seals", ["organization_id", "table_name", "id"])
    ddl.protect("audit_seals", grants="SELECT, INSERT")
    ddl.append_only("audit_seals")
    ddl.create_ledger_numbers()
    for table in LEDGERS:
        ddl.number_rows(table)


def downgrade() -> None:
    for table in reversed(LEDGERS):
        op.drop_column(table, "number")
    op.execute("DROP SEQUENCE ledger_numbers")
    op.drop_table("audit_seals")
