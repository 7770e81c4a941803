"""Whether stock and orders agree after all that: the bench's own queries, so that a wrong result is not called fast."""

from contextlib import closing

from backend.db.provision import connect
from load.bench.stand import Stand

_PER_SHELF = "GROUP BY ward_id, drug_id"

# Each counts what breaks the rule; `{organization}` is the bench's own hospital.
RULES = {
    "a level is the sum of its lots": f"""
        SELECT count(*) FROM stock_levels l
        LEFT JOIN (SELECT ward_id, drug_id, sum(quantity_units) AS units FROM stock_lots {_PER_SHELF}) s
          USING (ward_id, drug_id)
        WHERE l.on_hand_units IS DISTINCT FROM s.units""",
    "a level is the sum of its movements, which have no gap": f"""
        SELECT count(*) FROM stock_levels l
        LEFT JOIN (SELECT ward_id, drug_id, sum(units) AS units, count(*) AS number, max(sequence) AS last
          FROM stock_movements {_PER_SHELF}) m USING (ward_id, drug_id)
        WHERE l.on_hand_units IS DISTINCT FROM m.units OR l.sequence IS DISTINCT FROM m.number
          OR l.sequence IS DISTINCT FROM m.last""",
    "every balance is the sum of the movements up to it": """
        SELECT count(*) FROM (SELECT balance_after_units, sum(units) OVER (PARTITION BY ward_id, drug_id
          ORDER BY sequence) AS balance FROM stock_movements) m
        WHERE balance_after_units <> balance""",
    "a completed order has one administration, another has none": """
        SELECT count(*) FROM medication_orders o
        LEFT JOIN (SELECT order_id, count(*) AS number FROM medication_administrations GROUP BY order_id) a
          ON a.order_id = o.id
        WHERE coalesce(a.number, 0) <> CASE o.status WHEN 'completed' THEN 1 ELSE 0 END""",
    "an administration took its units from the order's shelf": """
        SELECT count(*) FROM medication_administrations a
        JOIN medication_orders o ON o.id = a.order_id
        LEFT JOIN (SELECT reference_id, ward_id, drug_id, sum(units) AS units FROM stock_movements
          WHERE reason = 'fulfilment' GROUP BY reference_id, ward_id, drug_id) m
          ON (m.reference_id, m.ward_id, m.drug_id) = (a.id, o.ward_id, o.drug_id)
        WHERE m.units IS DISTINCT FROM -a.quantity_units OR a.quantity_units <> o.units_per_dose""",
}


def check_invariants(stand: Stand) -> dict[str, int]:
    """How many rows break each rule; all 0 when stock and orders agree."""
    with closing(connect(stand.owner_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET app.organization_id = %s", (str(stand.nurse.organization_id),))
        found = {}
        for rule, query in RULES.items():
            cursor.execute(query)
            (found[rule],) = cursor.fetchone() or (-1,)
        return found
