"""Hospitals, their wards, and the audit trail with the functions of its triggers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from backend.db import ddl

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SECURITY DEFINER: the application role may cause audit rows, it may not write them.
RECORD_CHANGE = """
CREATE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
  secrets text[] := coalesce(TG_ARGV[2:], '{}');
  old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
  new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
  changed jsonb := coalesce(new_row, old_row);
BEGIN
  INSERT INTO audit_events
    (organization_id, table_name, row_id, operation, actor_id, request_id, transaction_id, before, after)
  VALUES
    ((changed->>TG_ARGV[0])::uuid, TG_TABLE_NAME, (changed->>TG_ARGV[1])::uuid, TG_OP,
     nullif(current_setting('app.user_id', true), '')::uuid,
     nullif(current_setting('app.request_id', true), ''),
     txid_current(), old_row - secrets, new_row - secrets);
  RETURN NULL;
END
$body$
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
  RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only: ' || TG_OP || ' refused',
    ERRCODE = 'insufficient_privilege';
END
$body$
"""


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("verification_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("witness_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'", name=op.f("ck_organizations_slug_form")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("slug", name=op.f("uq_organizations_slug")),
    )
    op.create_table(
        "audit_events",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_audit_events_organization_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_audit_events")),
    )
    op.execute(RECORD_CHANGE)
    op.execute("REVOKE ALL ON FUNCTION record_change FROM PUBLIC")  # else a trigger on a temporary table forges audit
    op.execute(REFUSE_CHANGE)
    ddl.protect("organizations", grants="SELECT, INSERT, UPDATE", column="id")
    ddl.allow_sign_in("organizations")
    ddl.audit("organizations", organization="id")
    ddl.protect("audit_events", grants="SELECT")
    ddl.append_only("audit_events")
    op.create_table(
        "wards",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Enum("ward", "pharmacy", name="ward_kind"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_wards_organization_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_wards")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_wards_organization_id_name")),
    )
    ddl.protect("wards", grants="SELECT, INSERT, UPDATE")
    ddl.audit("wards")


def downgrade() -> None:
    op.drop_table("wards")
    op.execute("DROP TYPE ward_kind")
    op.drop_table("audit_events")
    op.drop_table("organizations")
    op.execute("DROP FUNCTION record_change")
    op.execute("DROP FUNCTION refuse_change")
