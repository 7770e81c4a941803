"""Keeps the earliest PRIMARY of a patient and one assignment of each provider; demotes or removes the rest, aloud.

A provider's assignment as PRIMARY is kept before an older one in another role: no patient loses the only PRIMARY.

Runs before the unique indexes of 0022, on data that an earlier system may have left. Each change is a WARNING and an
audit row. Nothing to take back: the demoted stay demoted.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

RESOLVE = """
DO $body$
DECLARE
  hospital uuid;
  changed record;
BEGIN
  FOR hospital IN SELECT id FROM organizations LOOP
    PERFORM set_config('app.organization_id', hospital::text, true);
    FOR changed IN
      WITH ranked AS (
        SELECT id, row_number() OVER (PARTITION BY patient_id, provider_id
          ORDER BY (role = 'PRIMARY') DESC, assigned_at, id) AS place
        FROM care_team_assignments WHERE organization_id = hospital AND removed_at IS NULL)
      UPDATE care_team_assignments a SET removed_at = greatest(now(), assigned_at), version = version + 1
      FROM ranked r WHERE a.organization_id = hospital AND a.id = r.id AND r.place > 1
      RETURNING a.id, a.patient_id
    LOOP
      RAISE WARNING USING MESSAGE = 'organization ' || hospital || ': patient ' || changed.patient_id
        || ': repeated assignment ' || changed.id || ' removed';
    END LOOP;
    FOR changed IN
      WITH ranked AS (
        SELECT id, row_number() OVER (PARTITION BY patient_id ORDER BY assigned_at, id) AS place
        FROM care_team_assignments WHERE organization_id = hospital AND removed_at IS NULL AND role = 'PRIMARY')
      UPDATE care_team_assignments a SET role = 'SPECIALIST', version = version + 1
      FROM ranked r WHERE a.organization_id = hospital AND a.id = r.id AND r.place > 1
      RETURNING a.id, a.patient_id
    LOOP
      RAISE WARNING USING MESSAGE = 'organization ' || hospital || ': patient ' || changed.patient_id
        || ': PRIMARY ' || changed.id || ' demoted';
    END LOOP;
  END LOOP;
END
$body$
"""


def upgrade() -> None:
    op.execute(RESOLVE)


def downgrade() -> None:
    pass
