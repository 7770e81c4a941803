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


def assert_few(sent: list[str]) -> None:
    """Assert that a page cost at most 12 statements and 3 transactions, PREPARE and COMMIT not counted."""
    asked = [statement for statement in sent if not statement.startswith(("PREPARE", "COMMIT"))]
    assert len(asked) <= 12, asked
    assert sum("BEGIN" in statement for statement in asked) <= 3, asked


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


def test_fifty_orders_of_fifty_drugs_to_verify_cost_twelve_statements(config: Config) -> None:
    """Drugs, patients and prescribers are many: what speaks against each order is read at once."""
    app = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    sent = statements_of(app)
    hospital = open_hospital(app.extensions["valmed"])
    for number in range(50):
        drug_id = hospital.add_drug(f"Drug {chr(97 + number // 26) * 4}{chr(97 + number % 26) * 4}")
        patient_id = hospital.admit(f"Patient {number:02}", ward_id=hospital.ward_id)
        somebody = replace(hospital, patient_id=patient_id)
        somebody.place(units=1, shelf=replace(hospital.shelf, drug_id=drug_id))
    hospital.change(
        "INSERT INTO users (organization_id, id, email, name, role, password_hash)"
        " SELECT organization_id, gen_random_uuid(), id || '@x.example', 'Doctor ' || id, 'doctor', '!'"
        " FROM medication_orders"
    )
    hospital.change(
        "UPDATE medication_orders o SET prescriber_id = (SELECT u.id FROM users u WHERE u.name = 'Doctor ' || o.id)"
    )
    hospital.change(
        "UPDATE patients p SET allergies = ARRAY[d.name] FROM medication_orders o JOIN drugs d ON d.id = o.drug_id"
        " WHERE o.patient_id = p.id"
    )
    client = app.test_client()
    _signed_in(client, hospital, "pharmacist")
    sent.clear()
    page = client.get("/orders/to-verify").get_data(as_text=True)
    assert page.count("The patient is allergic to Drug ") == 50
    assert len(set(re.findall(r"Prescribed by (Doctor [0-9a-f-]{36})", page))) == 50
    assert_few(sent)
    app.extensions["valmed"].engine.dispose()


def test_refused_round_of_twenty_drugs_costs_twelve_statements(config: Config) -> None:
    """The page names each refused order: all of them are read at once."""
    app = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    sent = statements_of(app)
    hospital = open_hospital(app.extensions["valmed"])
    ticks = []
    for number in range(20):
        drug_id = hospital.add_drug(f"Drug {number:02}")
        somebody = replace(hospital, patient_id=hospital.admit(f"Patient {number:02}", ward_id=hospital.ward_id))
        ticks.append(f"{somebody.place(units=1, shelf=replace(hospital.shelf, drug_id=drug_id))}/1")
    client = app.test_client()
    _signed_in(client, hospital)
    where = f"/wards/{hospital.ward_id}/round"
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(where).get_data(as_text=True))
    assert token is not None
    sent.clear()
    answer = client.post(where, data={"csrf_token": token[1], "key": "0" * 32, "tick": ticks})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert all(f"Drug {number:02}</strong> for Patient {number:02}" in page for number in range(20))
    assert_few(sent)
    app.extensions["valmed"].engine.dispose()


def test_transfer_request_with_twenty_chosen_drugs_costs_twelve_statements(config: Config) -> None:
    """What was chosen and is not among the shelves shown is read at once."""
    app = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    sent = statements_of(app)
    hospital = open_hospital(app.extensions["valmed"])
    chosen = {}
    for number in range(20):
        shelf = replace(hospital.shelf, drug_id=hospital.add_drug(f"Drug {number:02}"))
        hospital.receive(5, lot=f"L{number}", shelf=shelf)
        chosen[f"units_{shelf.drug_id}"] = str(number + 1)
    client = app.test_client()
    _signed_in(client, hospital, "pharmacist")
    where = f"/transfers/new?source_ward_id={hospital.ward_id}&destination_ward_id={hospital.add_ward()}"
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get(where).get_data(as_text=True))
    assert token is not None
    sent.clear()
    page = client.post(where, data={"csrf_token": token[1], "q": "nothing", "look": "", **chosen}).get_data(
        as_text=True
    )
    assert page.count('class="drug"') == 20
    assert all(f'value="{number + 1}"' in page for number in range(20))
    assert_few(sent)
    app.extensions["valmed"].engine.dispose()


def test_giving_a_dose_on_a_full_ward_costs_twelve_statements(config: Config) -> None:
    app = create_app(replace(config, pool_size=1, pool_max_overflow=0))
    sent = statements_of(app)
    hospital = open_hospital(app.extensions["valmed"])
    for number in range(20):
        shelf = replace(hospital.shelf, drug_id=hospital.add_drug(f"Drug {number:02}"))
        somebody = replace(hospital, patient_id=hospital.admit(f"Patient {number:02}"))
        order_id = somebody.place(units=1, shelf=shelf)
    hospital.receive(5, shelf=shelf)
    client = app.test_client()
    _signed_in(client, hospital)
    sent.clear()
    shown = client.get(f"/orders/{order_id}/give").get_data(as_text=True)
    assert "Patient 19" in shown
    assert_few(sent)
    token = re.search(r'name="csrf_token" value="([^"]+)"', shown)
    assert token is not None
    sent.clear()
    answer = client.post(f"/orders/{order_id}/give", data={"csrf_token": token[1], "key": "0" * 32, "dose": "1"})
    assert answer.status_code == 200
    assert_few(sent)
    app.extensions["valmed"].engine.dispose()
