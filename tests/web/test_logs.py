"""The log of a whole scenario: a JSON line for what happened and by whom, and never a name, a token or a password."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.config import Config
from tests.cli.running import ROOT, clean_environment, settings_of
from tests.waiting import PATIENCE_SECONDS

Lines = list[dict[str, Any]]

BEGIN = """
import json, os, sys, threading, time
import pyotp
from sqlalchemy import text
from backend import create_app
from backend.db.engine import normalised_url
from backend.db.provision import connect
from tests.hospital import PASSWORD, Client, open_hospital, sign_in

app = create_app()
database = app.extensions["valmed"]
hospital = open_hospital(database, witness_required=True)
hospital.change("UPDATE patients SET name = 'Geheimrat, Gudrun', mrn = 'MRN-4711'")
secret = pyotp.random_base32()
hospital.change("UPDATE users SET totp_secret = :p1 WHERE role = 'nurse'", secret)
credentials = {"organization": hospital.slug, "email": f"nurse@{hospital.slug}.example", "password": PASSWORD}


def ask(client, method, path, request_id, body=None, key=None):
    options = {} if body is None else {"json": body}
    headers = {"X-Request-ID": request_id, **({"Idempotency-Key": key} if key else {})}
    return client.request(method, path, headers=headers, **options)


def tell(**facts):
    facts["organization_id"] = str(hospital.organization_id)
    facts["users"] = {login: str(actor.user_id) for login, actor in hospital.staff.items()}
    sys.stdout.write(json.dumps(facts))
"""

SCENARIO = (
    (
        BEGIN
        + """
anybody = Client(app, hospital.nurse, "vmd_garbage-token")
ask(anybody, "POST", "/tokens", "wrong-password", {**credentials, "password": "hunter2-hunter2"})
ask(anybody, "GET", "/me", "garbage-token")
otp = pyotp.TOTP(secret).now()
signed_in = ask(anybody, "POST", "/tokens", "sign-in", {**credentials, "otp": otp})
assert signed_in.status_code == 201, signed_in.text
token = signed_in.get_json()["token"]
nurse = Client(app, hospital.nurse, token)
admin, pharmacist, doctor = (sign_in(app, hospital, login) for login in ("admin", "pharmacist", "doctor"))

hospital.receive(3)
order_id, later = hospital.place_many(2)
ask(nurse, "GET", f"/mar?ward_id={hospital.ward_id}", "board")
ask(admin, "GET", "/patients?q=Geheimrat", "search")
ask(admin, "POST", "/patients/search", "search-in-body", {"q": "Geheimrat"})
for request_id in ("given", "again"):
    assert ask(nurse, "POST", f"/orders/{order_id}/fulfill", request_id, {}, "key-1").status_code == 200
assert ask(nurse, "POST", f"/orders/{order_id}/fulfill", "refused", {}).status_code == 409
ask(doctor, "POST", f"/orders/{order_id}/fulfill", "forbidden", {})

# A writer that takes no lane makes the snapshot of the next fulfilment too old: it runs twice.
held = threading.Event()


def touch(session):
    session.execute(text("UPDATE stock_levels SET version = version + 1"))
    held.set()
    while not session.execute(text("SELECT FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")).all():
        time.sleep(0.01)


writer = threading.Thread(target=lambda: database.transact(touch, actor=hospital.operator))
writer.start()
held.wait()
assert ask(nurse, "POST", f"/orders/{later}/fulfill", "retried", {}).status_code == 200
writer.join()

morphine = hospital.add_drug("Morphine", controlled_schedule=2)
hospital.drug_id = morphine
hospital.receive(1)
controlled = hospital.place()
witness = {"email": f"witness@{hospital.slug}.example", "password": "hunter2-hunter2", "otp": "987654"}
ask(nurse, "POST", f"/orders/{controlled}/fulfill", "witness", {"witness": witness})
new_user = {"email": "new@hospital.example", "name": "New Nurse", "role": "nurse"}
assert ask(admin, "POST", "/users", "new-user", {**new_user, "password": "brand-new-secret"}).status_code == 201
bad_user = {**new_user, "email": "other@hospital.example", "password": "tiny-pw"}
assert ask(admin, "POST", "/users", "bad-user", bad_user).status_code == 422
ask(admin, "POST", "/patients", "bad-patient", {"name": "Geheimrat, Gustav", "mrn": 4711})
ask(admin, "GET", "/nothing/Geheimrat", "nothing")
nurse.request("POST", "/wards", data=b'{"name": "Geheimrat', content_type="application/json")
ask(nurse, "DELETE", "/tokens/current", "sign-out")
orders = dict.fromkeys(("given", "again", "refused", "forbidden"), str(order_id)) | {"witness": str(controlled)}
others = [client.token for client in (admin, pharmacist, doctor)]
trail = [name for (name,) in hospital.rows("SELECT DISTINCT request_id FROM audit_events")]
tell(orders=orders, token=token, others=others, otp=otp, otp_secret=secret, trail=trail)
"""
    )
    .replace("later", "later")
    .replace("order_id = hospital.place()", "order_id, later = hospital.place(), hospital.place()")
)

SECRETS = [
    *("Geheimrat", "Gudrun", "Gustav", "MRN-4711", "correct horse", "hunter2", "brand-new-secret", "tiny-pw"),
    *("vmd_", "argon2", "new@hospital.example", "New Nurse", "otp", "987654"),
]


def secrets_in(text: str, *more: str) -> list[str]:
    """The secrets that a log holds; digits inside an id or a time are none."""
    return [secret for secret in (*SECRETS, *more) if re.search(rf"(?<![\w.-]){re.escape(secret)}", text)]


def run(script: str, config: Config, file: Path) -> tuple[dict[str, Any], Lines, str]:
    """What the script told, the lines that it logged, and the file as it stands."""
    env = clean_environment(**settings_of(config), log_file=str(file))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    return json.loads(done.stdout), [json.loads(line) for line in text.splitlines()], text


@pytest.fixture(scope="module")
def logged(config: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Lines, str]:
    """The scenario, once."""
    return run(SCENARIO, config, tmp_path_factory.mktemp("log") / "valmed.log")


@pytest.fixture
def line_of(logged: tuple[dict[str, Any], Lines, str]) -> Callable[..., dict[str, Any]]:
    """The one line of an event of a request."""

    def find(request_id: str, event: str = "request") -> dict[str, Any]:
        (line,) = (line for line in logged[1] if (line.get("request_id"), line["event"]) == (request_id, event))
        return line

    return find


Find = Callable[..., dict[str, Any]]


def test_every_line_says_when_what_and_in_which_request(logged: tuple[dict[str, Any], Lines, str]) -> None:
    lines = logged[1]
    assert len(lines) >= 15
    assert all({"timestamp", "level", "event"} <= set(line) for line in lines)
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert all(line["request_id"] for line in lines if line["event"] == "request")


def test_every_line_of_a_request_names_it_as_the_audit_trail_does(logged: tuple[dict[str, Any], Lines, str]) -> None:
    facts, lines, _ = logged
    names = {line["audit_request_id"] for line in lines if line.get("request_id") == "given"}
    assert len(names) == 1
    assert names < set(facts["trail"])
    assert names == {name for name in facts["trail"] if name.startswith("given/")}


@pytest.mark.parametrize(
    ("request_id", "login", "status", "code"),
    [
        ("given", "nurse", 200, None),
        ("refused", "nurse", 409, "order_already_completed"),
        ("forbidden", "doctor", 403, "forbidden"),
        ("witness", "nurse", 403, "witness_required"),
        ("bad-user", "admin", 422, "validation_failed"),
        ("new-user", "admin", 201, None),
    ],
)
def test_a_request_is_one_line_with_who_and_the_code_of_a_refusal(
    logged: tuple[dict[str, Any], Lines, str], line_of: Find, request_id: str, login: str, status: int, code: str | None
) -> None:
    facts, line = logged[0], line_of(request_id)
    assert (line["organization_id"], line["user_id"]) == (facts["organization_id"], facts["users"][login])
    assert (line["status"], line.get("code"), line["level"]) == (status, code, "info")
    assert line["milliseconds"] > 0


@pytest.mark.parametrize(
    ("request_id", "event", "outcome"),
    [
        ("given", "order_fulfilled", "done"),
        ("again", "order_fulfilled", "replayed"),
        ("refused", "fulfilment_refused", "order_already_completed"),
        ("forbidden", "fulfilment_refused", "forbidden"),
        ("witness", "fulfilment_refused", "witness_required"),
    ],
)
def test_a_fulfilment_and_its_refusal_are_lines_of_their_own(
    logged: tuple[dict[str, Any], Lines, str], line_of: Find, request_id: str, event: str, outcome: str
) -> None:
    facts, line = logged[0], line_of(request_id, event)
    assert (line["outcome"], line["order_id"]) == (outcome, facts["orders"][request_id])
    assert line["organization_id"] == facts["organization_id"]
    assert line["user_id"] == facts["users"]["doctor" if request_id == "forbidden" else "nurse"]


def test_a_line_names_the_route_and_no_path(line_of: Find) -> None:
    assert (line_of("given")["method"], line_of("given")["route"]) == ("POST", "/api/v1/orders/<uuid:order_id>/fulfill")
    assert line_of("nothing")["route"] == "none"
    assert line_of("search")["route"] == "/api/v1/patients"
    assert line_of("search-in-body")["route"] == "/api/v1/patients/search"


def test_a_retry_is_a_line_of_its_own_in_the_request_that_it_delayed(
    logged: tuple[dict[str, Any], Lines, str], line_of: Find
) -> None:
    retry = line_of("retried", "transaction_retried")
    assert (retry["reason"], retry["tries"]) == ("40001", 1)
    assert retry["organization_id"] == logged[0]["organization_id"]
    assert retry["user_id"] == logged[0]["users"]["nurse"]
    assert line_of("retried")["status"] == 200


def test_what_one_request_said_of_the_caller_is_forgotten_by_the_next(line_of: Find) -> None:
    """`nothing` came after requests of the admin, and asked for no token."""
    for request_id in ("nothing", "wrong-password", "garbage-token"):
        assert {"user_id", "organization_id"}.isdisjoint(line_of(request_id))


def test_no_name_no_token_and_no_password_is_ever_logged(logged: tuple[dict[str, Any], Lines, str]) -> None:
    facts, _, text = logged
    assert secrets_in(text, facts["token"], *facts["others"], facts["otp_secret"], facts["otp"]) == []


BUG = (
    BEGIN
    + """
admin = sign_in(app, hospital, "admin")
with connect(normalised_url(os.environ["VALMED_DATABASE_URL"])).cursor() as cursor:  # as the owner
    cursor.execute("REVOKE INSERT ON users, patients FROM valmed_app")
new_user = {"email": "new@hospital.example", "name": "New Nurse", "role": "nurse", "password": "brand-new-secret"}
patient = {"name": "Geheimrat, Gustav", "mrn": "MRN-4711-B", "date_of_birth": "1970-01-01"}
for path, request_id, body in (("/users", "bug-1", new_user), ("/patients", "bug-2", patient)):
    answer = ask(admin, "POST", path, request_id, body)
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error"), answer.text
    assert "denied" not in answer.text
tell(token=admin.token)
"""
)


def test_a_bug_is_logged_with_its_request_and_without_what_the_request_held(
    fresh_config: Config, tmp_path: Path
) -> None:
    facts, lines, text = run(BUG, fresh_config, tmp_path / "valmed.log")
    errors = [line for line in lines if line["level"] == "error"]
    assert [(line["request_id"], line["event"]) for line in errors] == [
        ("bug-1", "unhandled_error"),
        ("bug-2", "unhandled_error"),
    ]
    assert all(line["exception"] for line in errors)
    assert secrets_in(text, facts["token"]) == []


WALK = (
    BEGIN
    + """
import re
from backend.actor import Role
from tests.api.valid_requests import OPERATIONS, VALID, arrive, login_for, post_raw, send

hospital.change("UPDATE organizations SET witness_required = false")
for login in ("witness", "spare"):
    hospital.add_staff(login, Role.NURSE, (hospital.ward_id,))
hospital.receive(20)
statuses, cookies = [], []
for name in sorted(OPERATIONS):
    client = arrive(app, hospital, name, login_for(name))
    statuses.append(send(client, name, VALID[name](hospital)).status_code)
    post_raw(client, name, VALID[name](hospital), b'{"name": "Geheimrat"}')
hospital.change("UPDATE users SET totp_secret = NULL")  # which the walk has given to some
hospital.change("DELETE FROM passkeys")
for login in ("pharmacist", "admin"):
    tab = app.test_client()
    form = {**credentials, "email": f"{login}@{hospital.slug}.example"}
    form["csrf_token"] = re.search(r'name="csrf_token" value="([^"]+)"', tab.get("/sign-in").text)[1]
    assert tab.post("/sign-in", data={**form, "password": "hunter2-hunter2"}).status_code == 401
    signed_in = tab.post("/sign-in", data=form)
    assert signed_in.status_code == 302, signed_in.text
    cookies += [tab.get_cookie("valmed").value, form["csrf_token"]]
    search = {"csrf_token": re.search(r'name="csrf_token" value="([^"]+)"', tab.get("/patients").text)[1]}
    assert "Gudrun" in tab.post("/patients", data={**search, "q": "Geheimrat"}, follow_redirects=True).text
    for rule in app.url_map.iter_rules():
        if not rule.arguments and not rule.rule.startswith("/api") and "GET" in rule.methods:
            tab.get(rule.rule + "?q=Geheimrat")
tell(statuses=statuses, cookies=cookies)
"""
)
WALKED_SECRETS = ("Okafor", "Grace", "Ada Osei", "Sam Weir", "long enough for a ward", "csrf")


def test_a_walk_through_every_operation_and_page_logs_no_secret_and_no_patient(config: Config, tmp_path: Path) -> None:
    facts, lines, text = run(WALK, config, tmp_path / "valmed.log")
    assert sum(status < 300 for status in facts["statuses"]) > 0.9 * len(facts["statuses"])
    routes = {line["route"] for line in lines if line["event"] == "request"}
    assert len(routes) > 110
    assert not any(line["level"] in {"error", "critical"} for line in lines)
    assert secrets_in(text, *WALKED_SECRETS, *facts["cookies"]) == []
