"""The invariants of what happens around a fulfilment: corrections, remainders, transfers, counts and discrepancies."""

from backend.operations.verification import Invariant

# A transfer's lots with what the ledger says of each: sent by the transfer, received or returned by the transfer or by
# the discrepancy that its shortfall became.
_LOTS_IN_LEDGER = """
  SELECT p.id, n.transfer_id, n.drug_id, p.lot_id, p.dispatched_units, p.received_units, p.returned_units, p.lost_units,
    coalesce(o.units, 0) AS ledger_out, coalesce(i.units, 0) + coalesce(c.units, 0) AS ledger_in
  FROM stock_transfer_lots p
  JOIN stock_transfer_lines n ON n.organization_id = $organization AND n.id = p.line_id
  LEFT JOIN (SELECT reference_id, lot_id, -sum(units) AS units FROM stock_movements
    WHERE organization_id = $organization AND reason = 'transfer_out' GROUP BY reference_id, lot_id) o
    ON o.reference_id = n.transfer_id AND o.lot_id = p.lot_id
  LEFT JOIN (SELECT reference_id, lot_id, sum(units) AS units FROM stock_movements
    WHERE organization_id = $organization AND reason = 'transfer_in' GROUP BY reference_id, lot_id) i
    ON i.reference_id = n.transfer_id AND i.lot_id = p.lot_id
  LEFT JOIN (SELECT d.transfer_lot_id, sum(m.units) AS units FROM discrepancies d JOIN stock_movements m
      ON m.organization_id = $organization AND m.reference_id = d.id AND m.reason = 'transfer_in'
    WHERE d.organization_id = $organization GROUP BY d.transfer_lot_id) c ON c.transfer_lot_id = p.id
  WHERE p.organization_id = $organization"""

CUSTODY = (
    Invariant(
        "An entry in error has given its units back, and no other entry has",
        """SELECT 'administration ' || a.id || ': ' || a.quantity_units || ' units, returned ' || coalesce(m.units, 0)
        FROM medication_administrations a LEFT JOIN (SELECT reference_id, sum(units) AS units FROM stock_movements
          WHERE organization_id = $organization AND reason = 'correction' GROUP BY reference_id) m
          ON m.reference_id = a.id
        WHERE a.organization_id = $organization
          AND coalesce(m.units, 0) <> CASE WHEN a.entered_in_error_at IS NULL THEN 0 ELSE a.quantity_units END""",
    ),
    Invariant(
        "What was wasted and returned of a dose is on record, and returned units are in the ledger",
        """SELECT 'administration ' || a.id || ': wasted ' || a.wasted_units || ', on record ' || coalesce(r.wasted, 0)
          || ', returned ' || a.returned_units || ', on record ' || coalesce(r.returned, 0)
        FROM medication_administrations a LEFT JOIN (
          SELECT administration_id, sum(units) FILTER (WHERE kind = 'waste') AS wasted,
            sum(units) FILTER (WHERE kind = 'return') AS returned
          FROM dose_remainders WHERE organization_id = $organization GROUP BY administration_id) r
          ON r.administration_id = a.id
        WHERE a.organization_id = $organization AND (a.wasted_units <> coalesce(r.wasted, 0)
          OR a.returned_units <> coalesce(r.returned, 0) OR a.wasted_units + a.returned_units > a.quantity_units)
        UNION ALL SELECT 'remainder ' || r.id || ': ' || r.kind || ' ' || r.units || ', ledger ' || coalesce(m.units, 0)
        FROM dose_remainders r LEFT JOIN stock_movements m
          ON m.organization_id = $organization AND m.reference_id = r.id AND m.lot_id = r.lot_id
        WHERE r.organization_id = $organization
          AND coalesce(m.units, 0) <> CASE r.kind WHEN 'return' THEN r.units ELSE 0 END""",
    ),
    Invariant(
        "An override is of a dose that was given of its order on its ward",
        """SELECT 'override ' || v.id FROM order_overrides v
        LEFT JOIN medication_administrations a ON a.organization_id = $organization AND a.id = v.administration_id
        LEFT JOIN medication_orders o ON o.organization_id = $organization AND o.id = v.order_id
        WHERE v.organization_id = $organization AND (a.order_id IS DISTINCT FROM v.order_id
          OR a.outcome IS DISTINCT FROM 'given' OR o.ward_id IS DISTINCT FROM v.ward_id)""",
    ),
    Invariant(
        "A correction that points at a movement undoes all of it, on its shelf and lot",
        """SELECT 'movement ' || m.id || ' corrects ' || m.corrects_id FROM stock_movements m
        LEFT JOIN stock_movements o ON o.organization_id = $organization AND o.id = m.corrects_id
        WHERE m.organization_id = $organization AND m.corrects_id IS NOT NULL
          AND (m.units, m.ward_id, m.drug_id, m.lot_id) IS DISTINCT FROM (-o.units, o.ward_id, o.drug_id, o.lot_id)""",
    ),
    Invariant(
        "Whatever was due a second name has one",
        """SELECT 'movement ' || id || ': ' || reason || ' of a controlled drug with one name' FROM stock_movements
        WHERE organization_id = $organization AND witness_due AND witness_id IS NULL
        UNION ALL SELECT 'remainder ' || id || ': ' || kind || ' of a controlled drug with one name'
        FROM dose_remainders WHERE organization_id = $organization AND witness_due AND witness_id IS NULL
        UNION ALL SELECT 'discrepancy ' || id || ': ' || resolution || ' of a controlled drug with one name'
        FROM discrepancies WHERE organization_id = $organization AND witness_due AND witness_id IS NULL""",
    ),
    Invariant(
        "Units sent and received by transfers are in the ledger, lot by lot",
        f"""SELECT 'transfer ' || transfer_id || ' lot ' || lot_id || ': sent ' || dispatched_units || ', ledger '
          || ledger_out || ', received or returned ' || received_units + returned_units || ', ledger ' || ledger_in
        FROM ({_LOTS_IN_LEDGER}) t
        WHERE dispatched_units <> ledger_out OR received_units + returned_units <> ledger_in
        UNION ALL SELECT 'movement ' || m.id || ': ' || m.reason || ' ' || m.units || ' of no transfer'
        FROM stock_movements m WHERE m.organization_id = $organization AND m.reason IN ('transfer_out', 'transfer_in')
          AND NOT EXISTS (SELECT FROM stock_transfer_lines n JOIN stock_transfer_lots p
              ON p.organization_id = $organization AND p.line_id = n.id AND p.lot_id = m.lot_id
            WHERE n.organization_id = $organization AND n.transfer_id = m.reference_id)
          AND NOT EXISTS (SELECT FROM discrepancies d WHERE d.organization_id = $organization
            AND d.id = m.reference_id AND d.transfer_lot_id IS NOT NULL AND d.lot_id = m.lot_id)""",
    ),
    Invariant(
        "The lines of a transfer are the sums of their lots, and nothing is sent before dispatch",
        """SELECT 'transfer ' || n.transfer_id || ' drug ' || n.drug_id || ': sent ' || n.dispatched_units || ', lots '
          || coalesce(p.sent, 0) || ', received ' || n.received_units || ', lots ' || coalesce(p.received, 0)
        FROM stock_transfer_lines n
        JOIN stock_transfers x ON x.organization_id = $organization AND x.id = n.transfer_id
        LEFT JOIN (SELECT line_id, sum(dispatched_units) AS sent, sum(received_units) AS received
          FROM stock_transfer_lots WHERE organization_id = $organization GROUP BY line_id) p ON p.line_id = n.id
        WHERE n.organization_id = $organization AND (n.dispatched_units <> coalesce(p.sent, 0)
          OR n.received_units <> coalesce(p.received, 0)
          OR (n.dispatched_units > 0 AND x.status IN ('requested', 'cancelled')))""",
    ),
    Invariant(
        "What a received transfer lacks is an unresolved discrepancy, unit by unit",
        """SELECT 'transfer ' || x.id || ' lot ' || p.lot_id || ': missing '
          || p.dispatched_units - p.received_units - p.returned_units - p.lost_units
        FROM stock_transfer_lots p
        JOIN stock_transfer_lines n ON n.organization_id = $organization AND n.id = p.line_id
        JOIN stock_transfers x ON x.organization_id = $organization AND x.id = n.transfer_id
        LEFT JOIN discrepancies d ON d.organization_id = $organization AND d.transfer_lot_id = p.id
          AND d.status <> 'resolved'
        WHERE p.organization_id = $organization AND x.status = 'received'
          AND p.dispatched_units - p.received_units - p.returned_units - p.lost_units
            <> coalesce(d.expected_units - d.found_units, 0)""",
    ),
    Invariant(
        "Units of a lot on wards and on their way are those that came and did not leave",
        """SELECT 'lot ' || lot_id || ': on wards and on the way ' || sum(here) || ', ledger ' || sum(known)
        FROM (
          SELECT lot_id, quantity_units::bigint AS here, 0::bigint AS known FROM stock_lots
            WHERE organization_id = $organization
          UNION ALL SELECT lot_id, dispatched_units - received_units - returned_units - lost_units, -lost_units
            FROM stock_transfer_lots WHERE organization_id = $organization
          UNION ALL SELECT lot_id, 0, units FROM stock_movements
            WHERE organization_id = $organization AND reason NOT IN ('transfer_out', 'transfer_in')) u
        GROUP BY lot_id HAVING sum(here) <> sum(known)""",
    ),
    Invariant(
        "Only a resolved discrepancy has moved stock, and by its own units",
        """SELECT 'discrepancy ' || d.id || ' ' || d.status || ': ledger ' || coalesce(m.units, 0)
        FROM discrepancies d LEFT JOIN (SELECT reference_id, sum(units) AS units FROM stock_movements
          WHERE organization_id = $organization GROUP BY reference_id) m ON m.reference_id = d.id
        WHERE d.organization_id = $organization AND coalesce(m.units, 0) <> CASE
          WHEN d.resolution IN ('correction', 'loss') AND d.kind = 'count' THEN d.found_units - d.expected_units
          WHEN d.resolution IN ('found', 'returned') THEN d.expected_units - d.found_units ELSE 0 END""",
    ),
    Invariant(
        "Every difference of a completed count is a discrepancy, and no other line is",
        """SELECT 'count ' || s.id || ' lot ' || n.lot_id || ': counted ' || coalesce(n.counted_units::text, 'nothing')
          || ', expected ' || coalesce(n.expected_units::text, 'nothing')
        FROM stock_count_lines n
        JOIN stock_counts s ON s.organization_id = $organization AND s.id = n.count_id
        LEFT JOIN discrepancies d ON d.organization_id = $organization AND d.count_line_id = n.id
        WHERE n.organization_id = $organization AND (d.found_units - d.expected_units) IS DISTINCT FROM CASE
          WHEN s.status = 'completed' THEN nullif(n.counted_units - n.expected_units, 0) END""",
    ),
)
