"""The invariants as queries: each returns the rows that break it, and none on a sound database."""

from collections.abc import Iterator

from sqlalchemy import ForeignKeyConstraint, MetaData

from backend.operations.verification import Invariant
from backend.operations.verification.care_team import CARE_TEAM
from backend.operations.verification.custody import CUSTODY

_SHELF = "'ward ' || {0}.ward_id || ' drug ' || {0}.drug_id"

STOCK_AND_ORDERS = (
    Invariant(
        "A level is the sum of its lots",
        f"""SELECT {_SHELF.format("l")} || ': level ' || l.on_hand_units || ', lots ' || coalesce(s.units, 0)
        FROM stock_levels l LEFT JOIN (SELECT ward_id, drug_id, sum(quantity_units) AS units FROM stock_lots
          WHERE organization_id = $organization GROUP BY ward_id, drug_id) s USING (ward_id, drug_id)
        WHERE l.organization_id = $organization AND l.on_hand_units <> coalesce(s.units, 0)""",
    ),
    Invariant(
        "A level is the sum of its movements",
        f"""SELECT {_SHELF.format("l")} || ': level ' || l.on_hand_units || ', ledger ' || coalesce(m.units, 0)
        FROM stock_levels l LEFT JOIN (SELECT ward_id, drug_id, sum(units) AS units FROM stock_movements
          WHERE organization_id = $organization GROUP BY ward_id, drug_id) m USING (ward_id, drug_id)
        WHERE l.organization_id = $organization AND l.on_hand_units <> coalesce(m.units, 0)""",
    ),
    Invariant(
        "A lot on a shelf is the sum of its movements",
        f"""SELECT {_SHELF.format("s")} || ' lot ' || s.lot_id || ': ' || s.quantity_units
          || ', ledger ' || coalesce(m.units, 0)
        FROM stock_lots s LEFT JOIN (SELECT ward_id, lot_id, sum(units) AS units FROM stock_movements
          WHERE organization_id = $organization GROUP BY ward_id, lot_id) m USING (ward_id, lot_id)
        WHERE s.organization_id = $organization AND s.quantity_units <> coalesce(m.units, 0)""",
    ),
    Invariant(
        "No quantity is negative",
        f"""SELECT {_SHELF.format("l")} || ': level ' || l.on_hand_units FROM stock_levels l
        WHERE l.organization_id = $organization AND l.on_hand_units < 0
        UNION ALL SELECT {_SHELF.format("s")} || ' lot ' || s.lot_id || ': ' || s.quantity_units FROM stock_lots s
        WHERE s.organization_id = $organization AND s.quantity_units < 0""",
    ),
    Invariant(
        "The ledger of a shelf has no gap, its balances add up and its times rise",
        f"""SELECT {_SHELF.format("m")} || ' movement ' || m.sequence || ' (' || m.id || ')'
        FROM (SELECT *, lag(sequence, 1, 0::bigint) OVER shelf AS before,
            lag(balance_after_units, 1, 0) OVER shelf AS balance_before, lag(recorded_at) OVER shelf AS recorded_before
          FROM stock_movements WHERE organization_id = $organization
          WINDOW shelf AS (PARTITION BY ward_id, drug_id ORDER BY sequence)) m
        WHERE m.sequence <> m.before + 1 OR m.balance_after_units <> m.balance_before + m.units
          OR (m.requested_at IS NOT NULL AND m.recorded_at < m.recorded_before)
        UNION ALL SELECT {_SHELF.format("l")} || ': level counts ' || l.sequence || ' movements'
        FROM stock_levels l WHERE l.organization_id = $organization AND l.sequence <> (
          SELECT count(*) FROM stock_movements m WHERE m.organization_id = $organization
            AND m.ward_id = l.ward_id AND m.drug_id = l.drug_id)""",
    ),
    Invariant(
        "An order has as many administrations as doses given, exactly all when completed",
        """SELECT 'order ' || o.id || ' ' || o.status || ': ' || o.doses_given || ' of ' || o.doses || ' doses, '
          || coalesce(a.doses, 0) || ' administrations'
        FROM medication_orders o LEFT JOIN (
          SELECT order_id, count(*) AS doses, max(dose_number) AS last FROM medication_administrations
          WHERE organization_id = $organization AND stands GROUP BY order_id) a ON a.order_id = o.id
        WHERE o.organization_id = $organization AND (coalesce(a.doses, 0) <> o.doses_given
          OR coalesce(a.last, 0) <> o.doses_given OR (o.status = 'completed') <> (coalesce(a.doses, 0) = o.doses))""",
    ),
    Invariant(
        "A dose that was given has its movements, one that was not has none",
        """SELECT 'administration ' || a.id || ': ' || a.quantity_units || ' units, ledger ' || coalesce(-m.units, 0)
        FROM medication_administrations a LEFT JOIN (SELECT reference_id, sum(units) AS units FROM stock_movements
          WHERE organization_id = $organization AND reason = 'fulfilment' GROUP BY reference_id) m
          ON m.reference_id = a.id
        WHERE a.organization_id = $organization AND a.quantity_units <> coalesce(-m.units, 0)""",
    ),
    Invariant(
        "A fulfilment's movement takes units of the order's drug and ward for one administration",
        """SELECT 'movement ' || m.id FROM stock_movements m
        LEFT JOIN medication_administrations a ON a.organization_id = $organization AND a.id = m.reference_id
        LEFT JOIN medication_orders o ON o.organization_id = $organization AND o.id = a.order_id
        WHERE m.organization_id = $organization AND m.reason = 'fulfilment' AND (m.units >= 0
          OR o.id IS NULL OR m.ward_id <> o.ward_id OR m.drug_id <> o.drug_id)""",
    ),
    Invariant(
        "A movement's lot is a lot of its drug",
        """SELECT 'movement ' || m.id || ' lot ' || m.lot_id FROM stock_movements m
        JOIN lots l ON l.organization_id = $organization AND l.id = m.lot_id
        WHERE m.organization_id = $organization AND l.drug_id <> m.drug_id""",
    ),
)

CLAIMS = (
    Invariant(
        "A drift run that succeeded counts its events, any other has none",
        """SELECT 'run ' || r.id || ' ' || r.status || ': ' || coalesce(r.events_created::text, 'no') || ' events, '
          || coalesce(e.events, 0) || ' on record'
        FROM report_runs r LEFT JOIN (SELECT report_run_id, count(*) AS events FROM drift_events
          WHERE organization_id = $organization GROUP BY report_run_id) e ON e.report_run_id = r.id
        WHERE r.organization_id = $organization AND coalesce(e.events, 0) <> coalesce(r.events_created, 0)""",
    ),
    Invariant(
        "The revisions of a claim have no gap",
        """SELECT 'claim ' || claim_id || ': ' || count(*) || ' revisions, the last is ' || max(revision)
        FROM claim_records WHERE organization_id = $organization GROUP BY claim_id
        HAVING count(*) <> max(revision)""",
    ),
)

# The chain alone, as backend/domain/audit/chain.py defines it, computed once more in SQL. `valmed audit verify` also
# reads the rows that the seals are about.
SEALS = (
    Invariant(
        "The chain of seals has no gap, and every seal has the hash of what it says",
        r"""SELECT 'seal ' || s.id || ' (' || s.table_name || ')'
        FROM (SELECT *, lag(id, 1, 0::bigint) OVER chain AS id_before,
            lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER chain AS hash_before
          FROM audit_seals WHERE organization_id = $organization WINDOW chain AS (ORDER BY id)) s,
        LATERAL (SELECT string_agg(row_id || ' ' || encode(substr(s.row_hashes, 32 * place::int - 31, 32), 'hex')
            || E'\n', '' ORDER BY place) FROM unnest(s.row_ids) WITH ORDINALITY r (row_id, place)) r (lines)
        WHERE s.id <> s.id_before + 1 OR s.previous_hash <> s.hash_before
          OR s.hash <> sha256(convert_to(concat_ws(E'\n', s.organization_id, s.id, s.table_name, s.form,
          to_char(s.sealed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), s.through, s.transaction_id,
          s.horizon, encode(s.previous_hash, 'hex'), r.lines), 'UTF8'))""",
    ),
)

INVARIANTS = (*STOCK_AND_ORDERS, *CUSTODY, *CARE_TEAM, *CLAIMS, *SEALS)


def references(metadata: MetaData) -> Iterator[Invariant]:
    """Yield the rule of every foreign key: no row points at nothing or into another hospital.

    But not for the key of a row to its own organization: a hospital that is gone is not among those that are checked.
    """
    for table in metadata.sorted_tables:
        for constraint in sorted(table.foreign_key_constraints, key=lambda found: str(found.name)):
            if constraint.column_keys == ["organization_id"]:
                continue
            yield Invariant(f"Every {table.name}.{constraint.column_keys[-1]} exists", _orphans(constraint))


def _orphans(constraint: ForeignKeyConstraint) -> str:
    child, parent = constraint.table.name, constraint.referred_table.name
    pairs = [(element.parent.name, element.column.name) for element in constraint.elements]
    same = " AND ".join(f"p.{there} = c.{here}" for here, there in pairs)
    present = " AND ".join(f"c.{here} IS NOT NULL" for here, _ in pairs)
    shown = " || ' ' || ".join(f"'{here} ' || c.{here}" for here, _ in pairs)
    return (
        f"SELECT '{child} ' || {shown} FROM {child} c WHERE c.organization_id = $organization AND {present}"
        f" AND NOT EXISTS (SELECT FROM {parent} p WHERE {same})"
    )
