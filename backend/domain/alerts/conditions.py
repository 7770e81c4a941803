"""What raises an alert, as one query: a row for each condition that holds at a moment.

Every row has the columns of an alert's key: kind, ward_id, drug_id, lot_id, transfer_id, discrepancy_id, within_days,
and `units`, the figure. A shelf matters where the ward wants to hold the drug (a par level or reorder point) or has an
active order for it.
"""

# Of the hospital :organization_id, whose calendar day is :today at the time :now.
CONDITIONS = """
WITH usable AS (
  SELECT s.ward_id, s.drug_id, sum(s.quantity_units)::int AS units
  FROM stock_lots s JOIN lots t ON t.organization_id = :organization_id::uuid AND t.id = s.lot_id
  WHERE s.organization_id = :organization_id AND s.quantity_units > 0
    AND t.status = 'available' AND t.expires_on >= :today::date
  GROUP BY s.ward_id, s.drug_id
), wanted AS (
  SELECT l.ward_id, l.drug_id, l.reorder_point_units, coalesce(u.units, 0) AS units
  FROM stock_levels l JOIN drugs d ON d.organization_id = :organization_id AND d.id = l.drug_id
  LEFT JOIN usable u ON u.ward_id = l.ward_id AND u.drug_id = l.drug_id
  WHERE l.organization_id = :organization_id AND d.archived_at IS NULL
    AND coalesce(u.units, 0) <= l.reorder_point_units
    AND (l.par_level_units > 0 OR EXISTS (SELECT FROM medication_orders o WHERE o.organization_id = :organization_id
      AND o.ward_id = l.ward_id AND o.drug_id = l.drug_id AND o.status = 'active'))
), ageing AS (
  SELECT s.ward_id, s.drug_id, s.lot_id, s.quantity_units AS units, t.expires_on
  FROM lots t JOIN stock_lots s ON s.organization_id = :organization_id AND s.lot_id = t.id
  WHERE t.organization_id = :organization_id AND t.expires_on <= :today + 90 AND s.quantity_units > 0
)
SELECT CASE WHEN units = 0 THEN 'out' ELSE 'low' END::alert_kind AS kind, ward_id, drug_id, NULL::uuid AS lot_id,
  NULL::uuid AS transfer_id, NULL::uuid AS discrepancy_id, NULL::smallint AS within_days, units
FROM wanted UNION ALL SELECT CASE WHEN expires_on < :today THEN 'expired' ELSE 'expiring' END::alert_kind, ward_id,
drug_id, lot_id, NULL, NULL,
  CASE WHEN expires_on < :today THEN NULL WHEN expires_on <= :today + 30 THEN 30
    WHEN expires_on <= :today + 60 THEN 60 ELSE 90 END, units
FROM ageing
UNION ALL
SELECT 'in_transit', x.destination_ward_id, NULL, NULL, x.id, NULL, NULL, (
  SELECT sum(p.dispatched_units - p.received_units - p.returned_units - p.lost_units)::int
  FROM stock_transfer_lines n JOIN stock_transfer_lots p ON p.organization_id = :organization_id AND p.line_id = n.id
  WHERE n.organization_id = :organization_id AND n.transfer_id = x.id)
FROM stock_transfers x JOIN organizations h ON h.id = :organization_id
WHERE x.organization_id = :organization_id AND x.status = 'dispatched'
  AND x.dispatched_at < :now::timestamptz - make_interval(hours => h.transit_hours)
UNION ALL
SELECT 'discrepancy', c.ward_id, c.drug_id, c.lot_id, NULL, c.id, NULL, c.found_units - c.expected_units
FROM discrepancies c
WHERE c.organization_id = :organization_id AND c.status <> 'resolved' AND c.due_at < :now
"""
