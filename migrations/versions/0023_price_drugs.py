"""What a unit of a drug costs; and a movement is recorded at the clock's time, not at its transaction's start.

A writer waits for its shelf's lane after BEGIN, so that now() of two movements could stand against their order.
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

PRICE = "unit_price_cents integer CONSTRAINT ck_drugs_unit_price_cents_not_negative CHECK (unit_price_cents >= 0)"


def upgrade() -> None:
    op.execute(f"ALTER TABLE drugs ADD COLUMN {PRICE}")
    op.alter_column("stock_movements", "recorded_at", server_default=sa.text("clock_timestamp()"))


def downgrade() -> None:
    op.alter_column("stock_movements", "recorded_at", server_default=sa.text("now()"))
    op.drop_column("drugs", "unit_price_cents")
