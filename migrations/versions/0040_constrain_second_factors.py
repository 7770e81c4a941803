"""Only roles that there are may be asked for a second factor."""

from backend.db import ddl

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


CONSTRAINTS = {
    "ck_organizations_second_factor_roles_known": "CHECK (second_factor_roles"
    " <@ ARRAY['nurse', 'pharmacist', 'doctor', 'admin'])",
}


def upgrade() -> None:
    ddl.add_constraints("organizations", CONSTRAINTS)


def downgrade() -> None:
    ddl.drop_constraints("organizations", *CONSTRAINTS)
