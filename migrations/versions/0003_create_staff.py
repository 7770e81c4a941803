"""Staff, the wards they work on and the tokens they hold."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Enum("nurse", "pharmacist", "doctor", "admin", name="user_role"), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("totp_secret", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower")),
        sa.ForeignKeyConstraint(["organization_id"], ["organizations.id"], name=op.f("fk_users_organization_id")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_users")),
        sa.UniqueConstraint("organization_id", "email", name=op.f("uq_users_organization_id_email")),
    )
    ddl.protect("users", grants="SELECT, INSERT, UPDATE")
    ddl.allow_sign_in("users")
    ddl.audit("users", "password_hash", "totp_secret")
    op.create_table(
        "ward_memberships",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("ward_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_ward_memberships_organization_id_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "ward_id"],
            ["wards.organization_id", "wards.id"],
            name=op.f("fk_ward_memberships_organization_id_ward_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_ward_memberships")),
        sa.UniqueConstraint(
            "organization_id",
            "user_id",
            "ward_id",
            name=op.f("uq_ward_memberships_organization_id_user_id_ward_id"),
        ),
    )
    ddl.protect("ward_memberships", grants="SELECT, INSERT, UPDATE, DELETE")
    ddl.audit("ward_memberships")
    op.create_table(
        "access_tokens",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("second_factor", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(token_sha256) = 32", name=op.f("ck_access_tokens_token_sha256_length")),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_access_tokens_organization_id_user_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_access_tokens")),
    )
    op.create_index("ix_access_tokens_token_sha256", "access_tokens", ["token_sha256"])
    op.create_index("ix_access_tokens_user_id", "access_tokens", ["organization_id", "user_id"])
    ddl.protect("access_tokens", grants="SELECT, INSERT, UPDATE")
    ddl.allow_sign_in("access_tokens")
    ddl.audit("access_tokens", "token_sha256")


def downgrade() -> None:
    op.drop_table("access_tokens")
    op.drop_table("ward_memberships")
    op.drop_table("users")
    op.execute("DROP TYPE user_role")
