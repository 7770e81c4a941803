"""A hospital with a hundred thousand rows in every large table, filled by PostgreSQL itself in seconds.

Ids are the MD5 of a name, so that one statement can point at the rows of another. Where the session's user is a
superuser, triggers and foreign keys rest meanwhile; otherwise they work, and it takes longer.
"""

from uuid import UUID

import psycopg2.extensions

ROWS = 100_000
WARDS, DOCTORS, SHELF_DRUGS = 50, 100, 2_000  # 50 * 2,000 shelves

ID = "md5('{} ' || {} || current_setting('app.organization_id'))::uuid"


def made_id(organization_id: UUID, kind: str, number: int) -> str:
    """SQL for the id of row `number` of `kind`."""
    return f"md5('{kind} {number}{organization_id}')::uuid"


def _id(kind: str, number: str) -> str:
    return ID.format(kind, number)


def statements(rows: int, drugs: int) -> list[str]:
    """What fills a hospital, in an order in which every foreign key finds its row."""
    org = "current_setting('app.organization_id')::uuid"
    ward, drug = f"(n / {SHELF_DRUGS}) % {WARDS}", f"n % {SHELF_DRUGS}"
    busy = "n % 20 * 70"
    doctor, moment = f"n % {DOCTORS}", "timestamptz '2026-01-01' + n * interval '5 minutes'"
    one = f"generate_series(0, {rows} - 1) n"
    return [
        f"""INSERT INTO wards (organization_id, id, name, kind)
        SELECT {org}, {_id("ward", "n")}, 'Ward ' || n, 'ward' FROM generate_series(0, {WARDS} - 1) n""",
        f"""INSERT INTO users (organization_id, id, email, name, role, password_hash)
        SELECT {org}, {_id("user", "n")}, 'd' || n || '@h.example', 'Doctor ' || n, 'doctor', 'x'
        FROM generate_series(0, {DOCTORS} - 1) n""",
        f"""INSERT INTO drugs (organization_id, id, name, generic_name, strength, form, unit)
        SELECT {org}, {_id("drug", "n")}, 'D' || md5('name' || n), 'g' || md5('generic' || n), '5 mg', 'tablet',
          'tablet' FROM generate_series(0, {drugs} - 1) n""",
        f"""INSERT INTO patients (organization_id, id, name, mrn, date_of_birth, ward_id, bed)
        SELECT {org}, {_id("patient", "n")}, 'P' || md5('patient' || n) || ', Ada', 'MRN-' || n, '1980-01-01',
          {_id("ward", f"n % {WARDS}")}, '1' FROM {one}""",
        # Of a hundred drugs one has expired, one expires soon and one is on hold.
        f"""INSERT INTO lots (organization_id, id, drug_id, lot_number, expires_on, status, status_reason)
        SELECT {org}, {_id("lot", "n")}, {_id("drug", "n")}, 'L1',
          CASE n % 100 WHEN 11 THEN CURRENT_DATE - 10 WHEN 12 THEN CURRENT_DATE + 10 ELSE '2099-01-01' END,
          (CASE n % 100 WHEN 13 THEN 'on_hold' ELSE 'available' END)::lot_status, 'under inquiry'
        FROM generate_series(0, {SHELF_DRUGS} - 1) n""",
        # One shelf of 500 is low, every second of them empty.
        f"""INSERT INTO stock_levels (organization_id, id, ward_id, drug_id, on_hand_units, reorder_point_units,
          par_level_units, sequence)
        SELECT {org}, {_id("level", "n")}, {_id("ward", ward)}, {_id("drug", drug)},
          CASE n % 1000 WHEN 7 THEN 3 WHEN 507 THEN 0 ELSE 100 END, 10, 200, 2 FROM {one}""",
        f"""INSERT INTO stock_lots (organization_id, id, ward_id, drug_id, lot_id, quantity_units)
        SELECT {org}, {_id("shelf lot", "n")}, {_id("ward", ward)}, {_id("drug", drug)}, {_id("lot", drug)},
          CASE n % 1000 WHEN 7 THEN 3 WHEN 507 THEN 0 ELSE 100 END FROM {one}""",
        # A hundred movements of every hundredth shelf.
        f"""INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,
          balance_after_units, reason, reference_id, occurred_at, recorded_at)
        SELECT {org}, {_id("movement", "n")}, {_id("ward", ward)}, {_id("drug", busy)}, {_id("lot", busy)},
          1 + n % {SHELF_DRUGS} / 20, 200, 200, 'receipt', {_id("receipt", "n")}, {moment}, {moment} FROM {one}""",
        # Of a hundred orders three are active and five discontinued.
        f"""INSERT INTO medication_orders (organization_id, id, patient_id, drug_id, ward_id, prescriber_id,
          units_per_dose, first_due_at, due_at, status, doses_given, completed_at, discontinued_at, discontinue_reason,
          created_at)
        SELECT {org}, {_id("order", "n")}, {_id("patient", "(n * 7919::bigint) % " + str(rows))}, {_id("drug", drug)},
          {_id("ward", ward)}, {_id("user", doctor)}, 1, {moment}, {moment},
          (CASE WHEN n % 100 < 3 THEN 'active' WHEN n % 100 < 8 THEN 'discontinued' ELSE 'completed' END)::order_status,
          CASE WHEN n % 100 < 8 THEN 0 ELSE 1 END,
          CASE WHEN n % 100 >= 8 THEN {moment} END,
          CASE WHEN n % 100 BETWEEN 3 AND 7 THEN {moment} END,
          CASE WHEN n % 100 BETWEEN 3 AND 7 THEN 'x' END, {moment} FROM {one}""",
        f"""INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,
          nurse_id, administered_at)
        SELECT {org}, {_id("dose", "n")}, {_id("order", "n")}, 1, 'given', 1, {_id("user", doctor)}, {moment}
        FROM {one}""",
        f"""INSERT INTO stock_transfers (organization_id, id, source_ward_id, destination_ward_id, requested_by_id,
          created_at)
        SELECT {org}, {_id("transfer", "n")}, {_id("ward", f"n % {WARDS}")}, {_id("ward", f"(n + 1) % {WARDS}")},
          {_id("user", doctor)}, {moment} FROM {one}""",
        # Every patient has a PRIMARY, and had a consultant.
        f"""INSERT INTO care_team_assignments (organization_id, id, patient_id, provider_id, role, assigned_at,
          removed_at)
        SELECT {org}, {_id("assignment", "n || role")}, {_id("patient", "n")}, {_id("user", doctor)}, role::care_role,
          {moment}, CASE role WHEN 'CONSULTANT' THEN {moment} END
        FROM {one}, (VALUES ('PRIMARY'), ('CONSULTANT')) r (role)""",
        f"""INSERT INTO audit_events (organization_id, occurred_at, table_name, row_id, operation, actor_id,
          transaction_id)
        SELECT {org}, {moment}, 'medication_orders', {_id("order", "n")}, 'INSERT', {_id("user", doctor)}, n
        FROM {one}""",
    ]


def fill_orders(connection: psycopg2.extensions.connection, organization_id: UUID, orders: int) -> None:
    """Fills the hospital with `orders` orders and nothing else. Their indexes are built afterwards, in a third of the
    time. Foreign keys rest, which takes a superuser."""
    (statement,) = (one for one in statements(orders, SHELF_DRUGS) if "INTO medication_orders" in one)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET maintenance_work_mem = '256MB'")
        cursor.execute("SELECT set_config('app.organization_id', %s, false)", (str(organization_id),))
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'medication_orders' AND indexname LIKE 'ix%'"
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
        cursor.execute(statement)
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute("RESET session_replication_role; RESET maintenance_work_mem")
        cursor.execute("VACUUM (ANALYZE) medication_orders")


FILLED = (
    *("drugs", "patients", "stock_levels", "stock_lots", "stock_movements", "medication_orders"),
    *("medication_administrations", "stock_transfers", "care_team_assignments", "audit_events"),
)


def fill(connection: psycopg2.extensions.connection, organization_id: UUID, *, rows: int, drugs: int) -> None:
    """Fills the hospital `organization_id`, which exists, and refreshes the planner's statistics."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        at_rest = cursor.fetchone() == (True,)
        if at_rest:
            cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET synchronous_commit = off")
        cursor.execute("SELECT set_config('app.organization_id', %s, false)", (str(organization_id),))
        for statement in statements(rows, drugs):
            cursor.execute(statement)
            if not at_rest:
                cursor.execute("ANALYZE")  # or the foreign keys of the next one are looked up without an index
        if at_rest:
            cursor.execute("RESET session_replication_role")
        cursor.execute("VACUUM (ANALYZE)")
