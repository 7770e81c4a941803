"""${message}

Rules of a migration (README, "How to change things"):
- one concern; schema and data apart; works with the previous release's code running
- what that code has prepared stays as it is: the type of a column, the name, parameters and result of a function. Another
  result is another function, another type another column; the old one goes a release later. ALTER ... TYPE rewrites the
  table as well, and a transaction whose snapshot is older then finds it empty
- SQL names its columns: no SELECT * from a table or function
- an index on a live table: ddl.create_indexes, alone in its file (CONCURRENTLY, outside a transaction)
- NOT NULL or CHECK on a live table: NOT VALID, VALIDATE, then SET NOT NULL, as steps
- data in bounded batches that can run again; never import models
- a new tenant table: ddl.protect, and ddl.audit or ddl.append_only
- a new append-only table, or a column of one: ddl.number_rows, and a form in backend/domain/audit/rendering.py
- downgrade() is written and run by the tests (up, down, up)
- once it is released its SQL stays: add its hash to tests/migrations/frozen.txt (test_frozen.py says how)
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
