"""The audit trail retells every table: each row's first state, each change from the state before it, and the last one.

So a change that left no row in the trail is seen, whichever table it was in, and whatever else its transaction left.
"""

from collections.abc import Iterator

from backend.operations.proving.stand import Stand, ask

# Of every audited table its name, the column that the trail calls row_id, and those that it leaves out.
TABLES = r"""SELECT t.tgrelid::regclass::text, arguments[1], arguments[2], arguments[3:] FROM pg_trigger AS t,
    string_to_array(rtrim(encode(t.tgargs, 'escape'), '\000'), '\000') AS arguments
  WHERE t.tgfoid = 'record_change'::regproc ORDER BY 1"""
# The trail of a table, each row of it with the state that the row before has left behind.
CHAIN = """SELECT e.row_id, e.id, e.operation, e.before, e.after,
    lag(e.after) OVER (PARTITION BY e.organization_id, e.row_id ORDER BY e.id) AS known,
    lead(e.id) OVER (PARTITION BY e.organization_id, e.row_id ORDER BY e.id) AS next
  FROM audit_events AS e WHERE e.table_name = '{table}'"""
BROKEN = """WITH chain AS ({chain})
  SELECT '{table} ' || row_id || ': row ' || id || ' of the trail does not follow the one before' FROM chain
    WHERE before IS DISTINCT FROM known
  UNION ALL SELECT '{table} ' || coalesce(c.row_id, t.{row}) || ': the trail ends in another state'
    FROM (SELECT row_id, after FROM chain WHERE next IS NULL AND after IS NOT NULL) AS c
    FULL JOIN {table} AS t ON t.{row} = c.row_id
    WHERE c.after IS DISTINCT FROM to_jsonb(t) - '{secrets}'::text[]"""


def gaps(stand: Stand) -> Iterator[str]:
    """Find rows of which the trail lacks a change."""
    for table, _, row, secrets in ask(stand.superuser_url, TABLES):
        left_out = "{" + ",".join(secrets) + "}"
        query = BROKEN.format(chain=CHAIN.format(table=table), table=table, row=row, secrets=left_out)
        yield from (what for (what,) in ask(stand.superuser_url, query))
