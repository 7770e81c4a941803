"""Passkeys: the public halves of keys on people's devices, and the one that an answer before any sign-in names."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

PASSKEY_NAMED = """
BEGIN
  RETURN QUERY
    SELECT p.id, p.public_key, o.slug, u.email
    FROM passkeys p JOIN organizations o ON o.id = p.organization_id
      JOIN users u ON (u.organization_id, u.id) = (p.organization_id, p.user_id)
    WHERE p.organization_id = wanted_organization AND p.user_id = wanted_user
      AND p.credential_id = wanted_credential;
END
"""


def upgrade() -> None:
    op.create_table(
        "passkeys",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("backed_up", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "octet_length(credential_id) BETWEEN 1 AND 1023", name=op.f("ck_passkeys_credential_id_length")
        ),
        sa.CheckConstraint("octet_length(public_key) BETWEEN 1 AND 4096", name=op.f("ck_passkeys_public_key_length")),
        sa.CheckConstraint("sign_count BETWEEN 0 AND 4294967295", name=op.f("ck_passkeys_sign_count_range")),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_passkeys_organization_id_user_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("organization_id", "credential_id", name=op.f("uq_passkeys_organization_id_credential_id")),
    )
    op.create_index("ix_passkeys_user_id", "passkeys", ["organization_id", "user_id"])
    ddl.protect("passkeys", grants="SELECT, INSERT, UPDATE, DELETE")
    ddl.audit("passkeys")
    ddl.allow_sign_in("passkeys")
    ddl.create_function(
        "passkey_named(wanted_organization uuid, wanted_user uuid, wanted_credential bytea)",
        PASSKEY_NAMED,
        returns="TABLE (id uuid, public_key bytea, organization text, email text)",
        grant=True,
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION passkey_named")
    op.drop_table("passkeys")
