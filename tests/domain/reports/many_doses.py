"""Doses of one lot by the thousand, written by PostgreSQL itself: what a recall has to tell."""

from uuid import UUID

import psycopg2.extensions

from tests.hospital import Hospital

LOT_OF_MOST_PATIENTS = """SELECT m.lot_id FROM stock_movements m
  JOIN medication_administrations a ON a.id = m.reference_id JOIN medication_orders o ON o.id = a.order_id
  WHERE m.reason = 'fulfilment' GROUP BY m.lot_id ORDER BY count(DISTINCT o.patient_id) DESC, min(m.number) LIMIT 1"""
MADE = "md5('{} ' || {} || {})::uuid"


def give_many(
    connection: psycopg2.extensions.connection,
    hospital: Hospital,
    lot_id: UUID,
    *,
    doses: int,
    patients: int,
    ward_id: UUID | None = None,
) -> None:
    """Records `doses` doses of the lot on a ward, a minute apart, dose n to patient n % `patients`, each of its order.

    Patient 7 is `Patient 000007` with the record number `G-7`; every patient lies on the ward, in the bed of its
    number. Where the session's user is a superuser, triggers and foreign keys rest meanwhile.
    """
    ward = str(ward_id or hospital.ward_id)
    values = {
        "org": str(hospital.organization_id),
        "ward": ward,
        "drug": str(hospital.drug_id),
        "lot": str(lot_id),
        "nurse": str(hospital.nurse.user_id),
        "doctor": str(hospital.staff["doctor"].user_id),
        "doses": doses,
        "patients": patients,
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        at_rest = cursor.fetchone() == (True,)
        if at_rest:
            cursor.execute("SET session_replication_role = replica")
        cursor.execute("SELECT set_config('app.organization_id', %(org)s, false)", values)
        for statement in _STATEMENTS:
            cursor.execute(statement, values)
        if at_rest:
            cursor.execute("RESET session_replication_role")
        cursor.execute("ANALYZE patients, medication_orders, medication_administrations, stock_movements, stock_lots")


def _id(kind: str, number: str) -> str:
    return MADE.format(kind, number, "%(lot)s || %(ward)s")


_EACH = "generate_series(0, %(doses)s - 1) n"
_WHEN = "timestamptz '2026-01-01 00:00Z' + n * interval '1 minute'"
_STATEMENTS = (
    f"""INSERT INTO patients (organization_id, id, name, mrn, date_of_birth, ward_id, bed)
    SELECT %(org)s, {_id("patient", "n")}, 'Patient ' || lpad(n::text, 6, '0'), 'G-' || n || left(%(ward)s, 4),
      '1950-01-01', %(ward)s, n::text FROM generate_series(0, %(patients)s - 1) n""",
    f"""INSERT INTO medication_orders (organization_id, id, patient_id, drug_id, ward_id, prescriber_id,
      units_per_dose, first_due_at, due_at, status, doses_given, completed_at, created_at)
    SELECT %(org)s, {_id("order", "n")}, {_id("patient", "n %% %(patients)s")}, %(drug)s, %(ward)s, %(doctor)s,
      1, {_WHEN}, {_WHEN}, 'completed', 1, {_WHEN}, {_WHEN} FROM {_EACH}""",
    f"""INSERT INTO medication_administrations (organization_id, id, order_id, dose_number, outcome, quantity_units,
      nurse_id, administered_at)
    SELECT %(org)s, {_id("dose", "n")}, {_id("order", "n")}, 1, 'given', 1, %(nurse)s, {_WHEN} FROM {_EACH}""",
    f"""INSERT INTO stock_movements (organization_id, id, ward_id, drug_id, lot_id, sequence, units,
      balance_after_units, reason, reference_id, actor_id, occurred_at, recorded_at)
    SELECT %(org)s, {_id("movement", "n")}, %(ward)s, %(drug)s, %(lot)s, 1000000 + n, -1, 0, 'fulfilment',
      {_id("dose", "n")}, %(nurse)s, {_WHEN}, {_WHEN} FROM {_EACH}""",
)
