"""The database notes of each row of a controlled drug whether it must have a second name.

Triggers set `witness_due` when a movement or a remainder of a dose is written and when a discrepancy is resolved, also
for the release before, which does not know the column: the drug is controlled at that moment, and the reason is waste,
loss, correction or return, or the hospital asks for witnesses of receipts and transfers. So a drug that becomes
controlled later, or no longer is, changes nothing of what was true then. NULL in rows from before, and in fulfilments,
whose witness is asked for by a policy of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

FUNCTIONS = {
    "movement_witness_due": """
  NEW.witness_due := coalesce(
    (SELECT d.controlled_schedule IS NOT NULL
        AND (NEW.reason IN ('waste', 'loss', 'correction', 'return') OR h.custody_witness_required)
      FROM drugs d JOIN organizations h ON h.id = d.organization_id
      WHERE d.organization_id = NEW.organization_id AND d.id = NEW.drug_id), true);""",
    "remainder_witness_due": """
  NEW.witness_due := coalesce(
    (SELECT d.controlled_schedule IS NOT NULL FROM lots l
      JOIN drugs d ON d.organization_id = l.organization_id AND d.id = l.drug_id
      WHERE l.organization_id = NEW.organization_id AND l.id = NEW.lot_id), true);""",
    "discrepancy_witness_due": """
  IF TG_OP = 'UPDATE' AND OLD.status = 'resolved' THEN
    NEW.witness_due := OLD.witness_due;
  ELSE
    NEW.witness_due := coalesce(
      (SELECT d.controlled_schedule IS NOT NULL FROM drugs d
        WHERE d.organization_id = NEW.organization_id AND d.id = NEW.drug_id), true);
  END IF;""",
}
TRIGGERS = {
    "stock_movements": ("INSERT", "WHEN (NEW.reason <> 'fulfilment')", "movement_witness_due"),
    "dose_remainders": ("INSERT", "", "remainder_witness_due"),
    "discrepancies": ("INSERT OR UPDATE", "WHEN (NEW.status = 'resolved')", "discrepancy_witness_due"),
}


def upgrade() -> None:
    policy = sa.Column("custody_witness_required", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    op.add_column("organizations", policy)
    for table in TRIGGERS:
        op.add_column(table, sa.Column("witness_due", sa.Boolean()))
    for name, body in FUNCTIONS.items():
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp"
            f" AS $body$\nBEGIN{body}\n  RETURN NEW;\nEND\n$body$"
        )
        op.execute(f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC")
    for table, (events, condition, function) in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER witness_due BEFORE {events} ON {table} FOR EACH ROW {condition}"
            f" EXECUTE FUNCTION {function}()"
        )


def downgrade() -> None:
    for table in TRIGGERS:
        op.execute(f"DROP TRIGGER witness_due ON {table}")
        op.drop_column(table, "witness_due")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}")
    op.drop_column("organizations", "custody_witness_required")
