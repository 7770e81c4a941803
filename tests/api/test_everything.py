"""`everything`, by which tests say that nothing has changed, sees whatever has."""

import psycopg2.extensions

from tests.api.valid_requests import everything
from tests.hospital import Hospital

RENAME = "UPDATE wards SET name = name || '!' WHERE organization_id = %s"


def test_second_look_sees_a_write_once_it_is_committed(
    hospital: Hospital, owner: psycopg2.extensions.connection
) -> None:
    before = everything(hospital)
    with owner.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT set_config('app.organization_id', %s, true)", (str(hospital.organization_id),))
        cursor.execute(RENAME, (str(hospital.organization_id),))
        hospital.add_ward("seen while the other is open")
        meanwhile = everything(hospital)
        assert {table for table in before if before[table] != meanwhile[table]} >= {"wards", "audit_events"}
        assert everything(hospital) == meanwhile
        cursor.execute("COMMIT")
    after = everything(hospital)
    assert after["wards"] != meanwhile["wards"]
    assert after["wards"][0] == meanwhile["wards"][0], "no ward more"


def test_write_that_is_rolled_back_changes_nothing(hospital: Hospital, owner: psycopg2.extensions.connection) -> None:
    before = everything(hospital)
    with owner.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT set_config('app.organization_id', %s, true)", (str(hospital.organization_id),))
        cursor.execute(RENAME, (str(hospital.organization_id),))
        assert cursor.rowcount == 1
        cursor.execute("ROLLBACK")
    assert everything(hospital) == before
