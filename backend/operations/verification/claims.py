"""The invariants of claims and payer drift, number 7."""

from backend.operations.verification.invariant import Invariant

CLAIMS = (
    Invariant(
        7,
        "A drift run that succeeded counts its events, any other has none",
        """SELECT 'run ' || r.id || ' ' || r.status || ': ' || coalesce(r.events_created::text, 'no') || ' events, '
          || coalesce(e.events, 0) || ' on record'
        FROM report_runs r LEFT JOIN (SELECT report_run_id, count(*) AS events FROM drift_events
          WHERE organization_id = $organization GROUP BY report_run_id) e ON e.report_run_id = r.id
        WHERE r.organization_id = $organization AND coalesce(e.events, 0) <> coalesce(r.events_created, 0)""",
    ),
    Invariant(
        7,
        "The revisions of a claim have no gap",
        """SELECT 'claim ' || claim_id || ': ' || count(*) || ' revisions, the last is ' || max(revision)
        FROM claim_records WHERE organization_id = $organization GROUP BY claim_id
        HAVING count(*) <> max(revision)""",
    ),
)
