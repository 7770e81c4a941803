"""Movements know when their request arrived; a counted line and a variance know the shelf's last movement.

A dose that was under way while its lot was counted is then told from one that was given afterwards. All three are NULL
in older rows, and in those that the release before writes while this one is rolled out.
"""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stock_movements", sa.Column("requested_at", sa.DateTime(timezone=True)))
    op.add_column("stock_count_lines", sa.Column("sequence", sa.BigInteger))
    op.add_column("discrepancies", sa.Column("sequence", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("discrepancies", "sequence")
    op.drop_column("stock_count_lines", "sequence")
    op.drop_column("stock_movements", "requested_at")
