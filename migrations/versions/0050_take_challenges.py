"""Which challenges of passkeys have been answered: each is taken once, whoever comes with it again.

The table belongs to no hospital: a challenge is made before anybody is known. It lies where failed sign-ins are
counted, out of the application role's reach, and holds what was taken within the last minutes: whoever takes one
removes a hundred that have ended.
"""

from alembic import op

from backend.db import ddl

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

TAKE_CHALLENGE = """
BEGIN
  WITH ended AS MATERIALIZED (
    SELECT t.challenge FROM sign_in.taken t WHERE t.ends_at <= now()
    ORDER BY t.ends_at LIMIT 100 FOR UPDATE SKIP LOCKED)
  DELETE FROM sign_in.taken t USING ended WHERE t.challenge = ended.challenge;
  INSERT INTO sign_in.taken (challenge, ends_at) VALUES (wanted, now() + make_interval(secs => seconds))
    ON CONFLICT (challenge) DO NOTHING;
  RETURN FOUND;
END
"""


def upgrade() -> None:
    op.execute(
        "CREATE TABLE sign_in.taken ("
        "challenge bytea CONSTRAINT pk_taken PRIMARY KEY CONSTRAINT ck_taken_length"
        " CHECK (octet_length(challenge) = 32),"
        " ends_at timestamp with time zone NOT NULL)"
    )
    op.execute("CREATE INDEX ix_taken_ends_at ON sign_in.taken (ends_at)")
    op.execute("ALTER TABLE sign_in.taken ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE sign_in.taken FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY sign_in ON sign_in.taken TO CURRENT_USER USING (true)")
    take = "take_challenge(wanted bytea, seconds integer)"
    ddl.create_function(take, TAKE_CHALLENGE, returns="boolean", grant=True)


def downgrade() -> None:
    op.execute("DROP FUNCTION take_challenge")
    op.execute("-- squawk-ignore ban-drop-table\nDROP TABLE sign_in.taken")
