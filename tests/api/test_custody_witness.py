"""Receipts and transfers of a controlled drug before a witness, where the hospital asks for one: over API and pages."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from tests import day
from tests.api.custody_requests import ward_of_nurse, witness
from tests.api.page_visits import Visit
from tests.api.test_tenancy_of_pages import Screens
from tests.api.valid_requests import assert_problem
from tests.hospital import Client, Hospital, sign_in

LOT = {"lot_number": "L-9", "expires_on": "2031-05-31", "quantity_units": 4}
FIELDSET = "Witness <span"


@pytest.fixture
def asking(app: Flask, hospital: Hospital) -> Hospital:
    """A hospital whose drug is controlled and whose admin has asked for witnesses of receipts and transfers."""
    hospital.drug_id = hospital.add_drug("Morphine", controlled_schedule=2)
    hospital.receive(20)
    ward_of_nurse(hospital, 20)
    changed = sign_in(app, hospital, "admin").patch("/organization", {"custody_witness_required": True})
    assert (changed.status_code, changed.json["custody_witness_required"]) == (200, True)
    return hospital


@pytest.fixture
def pharmacist(app: Flask, asking: Hospital) -> Client:
    return sign_in(app, asking, "pharmacist")


def _receipt(hospital: Hospital, **more: Any) -> dict[str, Any]:
    return {"ward_id": str(hospital.ward_id), "drug_id": str(hospital.drug_id), **LOT, **more}


def _delivery(hospital: Hospital, **more: Any) -> dict[str, Any]:
    return {"ward_id": str(hospital.ward_id), "lines": [{"drug_id": str(hospital.drug_id), **LOT}], **more}


def _last(client: Client) -> tuple[str, str | None]:
    newest = client.get("/stock/movements", query_string={"limit": "1"}).json["items"][0]
    return newest["reason"], newest["witness_name"]


def _elsewhere(hospital: Hospital) -> UUID:
    """The other ward with the drug, on which nurse and witness work too."""
    others = "SELECT ward_id FROM stock_levels WHERE drug_id = :p1 AND ward_id <> :p2"
    return UUID(str(hospital.rows(others, hospital.drug_id, hospital.ward_id)[0][0]))


def _sent(hospital: Hospital) -> UUID:
    """A transfer of the drug that another pharmacist has sent to the nurse's ward."""
    transfer_id = day.request(hospital, _elsewhere(hospital), hospital.ward_id, 2)
    who = {"actor": day.second_pharmacist(hospital), "witness_id": hospital.nurse.user_id}
    day.dispatch(hospital, transfer_id, **who)
    return transfer_id


def test_a_receipt_and_a_delivery_name_their_witness(pharmacist: Client, asking: Hospital) -> None:
    for path, body in (("/stock/receipts", _receipt(asking)), ("/stock/deliveries", _delivery(asking))):
        assert_problem(pharmacist.post(path, body), 403, "witness_required")
        assert pharmacist.post(path, {**body, "witness": witness(asking)}).status_code == 201
        assert _last(pharmacist) == ("receipt", "Witness")


def test_a_file_of_controlled_drugs_is_sent_elsewhere(pharmacist: Client, asking: Hospital) -> None:
    def receive(drug_id: UUID) -> Any:
        file = f"drug_id,lot_number,expires_on,quantity_units\n{drug_id},L-9,2031-05-31,4\n"
        return pharmacist.post(f"/wards/{asking.ward_id}/deliveries", data=file, content_type="text/csv")

    refused = assert_problem(receive(asking.drug_id), 403, "witness_required")
    assert "`POST /stock/deliveries`" in refused["detail"]
    assert receive(asking.add_drug()).status_code == 201


def test_a_transfer_names_both_witnesses(pharmacist: Client, asking: Hospital) -> None:
    transfer_id = day.request(asking, asking.ward_id, _elsewhere(asking), 2)
    path = f"/transfers/{transfer_id}"
    assert_problem(pharmacist.post(f"{path}/dispatch", {}), 403, "witness_required")
    sent = pharmacist.post(f"{path}/dispatch", {"witness": witness(asking)})
    assert (sent.status_code, sent.json["lines"][0]["controlled"]) == (200, True)
    assert _last(pharmacist) == ("transfer_out", "Witness")


def test_who_accepts_a_transfer_needs_a_witness(app: Flask, asking: Hospital) -> None:
    nurse, transfer_id = sign_in(app, asking, "nurse"), _sent(asking)
    assert_problem(nurse.post(f"/transfers/{transfer_id}/receive", {}), 403, "witness_required")
    assert nurse.post(f"/transfers/{transfer_id}/receive", {"witness": witness(asking)}).status_code == 200
    assert _last(nurse) == ("transfer_in", "Witness")


def test_the_same_receipt_again_is_replayed_with_its_witness(pharmacist: Client, asking: Hospital) -> None:
    body, key = _receipt(asking, witness=witness(asking)), {"Idempotency-Key": "delivery-4711"}
    first, again = (pharmacist.post("/stock/receipts", body, headers=key) for _ in range(2))
    assert (first.status_code, again.data, again.headers["Idempotent-Replayed"]) == (201, first.data, "true")
    assert asking.on_hand() == 24


# On the pages


def _typed(hospital: Hospital) -> dict[str, str]:
    return {f"witness_{name}": value for name, value in witness(hospital).items()}


def test_the_page_of_a_delivery_asks_for_a_witness(app: Flask, asking: Hospital) -> None:
    screens, line = Screens(app, asking), {"drug_name": "Morphine", "scan": "", "drug_id": str(asking.drug_id), **LOT}
    form = {"ward_id": str(asking.ward_id), **line}
    opened = screens.send("POST /stock/receive", Visit(form={**form, "do": "remove:7"}))
    assert FIELDSET in opened.text
    alone = screens.send("POST /stock/receive", Visit(form={**form, "do": "receive"}))
    assert (alone.status_code, FIELDSET in alone.text, "L-9" in alone.text) == (403, True, True)
    done = screens.send("POST /stock/receive", Visit(form={**form, "do": "receive", **_typed(asking)}))
    assert (done.status_code, asking.on_hand()) == (200, 24)


def test_the_page_of_a_file_asks_for_a_witness(app: Flask, asking: Hospital) -> None:
    screens, where = Screens(app, asking), {"ward_id": str(asking.ward_id)}
    file = f"drug_id,lot_number,expires_on,quantity_units\n{asking.drug_id},L-9,2031-05-31,4\n".encode()
    assert screens.send("POST /stock/receive/csv", Visit(form=where, file=file)).status_code == 403
    done = screens.send("POST /stock/receive/csv", Visit(form={**where, **_typed(asking)}, file=file))
    assert (done.status_code, asking.on_hand()) == (200, 24)


@pytest.mark.parametrize(("login", "step"), [("pharmacist", "dispatch"), ("nurse", "receive")])
def test_the_page_of_a_transfer_asks_for_a_witness(app: Flask, asking: Hospital, login: str, step: str) -> None:
    screens = Screens(app, asking)
    waiting = _sent(asking) if step == "receive" else day.request(asking, asking.ward_id, _elsewhere(asking), 2)
    path = {"transfer_id": waiting}
    assert FIELDSET in screens.send("GET /transfers/<uuid:transfer_id>", Visit(login, path)).text
    page = f"POST /transfers/<uuid:transfer_id>/{step}"
    assert screens.send(page, Visit(login, path)).status_code == 403
    done = screens.send(page, Visit(login, path, form=_typed(asking)))
    assert done.status_code == 200
    assert _last(sign_in(app, asking, login))[1] == "Witness"


def test_without_the_policy_the_pages_ask_nobody(app: Flask, asking: Hospital) -> None:
    asking.change("UPDATE organizations SET custody_witness_required = false")
    screens = Screens(app, asking)
    path = {"transfer_id": day.request(asking, asking.ward_id, asking.add_ward(), 2)}
    assert FIELDSET not in screens.send("GET /transfers/<uuid:transfer_id>", Visit("pharmacist", path)).text
    assert FIELDSET not in screens.send("GET /stock/receive", Visit("pharmacist")).text
