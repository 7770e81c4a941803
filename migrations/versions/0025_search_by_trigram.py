"""Find a drug by any part of its name or generic name.

Row-level security keeps LIKE out of index conditions, because it is not leakproof. So `search_drugs` runs as the
owner, whom the policy `search` lets read every drug, and picks the hospital's itself: it is the fence here.

The extension is a trusted one: whoever may create objects in the database may create it, else its administrator does
so beforehand. The index is built between two transactions; both can run again, so the next run finishes a killed one.
"""

from alembic import op

from backend.db import ddl

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

INDEXES = {"ix_drugs_trigrams": "USING gin (name_key gin_trgm_ops, generic_name_key gin_trgm_ops)"}

# chr(37) is the percent sign, which would come out doubled in the script of `alembic upgrade --sql`.
SEARCH_DRUGS = r"""
DECLARE
  part text := chr(37) || regexp_replace(needle, '([_\\' || chr(37) || '])', '\\\1', 'g') || chr(37);
BEGIN
  RETURN QUERY
    SELECT d.id FROM drugs d
    WHERE d.organization_id = current_setting('app.organization_id')::uuid
      AND (d.name_key LIKE part OR d.generic_name_key LIKE part);
END
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    ddl.create_indexes("drugs", INDEXES)
    ddl.allow_search("drugs")
    ddl.create_function("search_drugs(needle text)", SEARCH_DRUGS, returns="SETOF uuid", grant=True)


def downgrade() -> None:
    ddl.drop_indexes(*INDEXES)
    op.execute("DROP FUNCTION search_drugs")
    ddl.forbid_search("drugs")
    ddl.drop_own_extension("pg_trgm")
