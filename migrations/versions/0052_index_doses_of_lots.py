"""The doses of a lot, newest first: a recall names all of them, a page at a time, while its shelves' lanes are held."""

from backend.db import ddl

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

GIVEN = {"ix_stock_movements_given": "(organization_id, lot_id, occurred_at, id) WHERE reason = 'fulfilment'"}


def upgrade() -> None:
    ddl.create_indexes("stock_movements", GIVEN)


def downgrade() -> None:
    ddl.drop_indexes(*GIVEN)
