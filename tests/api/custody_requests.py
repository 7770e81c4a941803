"""One valid request for every operation around a fulfilment: each call makes what the request needs, anew."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import orjson

from backend.actor import Actor, Role
from backend.db import new_id
from backend.domain.care_team.models import CareRole
from backend.domain.custody.counting import Counted
from backend.domain.orders import overrides
from backend.domain.stock.ledger import Shelf
from backend.domain.stock.models import LotStatus
from tests import day
from tests.domain.reports.many_doses import LOT_OF_MOST_PATIENTS
from tests.hospital import PASSWORD, Hospital, now

GTIN = "04006381333931"
MEMBERS = ("nurse", "witness")


@dataclass
class Ask:
    """What one request carries; `data` is a body that is not JSON."""

    path: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict)
    data: bytes | None = None


def unique(prefix: str) -> str:
    """A name that nothing has yet."""
    return f"{prefix} {uuid.uuid4().hex[:12]}"


def one_of(hospital: Hospital, table: str, make: Callable[[Hospital], Any]) -> UUID:
    """The id of a row that is there, made if there is none: to read it changes nothing."""
    query = f"SELECT id FROM {table} ORDER BY id LIMIT 1"
    if not hospital.rows(query):
        make(hospital)
    return UUID(str(hospital.rows(query)[0][0]))


def scannable(hospital: Hospital) -> str:
    """The scanned code of the hospital's drug."""
    hospital.change("UPDATE drugs SET gtin = :p1 WHERE id = :p2 AND gtin IS NULL", GTIN, hospital.drug_id)
    return GTIN


def witness(hospital: Hospital) -> dict[str, str]:
    """The credentials of a member of the ward's staff who may witness."""
    if "witness" not in hospital.staff:
        hospital.add_staff("witness", hospital.nurse.role, (hospital.ward_id,))
    return {"email": f"witness@{hospital.slug}.example", "password": PASSWORD}


def ward_of_nurse(hospital: Hospital, units: int = 5) -> Shelf:
    """A shelf with stock on a new ward, where the nurse and the witness work."""
    witness(hospital)
    shelf = replace(hospital.shelf, ward_id=hospital.add_ward())
    for login in MEMBERS:
        hospital.change(
            "INSERT INTO ward_memberships (organization_id, id, user_id, ward_id) VALUES (:p1, :p2, :p3, :p4)",
            hospital.organization_id,
            new_id(),
            hospital.staff[login].user_id,
            shelf.ward_id,
        )
    hospital.receive(units, lot=unique("L"), shelf=shelf)
    return shelf


def lot_of(hospital: Hospital, shelf: Shelf) -> UUID:
    """The lot that lies on a shelf."""
    found = hospital.rows("SELECT lot_id FROM stock_lots WHERE ward_id = :p1 LIMIT 1", shelf.ward_id)
    return UUID(str(found[0][0]))


def a_new_lot(hospital: Hospital, status: LotStatus = LotStatus.AVAILABLE) -> dict[str, UUID]:
    """The path of a lot in a state."""
    lot_id = hospital.receive(1, lot=unique("L")).lot_id
    if status is not LotStatus.AVAILABLE:
        day.change_lot(hospital, lot_id, status)
    return {"lot_id": lot_id}


def a_given_lot(hospital: Hospital) -> dict[str, UUID]:
    """The path of the lot that most patients were given, of several the one that was given first."""
    if not hospital.rows(LOT_OF_MOST_PATIENTS):
        a_dose(hospital)
    return {"lot_id": UUID(str(hospital.rows(LOT_OF_MOST_PATIENTS)[0][0]))}


def a_dose(hospital: Hospital, lot: str | None = None, **changes: Any) -> UUID:
    """Give a dose of three units, of a lot of its own where none is named."""
    hospital.receive(3, lot=lot or unique("L"))
    answer = hospital.fulfil(hospital.place(units=3), **changes)
    return UUID(orjson.loads(answer.body)["administration_id"])


def an_override(hospital: Hospital) -> UUID:
    """A dose given from an unverified order, to be reviewed."""
    listed = {"organization_id": hospital.organization_id, "ward_id": hospital.ward_id, "drug_id": hospital.drug_id}
    if not hospital.rows("SELECT 1 FROM override_drugs WHERE drug_id = :p1", hospital.drug_id):
        hospital.run(lambda session: overrides.list_drug(session, **listed))
    hospital.change("UPDATE organizations SET verification_required = true")
    dose = a_dose(hospital, override_reason="cannot wait")
    hospital.change("UPDATE organizations SET verification_required = false")
    found = hospital.rows("SELECT id FROM order_overrides WHERE administration_id = :p1", dose)
    return UUID(str(found[0][0]))


def listed_drug(hospital: Hospital) -> UUID:
    """The entry of a drug on an override list."""
    wanted = {"organization_id": hospital.organization_id, "ward_id": hospital.ward_id, "drug_id": hospital.add_drug()}
    return hospital.run(lambda session: overrides.list_drug(session, **wanted))


def a_doctor(hospital: Hospital) -> Actor:
    """A doctor who is on nobody's team yet."""
    return hospital.add_staff(f"doctor-{uuid.uuid4().hex[:8]}", Role.DOCTOR)


def a_patient(hospital: Hospital) -> UUID:
    """A patient whom nobody cares for yet."""
    return hospital.admit(unique("Lund"))


def assigned(hospital: Hospital, role: CareRole = CareRole.PRIMARY, patient_id: UUID | None = None) -> dict[str, UUID]:
    """The path of an assignment, of a patient whom nobody cared for before where none is named."""
    patient = patient_id or a_patient(hospital)
    made = day.assign(hospital, patient, a_doctor(hospital).user_id, role)
    return {"patient_id": patient, "assignment_id": made}


def _new_primary(hospital: Hospital) -> Ask:
    present = assigned(hospital)
    body = {
        "provider_id": str(a_doctor(hospital).user_id),
        "outgoing": "remove",
        "replaces": str(present["assignment_id"]),
    }
    return Ask(path={"patient_id": present["patient_id"]}, body=body)


def with_team(hospital: Hospital) -> dict[str, UUID]:
    """The path of the patient, who has a team of two: to read it changes nothing."""
    if not hospital.rows("SELECT id FROM care_team_assignments WHERE patient_id = :p1", hospital.patient_id):
        for role in (CareRole.PRIMARY, CareRole.CONSULTANT):
            assigned(hospital, role, hospital.patient_id)
    return {"patient_id": hospital.patient_id}


def a_request(hospital: Hospital) -> UUID:
    """A transfer to the nurse's ward that nobody has sent."""
    source = replace(hospital.shelf, ward_id=hospital.add_ward())
    hospital.receive(5, lot=unique("L"), shelf=source)
    return day.request(hospital, source.ward_id, hospital.ward_id, 2)


def a_dispatched(hospital: Hospital) -> UUID:
    """A transfer to the nurse's ward that another pharmacist has sent."""
    transfer_id = a_request(hospital)
    day.dispatch(hospital, transfer_id, actor=day.second_pharmacist(hospital))
    return transfer_id


def an_open_count(hospital: Hospital, *, counted: int | None = None) -> tuple[UUID, UUID]:
    """An open session and its one lot, which holds five units; `counted` is what was found."""
    shelf = ward_of_nurse(hospital)
    count_id, lot_id = day.open_count(hospital, shelf.ward_id), lot_of(hospital, shelf)
    if counted is not None:
        day.record_count(hospital, count_id, Counted(lot_id, counted))
    return count_id, lot_id


def a_count_of_two_lots(hospital: Hospital) -> UUID:
    """A session that lists more than one lot, the one that is there or a new one."""
    several = "SELECT count_id FROM stock_count_lines GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT 1"
    if not hospital.rows(several):
        shelf = ward_of_nurse(hospital)
        hospital.receive(5, lot=unique("L"), shelf=shelf)
        day.open_count(hospital, shelf.ward_id)
    return UUID(str(hospital.rows(several)[0][0]))


def a_discrepancy(hospital: Hospital) -> UUID:
    """A unit that a count did not find."""
    count_id, _ = an_open_count(hospital, counted=4)
    day.complete_count(hospital, count_id)
    return day.discrepancies(hospital)[-1]


def an_alert(hospital: Hospital) -> UUID:
    """An open alert that everybody is told of: a drug that is out."""
    drug_id = hospital.add_drug()
    day.set_levels(hospital, 1, 5, replace(hospital.shelf, drug_id=drug_id))
    day.refresh_alerts(hospital)
    return UUID(str(hospital.rows("SELECT id FROM alerts WHERE drug_id = :p1", drug_id)[0][0]))


def _lines(hospital: Hospital, units: int = 1) -> list[dict[str, Any]]:
    return [{"drug_id": str(hospital.drug_id), "quantity_units": units}]


def _delivered(hospital: Hospital) -> dict[str, Any]:
    return {
        "drug_id": str(hospital.drug_id),
        "lot_number": unique("L"),
        "expires_on": "2031-05-31",
        "quantity_units": 10,
    }


def _csv(hospital: Hospital) -> bytes:
    line = _delivered(hospital)
    return (",".join(line) + "\n" + ",".join(map(str, line.values())) + "\n").encode()


def _adjustment(hospital: Hospital) -> dict[str, Any]:
    lot_id = hospital.receive(5, lot=unique("L")).lot_id
    return {
        "ward_id": str(hospital.ward_id),
        "drug_id": str(hospital.drug_id),
        "quantity_units": -1,
        "reason": "waste",
        "lot_id": str(lot_id),
        "note": "broken",
        "witness": witness(hospital),
    }


def _movement(hospital: Hospital) -> dict[str, UUID]:
    receipt = hospital.receive(1, lot=unique("L"))
    found = hospital.rows("SELECT id FROM stock_movements WHERE reference_id = :p1", receipt.id)
    return {"movement_id": UUID(str(found[0][0]))}


def _remainder(hospital: Hospital) -> Ask:
    dose = a_dose(hospital)
    found = hospital.rows("SELECT lot_id FROM stock_movements WHERE reference_id = :p1", dose)
    return Ask(
        path={"administration_id": dose},
        body={"quantity_units": 1, "lot_id": str(found[0][0]), "reason": "half", "witness": witness(hospital)},
    )


def _round(hospital: Hospital) -> dict[str, Any]:
    hospital.receive(1, lot=unique("L"))
    order_id = str(hospital.place())
    return {"order_ids": [order_id], "doses": [{"order_id": order_id, "dose": 1}], "witness": witness(hospital)}


def _counted(hospital: Hospital) -> Ask:
    code = scannable(hospital)
    count_id, lot_id = an_open_count(hospital)
    line = {"lot_id": str(lot_id), "counted_units": 5, "counted_at": now().isoformat(), "scan": code}
    return Ask(path={"count_id": count_id}, body={"lines": [line]})


def _dispatch(hospital: Hospital) -> Ask:
    transfer_id = day.request(hospital, ward_of_nurse(hospital).ward_id, hospital.ward_id, 2)
    return Ask(path={"transfer_id": transfer_id}, body={"lines": _lines(hospital), "witness": witness(hospital)})


def _arrival(hospital: Hospital) -> Ask:
    transfer_id = a_dispatched(hospital)
    found = hospital.rows(
        "SELECT p.lot_id FROM stock_transfer_lots p JOIN stock_transfer_lines n ON n.id = p.line_id"
        " WHERE n.transfer_id = :p1",
        transfer_id,
    )
    return Ask(
        path={"transfer_id": transfer_id},
        body={
            "lines": [{**_lines(hospital, 2)[0], "lot_id": str(found[0][0])}],
            "rest_as_sent": False,
            "witness": witness(hospital),
        },
    )


def _replenishment(hospital: Hospital) -> dict[str, str]:
    day.set_levels(hospital, 1, 5, replace(hospital.shelf, drug_id=hospital.add_drug()))
    return {"ward_id": str(hospital.ward_id), "source_ward_id": str(hospital.add_ward())}


def _refreshed(hospital: Hospital) -> dict[str, Any]:
    day.refresh_alerts(hospital)  # which the read would do else
    return {"ward_id": hospital.ward_id, "kind": "out", "state": "open"}


def _times() -> dict[str, str]:
    return {"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00+02:00"}


VALID: dict[str, Callable[[Hospital], Ask]] = {
    "GET /patients/<uuid:patient_id>/care-team": lambda h: Ask(path=with_team(h)),
    "GET /patients/<uuid:patient_id>/care-team/history": lambda h: Ask(path=with_team(h)),
    "GET /patients/<uuid:patient_id>/care-team/primary": lambda h: Ask(path=with_team(h)),
    "POST /patients/<uuid:patient_id>/care-team": lambda h: Ask(
        path={"patient_id": a_patient(h)}, body={"provider_id": str(a_doctor(h).user_id), "role": "PRIMARY"}
    ),
    "PUT /patients/<uuid:patient_id>/care-team/primary": _new_primary,
    "DELETE /patients/<uuid:patient_id>/care-team/<uuid:assignment_id>": lambda h: Ask(path=assigned(h)),
    "POST /orders/<uuid:order_id>/skip": lambda h: Ask(
        path={"order_id": h.place()}, body={"reason": "refused", "dose": 1, "note": "nauseous"}
    ),
    "POST /fulfillments": lambda h: Ask(body=_round(h)),
    "GET /administrations": lambda h: Ask(
        query={
            "order_id": one_of(h, "medication_orders", lambda h: h.place()),
            "patient_id": h.patient_id,
            "ward_id": h.ward_id,
            "nurse_id": h.nurse.user_id,
            **_times(),
        }
    ),
    "GET /administrations/<uuid:administration_id>": lambda h: Ask(path={"administration_id": a_dose(h)}),
    "POST /administrations/<uuid:administration_id>/entered-in-error": lambda h: Ask(
        path={"administration_id": a_dose(h)}, body={"reason": "wrong patient", "witness": witness(h)}
    ),
    "POST /administrations/<uuid:administration_id>/waste": _remainder,
    "POST /administrations/<uuid:administration_id>/return": _remainder,
    "GET /override-drugs": lambda h: Ask(query={"ward_id": h.ward_id}),
    "POST /override-drugs": lambda h: Ask(body={"ward_id": str(h.ward_id), "drug_id": str(h.add_drug())}),
    "DELETE /override-drugs/<uuid:entry_id>": lambda h: Ask(path={"entry_id": listed_drug(h)}),
    "GET /overrides": lambda h: Ask(query={"status": "pending", "ward_id": h.ward_id, "nurse_id": h.nurse.user_id}),
    "POST /overrides/<uuid:override_id>/review": lambda h: Ask(
        path={"override_id": an_override(h)}, body={"verdict": "appropriate", "note": "shock"}
    ),
    "PUT /stock/levels": lambda h: Ask(
        body={
            "ward_id": str(h.ward_id),
            "drug_id": str(h.add_drug()),
            "reorder_point_units": 5,
            "par_level_units": 20,
        }
    ),
    "POST /stock/deliveries": lambda h: Ask(
        body={"ward_id": str(h.ward_id), "lines": [_delivered(h)], "witness": witness(h)}
    ),
    "POST /wards/<uuid:ward_id>/deliveries": lambda h: Ask(path={"ward_id": h.ward_id}, data=_csv(h)),
    "POST /stock/adjustments": lambda h: Ask(body=_adjustment(h)),
    "POST /stock/movements/<uuid:movement_id>/correct": lambda h: Ask(
        path=_movement(h), body={"reason": "never arrived", "witness": witness(h)}
    ),
    "GET /lots": lambda h: Ask(
        query={"drug_id": h.drug_id, "lot_number": "L1", "status": "available", "expires_from": "2026-01-01"}
    ),
    "GET /lots/<uuid:lot_id>": lambda h: Ask(path={"lot_id": one_of(h, "lots", a_new_lot)}),
    "GET /lots/<uuid:lot_id>/doses": lambda h: Ask(
        path=a_given_lot(h), query={"ward_id": h.ward_id, "patient_id": h.patient_id, **_times()}
    ),
    "GET /lots/<uuid:lot_id>/patients": lambda h: Ask(path=a_given_lot(h)),
    "POST /lots/<uuid:lot_id>/hold": lambda h: Ask(path=a_new_lot(h), body={"reason": "cold chain"}),
    "POST /lots/<uuid:lot_id>/release": lambda h: Ask(path=a_new_lot(h, LotStatus.ON_HOLD)),
    "POST /lots/<uuid:lot_id>/recall": lambda h: Ask(path=a_new_lot(h), body={"reason": "particles"}),
    "GET /scans": lambda h: Ask(query={"scan": scannable(h)}),
    "GET /transfers": lambda h: Ask(
        query={"status": "requested", "source_ward_id": h.ward_id, "destination_ward_id": h.ward_id}
    ),
    "POST /transfers": lambda h: Ask(
        body={
            "source_ward_id": str(h.add_ward()),
            "destination_ward_id": str(h.ward_id),
            "lines": _lines(h, 2),
        }
    ),
    "GET /transfers/<uuid:transfer_id>": lambda h: Ask(path={"transfer_id": one_of(h, "stock_transfers", a_request)}),
    "POST /transfers/<uuid:transfer_id>/dispatch": _dispatch,
    "POST /transfers/<uuid:transfer_id>/receive": _arrival,
    "POST /transfers/<uuid:transfer_id>/cancel": lambda h: Ask(path={"transfer_id": a_request(h)}),
    "GET /stock/replenishment": lambda h: Ask(query={"ward_id": h.ward_id}),
    "POST /stock/replenishment": lambda h: Ask(body=_replenishment(h)),
    "GET /counts": lambda h: Ask(query={"ward_id": h.ward_id, "status": "open"}),
    "POST /counts": lambda h: Ask(
        body={
            "ward_id": str(ward_of_nurse(h).ward_id),
            "drug_ids": [str(h.drug_id)],
            "controlled": False,
        }
    ),
    "GET /counts/<uuid:count_id>": lambda h: Ask(path={"count_id": one_of(h, "stock_counts", an_open_count)}),
    "GET /counts/<uuid:count_id>/lines": lambda h: Ask(
        path={"count_id": a_count_of_two_lots(h)}, query={"state": "uncounted"}
    ),
    "POST /counts/<uuid:count_id>/lines": _counted,
    "POST /counts/<uuid:count_id>/complete": lambda h: Ask(path={"count_id": an_open_count(h, counted=5)[0]}),
    "POST /counts/<uuid:count_id>/cancel": lambda h: Ask(path={"count_id": an_open_count(h)[0]}),
    "GET /discrepancies": lambda h: Ask(
        query={
            "ward_id": h.ward_id,
            "drug_id": h.drug_id,
            "owner_id": h.staff["pharmacist"].user_id,
            "kind": "count",
            "status": "open",
        }
    ),
    "GET /discrepancies/<uuid:discrepancy_id>": lambda h: Ask(
        path={"discrepancy_id": one_of(h, "discrepancies", a_discrepancy)}
    ),
    "POST /discrepancies/<uuid:discrepancy_id>/assign": lambda h: Ask(
        path={"discrepancy_id": a_discrepancy(h)}, body={"owner_id": str(h.nurse.user_id)}
    ),
    "POST /discrepancies/<uuid:discrepancy_id>/resolve": lambda h: Ask(
        path={"discrepancy_id": a_discrepancy(h)},
        body={"resolution": "correction", "reason": "looked twice", "witness": witness(h)},
    ),
    "GET /stock/register": lambda h: Ask(query={"drug_id": h.drug_id, "ward_id": h.ward_id, **_times()}),
    "GET /alerts": lambda h: Ask(query=_refreshed(h)),
    "POST /alerts/<uuid:alert_id>/acknowledge": lambda h: Ask(path={"alert_id": an_alert(h)}),
}
