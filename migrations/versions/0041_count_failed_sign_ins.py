"""Failed sign-ins by account and by address, before anybody is known.

The table belongs to no hospital: an account that does not exist is counted like one that does. It lies in a schema that
the application role cannot enter; three functions are all that it may do. A row ends with its window; whoever counts a
failure takes a hundred ended rows away, so that the table holds little more than the failures of one window.
"""

from alembic import op

from backend.db import ddl

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

SIGN_IN_WAIT = """
BEGIN
  RETURN (
    SELECT coalesce(max(ceil(extract(epoch FROM f.ends_at - now()))), 0)::integer
    FROM unnest(subjects, most) AS s (subject, most) JOIN sign_in.failures f ON f.subject = s.subject
    WHERE f.failures >= s.most AND f.ends_at > now());
END
"""

COUNT_SIGN_IN_FAILURE = """
BEGIN
  -- materialized: as a sub-query of IN the LIMIT could be run anew for each row
  WITH ended AS MATERIALIZED (
    SELECT f.subject FROM sign_in.failures f WHERE f.ends_at <= now()
    ORDER BY f.ends_at LIMIT 100 FOR UPDATE SKIP LOCKED)
  DELETE FROM sign_in.failures f USING ended WHERE f.subject = ended.subject;
  INSERT INTO sign_in.failures AS f (subject, failures, ends_at)
    SELECT s.subject, 1, now() + make_interval(secs => seconds) FROM unnest(subjects) AS s (subject) ORDER BY 1
    ON CONFLICT (subject) DO UPDATE SET
      failures = CASE WHEN f.ends_at <= now() THEN 1 ELSE f.failures + 1 END,
      ends_at = CASE WHEN f.ends_at <= now() THEN excluded.ends_at ELSE f.ends_at END;
  RETURN sign_in_wait(subjects, ARRAY(SELECT m + 1 FROM unnest(most) WITH ORDINALITY AS s (m, place) ORDER BY place));
END
"""

FORGET_SIGN_IN_FAILURES = """
BEGIN
  DELETE FROM sign_in.failures f WHERE f.subject = forgotten;
END
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA sign_in")
    op.execute(
        "CREATE TABLE sign_in.failures ("
        "subject bytea CONSTRAINT pk_failures PRIMARY KEY CONSTRAINT ck_failures_sha256"
        " CHECK (octet_length(subject) = 32),"
        " failures bigint NOT NULL, ends_at timestamp with time zone NOT NULL)"
    )
    op.execute("CREATE INDEX ix_failures_ends_at ON sign_in.failures (ends_at)")
    op.execute("ALTER TABLE sign_in.failures ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE sign_in.failures FORCE ROW LEVEL SECURITY")
    op.execute("CREATE POLICY sign_in ON sign_in.failures TO CURRENT_USER USING (true)")
    wait = "sign_in_wait(subjects bytea[], most integer[])"
    ddl.create_function(wait, SIGN_IN_WAIT, returns="integer", grant=True)
    count = "count_sign_in_failure(subjects bytea[], most integer[], seconds integer)"
    ddl.create_function(count, COUNT_SIGN_IN_FAILURE, returns="integer", grant=True)
    forget = "forget_sign_in_failures(forgotten bytea)"
    ddl.create_function(forget, FORGET_SIGN_IN_FAILURES, returns="void", grant=True)


def downgrade() -> None:
    op.execute("DROP FUNCTION forget_sign_in_failures")
    op.execute("DROP FUNCTION count_sign_in_failure")
    op.execute("DROP FUNCTION sign_in_wait")
    op.execute("-- squawk-ignore ban-drop-table\nDROP TABLE sign_in.failures")
    op.execute("DROP SCHEMA sign_in")
