"""A page asks the database as often for a full ward as for an empty one."""

import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from backend import create_app
from backend.config import Config
from tests.counting import statements_of
from tests.hospital import PASSWORD, Hospital, open_hospital

PATIENTS = 200
TOKEN = 1
MY_WARDS = 4  # the beginning, who it is, the wards, the end
BOARD = 4  # the beginning, its version, its orders, the end


def _signed_in(client: FlaskClient, hospital: Hospital, login: str = "nurse") -> None:
    page = client.get("/sign-in").get_data(as_text=True)
    found = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert found is not None
    person = {"organization": hospital.slug, "email": f"{login}@{hospital.slug}.example", "password": PASSWORD}
    assert client.post("/sign-in", data={"csrf_token": found[1], **person}).status_code == 302


def _fill(hospital: Hospital) -> None:
    hospital.place(units=1)
    hospital.change(
        "INSERT INTO patients (organization_id, id, name, mrn, ward_id, date_of_birth, bed)"
        " SELECT organization_id, gen_random_uuid(), 'Patient ' || n, 'M' || n, ward_id, date_of_birth, n::text"
        " FROM patients, generate_series(100, 98 + :p1) n",
        PATIENTS,
    )
    hospital.change(
        "INSERT INTO medication_orders (organization_id, id, patient_id, drug_id, ward_id, prescriber_id,"
        " units_per_dose, first_due_at, due_at) SELECT o.organization_id, gen_random_uuid(), p.id, drug_id, o.ward_id,"
        " prescriber_id, 1, first_due_at, due_at FROM medication_orders o JOIN patients p ON p.id <> o.patient_id"
    )


@pytest.mark.parametrize("full", [False, True], ids=["one patient", "200 patients"])
def test_the_board_of_a_full_ward_costs_no_more_statements(config: Config, full: bool) -> None:
    app = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    sent = statements_of(app)
    hospital = open_hospital(app.extensions["valmed"])
    hospital.receive(10)
    if full:
        _fill(hospital)
    else:
        hospital.place(units=1)
    client = app.test_client()
    _signed_in(client, hospital)
    where = f"/wards/{hospital.ward_id}"
    assert client.get(where).status_code == 200
    hospital.place(units=1)  # the board that is kept has changed
    sent.clear()
    page = client.get(where).get_data(as_text=True)
    assert page.count('class="patient') == (PATIENTS if full else 1)
    asked = [statement for statement in sent if not statement.startswith("PREPARE")]
    assert len(asked) == TOKEN + MY_WARDS + BOARD, asked
    app.extensions["valmed"].engine.dispose()


def test_many_orders_to_verify_cost_no_more_statements_than_one(config: Config) -> None:
    """Whether each prescriber is on the patient's care team comes with the orders, not order by order."""
    app = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    sent = statements_of(app)
    counted = []
    for full in (False, True):
        hospital = open_hospital(app.extensions["valmed"])
        hospital.receive(10)
        if full:
            _fill(hospital)
        else:
            hospital.place(units=1)
        client = app.test_client()
        _signed_in(client, hospital, "pharmacist")
        sent.clear()
        page = client.get("/orders/to-verify").get_data(as_text=True)
        assert page.count("Not on the patient’s care team") == page.count("Prescribed by Doctor") == (50 if full else 1)
        counted.append(len([statement for statement in sent if not statement.startswith("PREPARE")]))
    assert counted[0] == counted[1]
    app.extensions["valmed"].engine.dispose()
