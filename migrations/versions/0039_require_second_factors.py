"""Which roles a hospital asks for a second factor, and the last code that each user's factor has given."""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    roles = sa.Column("second_factor_roles", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("organizations", roles)
    op.create_table(
        "totp_steps",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["users.organization_id", "users.id"],
            name=op.f("fk_totp_steps_organization_id_user_id"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_totp_steps")),
        sa.UniqueConstraint("organization_id", "user_id", name=op.f("uq_totp_steps_organization_id_user_id")),
    )
    ddl.protect("totp_steps", grants="SELECT, INSERT, UPDATE")
    ddl.audit("totp_steps")


def downgrade() -> None:
    op.drop_table("totp_steps")
    op.drop_column("organizations", "second_factor_roles")
