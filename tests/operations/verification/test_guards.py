"""What must stand in the schema for the rules to hold tomorrow: `verify` sees what somebody took away."""

import pytest

from backend.operations.verification.guards import GUARDS, guard_texts
from tests.migrations.catalogue import needs_superuser
from tests.operations.verification.breakable import House

GUARDS_BROKEN = {
    "forced security": (
        "ALTER TABLE patients NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE patients FORCE ROW LEVEL SECURITY",
        "table patients: row-level security is not forced",
    ),
    "security": (
        "ALTER TABLE patients DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE patients ENABLE ROW LEVEL SECURITY",
        "table patients: row-level security is not forced",
    ),
    "policy": (
        "ALTER POLICY tenant ON lots RENAME TO gone",
        "ALTER POLICY gone ON lots RENAME TO tenant",
        "table lots: no policy keeps it to its hospital",
    ),
    "an open door": (
        "CREATE POLICY open_door ON users FOR SELECT USING (true)",
        "DROP POLICY open_door ON users",
        "table users: policy open_door lets everybody in",
    ),
    "trigger at rest": (
        "ALTER TABLE stock_movements DISABLE TRIGGER append_only",
        "ALTER TABLE stock_movements ENABLE TRIGGER append_only",
        "table stock_movements: trigger append_only is disabled",
    ),
    "foreign keys at rest": (
        "ALTER TABLE lots DISABLE TRIGGER ALL",
        "ALTER TABLE lots ENABLE TRIGGER ALL",
        "table lots: trigger audit is disabled",
    ),
    "audit": (
        "DROP TRIGGER audit ON drugs",
        "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON drugs FOR EACH ROW"
        " EXECUTE FUNCTION record_change('organization_id', 'id')",
        "table drugs: neither audited nor append-only",
    ),
    "check": (
        "ALTER TABLE stock_levels DROP CONSTRAINT ck_stock_levels_on_hand_units_not_negative",
        "ALTER TABLE stock_levels ADD CONSTRAINT ck_stock_levels_on_hand_units_not_negative CHECK (on_hand_units >= 0)",
        "table stock_levels: ck_stock_levels_on_hand_units_not_negative is missing",
    ),
    "unique key": (
        "DROP INDEX uq_administration_dose",
        "CREATE UNIQUE INDEX uq_administration_dose ON medication_administrations"
        " (organization_id, order_id, dose_number) WHERE stands",
        "table medication_administrations: uq_administration_dose is missing",
    ),
    "index": (
        "DROP INDEX ix_patients_name_key",
        "CREATE INDEX ix_patients_name_key ON patients (organization_id, name_key, id)",
        "table patients: ix_patients_name_key is missing",
    ),
    "a key not validated": (
        "ALTER TABLE lots DROP CONSTRAINT fk_lots_organization_id_drug_id; ALTER TABLE lots ADD CONSTRAINT"
        " fk_lots_organization_id_drug_id FOREIGN KEY (organization_id, drug_id) REFERENCES drugs (organization_id, id)"
        " NOT VALID",
        "ALTER TABLE lots VALIDATE CONSTRAINT fk_lots_organization_id_drug_id",
        "table lots: constraint fk_lots_organization_id_drug_id is not validated",
    ),
    "triggers at rest in the database": (
        "ALTER DATABASE {database} SET session_replication_role = replica",
        "ALTER DATABASE {database} RESET session_replication_role",
        "triggers are at rest for everybody",
    ),
    "triggers at rest for a role": (
        "ALTER ROLE {role} IN DATABASE {database} SET session_replication_role = replica",
        "ALTER ROLE {role} IN DATABASE {database} RESET session_replication_role",
        "triggers are at rest for {role}",
    ),
    "an index left invalid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_drugs_name_key'::regclass",
        "REINDEX INDEX ix_drugs_name_key",
        "index ix_drugs_name_key is invalid",
    ),
}


@pytest.mark.parametrize("name", GUARDS_BROKEN)
def test_a_guard_of_the_schema_that_is_gone_is_found(house: House, name: str) -> None:
    needs_superuser(house.superuser)
    here = {"role": house.config.application_role, "database": house.one("SELECT current_database()")}
    act, undo, named = (text.format(**here) for text in GUARDS_BROKEN[name])
    house.ask(act)
    try:
        broken = house.broken()
    finally:
        house.ask(undo)
    assert {GUARDS.title} <= set(broken) <= {GUARDS.title, guard_texts().title}
    assert named in broken[GUARDS.title]
    assert house.broken() == {}
