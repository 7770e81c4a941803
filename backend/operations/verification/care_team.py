"""The rules of care teams as queries, readable on a schema from before the unique indexes too."""

from backend.operations.verification import Invariant

CARE_TEAM = (
    Invariant(
        "A patient has at most one active PRIMARY",
        """SELECT 'patient ' || patient_id || ': ' || count(*) || ' active PRIMARY, the earliest first: '
          || string_agg(provider_id::text, ', ' ORDER BY assigned_at, id) FROM care_team_assignments
        WHERE organization_id = $organization AND role = 'PRIMARY' AND removed_at IS NULL
        GROUP BY patient_id HAVING count(*) > 1""",
    ),
    Invariant(
        "A provider is on a patient's care team at most once",
        """SELECT 'patient ' || patient_id || ': provider ' || provider_id || ' assigned ' || count(*) || ' times, as '
          || string_agg(role::text, ', ' ORDER BY assigned_at, id) FROM care_team_assignments
        WHERE organization_id = $organization AND removed_at IS NULL
        GROUP BY patient_id, provider_id HAVING count(*) > 1""",
    ),
)

# No rule is broken, yet somebody should look.
WITHOUT_PRIMARY = Invariant(
    "A patient with a care team has a PRIMARY",
    """SELECT 'patient ' || patient_id || ': ' || count(*) || ' on the team, no PRIMARY' FROM care_team_assignments
    WHERE organization_id = $organization AND removed_at IS NULL
    GROUP BY patient_id HAVING bool_and(role <> 'PRIMARY')""",
)

_INDEXES = """(VALUES
    ('uq_care_team_primary', '{organization_id,patient_id}',
      '((role = ''PRIMARY''::care_role) AND (removed_at IS NULL))'),
    ('uq_care_team_active', '{organization_id,patient_id,provider_id}', '(removed_at IS NULL)')
  ) AS wanted (name, columns, predicate)
  LEFT JOIN pg_index i ON i.indexrelid = to_regclass(wanted.name) AND i.indrelid = to_regclass('care_team_assignments')
  LEFT JOIN LATERAL (SELECT array_agg(a.attname::text ORDER BY k.place)::text AS columns
    FROM unnest(i.indkey) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number) found ON true"""

INDEXES = Invariant(
    "The unique indexes of care teams exist, are valid, unique, on their columns and rows",
    f"""SELECT 'index ' || name || ': ' || CASE WHEN i.indexrelid IS NULL THEN 'is missing'
      WHEN NOT i.indisvalid THEN 'is invalid: a build of it has failed' WHEN NOT i.indisunique THEN 'is not unique'
      WHEN found.columns <> wanted.columns THEN 'is on the columns ' || found.columns
      ELSE 'is for the rows ' || coalesce(pg_get_expr(i.indpred, i.indrelid), 'of all') END
    FROM {_INDEXES}
    WHERE i.indexrelid IS NULL OR NOT (i.indisvalid AND i.indisunique AND found.columns = wanted.columns
      AND pg_get_expr(i.indpred, i.indrelid) IS NOT DISTINCT FROM wanted.predicate)""",
)
