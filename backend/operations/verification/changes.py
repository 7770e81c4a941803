"""The rule of the audit trail: what a row went through is there, change by change.

Every change of an audited row raises its version, and the trigger writes a row of the trail for it. So a trigger that
was switched off or replaced for a while, and rows of the trail that were deleted, leave rows that are short of some.

Decision: rows are counted, from the index alone, and what they say is read only where the count differs from the
version. Because the trail is the largest table of all. A change by hand that leaves the version as it was, as a release
before this did too, has a row of the trail too many and breaks nothing. Cost: where one was lost as well, the count is
right again, and only the seals show it.
"""

from collections.abc import Iterator

from sqlalchemy import MetaData, Table

from backend.operations.verification import Invariant

_ONCE = {"access_tokens"}  # have no version: of these the trail has at least how they were made


def changes_of(metadata: MetaData) -> Invariant:
    """The rule that the trail is complete, for every audited table of `metadata`."""
    return Invariant(
        "The audit trail has every change that the version of a row counts",
        " UNION ALL ".join(_short_of_changes(table) for table in audited(metadata)),
    )


def audited(metadata: MetaData) -> Iterator[Table]:
    """Yield the tables whose changes go into the trail."""
    yield from (table for table in metadata.sorted_tables if "version" in table.columns or table.name in _ONCE)


def _short_of_changes(table: Table) -> str:
    """The query for rows of `table` that the trail does not explain."""
    name = table.name
    version = "1" if name in _ONCE else "r.version"
    hospital = "organization_id" if "organization_id" in table.columns else "id"
    of_table = f"e.organization_id = $organization AND e.table_name = '{name}'"
    return f"""(WITH counted AS MATERIALIZED (
        SELECT r.id, {version} AS version, coalesce(t.changes, 0) AS changes
        FROM {name} r LEFT JOIN (SELECT e.row_id, count(*) AS changes FROM audit_events e WHERE {of_table}
          GROUP BY e.row_id) t ON t.row_id = r.id
        WHERE r.{hospital} = $organization AND coalesce(t.changes, 0) <> {version})
      SELECT '{name} ' || c.id || ': version ' || c.version || ', changes in the trail ' || c.changes FROM counted c
      WHERE c.version <> (SELECT count(*) FROM audit_events e WHERE {of_table} AND e.row_id = c.id
        AND (e.operation = 'INSERT' OR e.after->'version' IS DISTINCT FROM e.before->'version')))"""
