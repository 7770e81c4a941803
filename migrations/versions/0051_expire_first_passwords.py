"""When the password that somebody else has chosen for a user expires; none for one that its owner has chosen.

Nobody who is there when it runs is held to have a first password: an upgrade locks nobody out. `sign_in_person` says
so with the rest; `sign_in_candidate` (0011) stays for the release before, which asks it while this migration runs.
"""

import sqlalchemy as sa
from alembic import op

from backend.db import ddl

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

SIGN_IN_PERSON = """
BEGIN
  RETURN QUERY
    SELECT o.id, u.id, u.role::text, u.name, u.password_hash, u.totp_secret,
      u.first_password_expires_at IS NOT NULL, coalesce(u.first_password_expires_at <= now(), false)
    FROM organizations o JOIN users u ON u.organization_id = o.id
    WHERE o.slug = wanted_slug AND u.email = wanted_email AND u.active;
END
"""


def upgrade() -> None:
    op.add_column("users", sa.Column("first_password_expires_at", sa.DateTime(timezone=True), nullable=True))
    ddl.create_function(
        "sign_in_person(wanted_slug text, wanted_email text)",
        SIGN_IN_PERSON,
        returns="TABLE (organization_id uuid, user_id uuid, role text, name text, password_hash text,"
        " totp_secret text, first_password boolean, expired boolean)",
        grant=True,
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION sign_in_person")
    op.drop_column("users", "first_password_expires_at")
