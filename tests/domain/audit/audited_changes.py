"""Everything that a use case can change, each with who does it and the rows of the trail that it makes."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from backend.actor import Actor, Role
from backend.db import Session
from backend.db.idempotency import IdempotencyKey
from backend.domain.administrations import fulfilment
from backend.domain.care_team import assigning
from backend.domain.care_team.assigning import Outgoing
from backend.domain.care_team.models import CareRole
from backend.domain.formulary.drugs import change_drug
from backend.domain.identity import tokens
from backend.domain.identity.users import add_user, change_user
from backend.domain.orders import ordering
from backend.domain.orders.models import Priority
from backend.domain.organizations import hospitals
from backend.domain.organizations.models import WardKind
from backend.domain.stock import levels
from backend.operations.building import Builder
from tests.hospital import PASSWORD, Hospital, hash_of_password, now

TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DP"

Act = Callable[[Session, Hospital, Actor], object]


def change_policy(session: Session, hospital: Hospital, actor: Actor) -> None:
    hospitals.change_organization(session, organization_id=actor.organization_id, witness_required=True)


def open_ward(session: Session, hospital: Hospital, actor: Actor) -> None:
    Builder(session, actor.organization_id).add_ward("New", WardKind.PHARMACY)


def list_a_drug(session: Session, hospital: Hospital, actor: Actor) -> None:
    Builder(session, actor.organization_id).add_drug("Xerava")


def rename_a_drug(session: Session, hospital: Hospital, actor: Actor) -> None:
    change_drug(session, organization_id=actor.organization_id, drug_id=hospital.drug_id, name="Renamed")


def hire(session: Session, hospital: Hospital, actor: Actor) -> None:
    Builder(session, actor.organization_id).hire(
        email="new@h.example",
        name="New",
        role=Role.NURSE,
        password_hash=hash_of_password(),
        ward_ids=[hospital.ward_id],
        totp_secret=TOTP_SECRET,
    )


def take_off_the_ward(session: Session, hospital: Hospital, actor: Actor) -> None:
    assert hospital.nurse.user_id is not None
    change_user(session, organization_id=actor.organization_id, user_id=hospital.nurse.user_id, now=now(), ward_ids=[])


def set_a_password(session: Session, hospital: Hospital, actor: Actor) -> None:
    assert hospital.nurse.user_id is not None
    change_user(
        session,
        organization_id=actor.organization_id,
        user_id=hospital.nurse.user_id,
        now=now(),
        password="another long password",
    )


def sign_in(session: Session, hospital: Hospital, actor: Actor) -> None:
    tokens.issue_token(session, actor=actor, now=now(), hours=1)


def admit(session: Session, hospital: Hospital, actor: Actor) -> None:
    Builder(session, actor.organization_id).admit(hospital.ward_id, "Novak, Ada", "M-2", allergies=["latex"])


def receive_a_new_lot(session: Session, hospital: Hospital, actor: Actor) -> None:
    session.take_lanes([hospital.shelf.lane])
    expires_on = (now() + timedelta(days=90)).date()
    builder = Builder(session, actor.organization_id)
    builder.receive(hospital.shelf, 3, actor=actor, lot_number="NEW", expires_on=expires_on)


def set_the_levels(session: Session, hospital: Hospital, actor: Actor) -> None:
    session.take_lanes([hospital.shelf.lane])
    levels.set_levels(session, hospital.shelf, reorder_point_units=5, par_level_units=50)


def order(session: Session, hospital: Hospital, actor: Actor) -> UUID:
    session.take_lanes([hospital.shelf.lane])
    how = {"patient_id": hospital.patient_id, "priority": Priority.STAT, "route": "oral"}
    return Builder(session, actor.organization_id).place(hospital.shelf, actor=actor, **how)


def verify_an_order(session: Session, hospital: Hospital, actor: Actor) -> None:
    session.take_lanes([hospital.shelf.lane])
    ordering.verify(session, actor=actor, shelf=hospital.shelf, order_id=_an_order(hospital), now=now())


def discontinue_an_order(session: Session, hospital: Hospital, actor: Actor) -> None:
    session.take_lanes([hospital.shelf.lane])
    ordering.discontinue(
        session, actor=actor, shelf=hospital.shelf, order_id=_an_order(hospital), reason="allergy", now=now()
    )


def give_a_dose(session: Session, hospital: Hospital, actor: Actor) -> None:
    """From two lots."""
    fulfilment.fulfil(
        session,
        actor=actor,
        order_id=_an_order(hospital),
        shelf=hospital.shelf,
        dose=None,
        witness=None,
        key=IdempotencyKey(uuid.uuid4().hex, b"f"),
    )


def _an_order(hospital: Hospital) -> UUID:
    return UUID(str(hospital.rows("SELECT id FROM medication_orders WHERE status = 'active'")[0][0]))


# Who does what, and which rows of the trail it makes. A shelf's level is touched by whatever changes its board.
LEVEL = ("stock_levels", "UPDATE")


def hand_over(session: Session, hospital: Hospital, actor: Actor) -> None:
    """A doctor is PRIMARY, and another takes over."""
    assert actor.user_id is not None
    patient = {"patient_id": hospital.patient_id, "now": now()}
    assigning.assign(session, actor=actor, provider_id=actor.user_id, role=CareRole.PRIMARY, **patient)
    other = add_user(
        session,
        organization_id=actor.organization_id,
        email="other@h.example",
        name="Other",
        role=Role.DOCTOR,
        password=PASSWORD,
    )
    assigning.change_primary(
        session, actor=actor, provider_id=other, outgoing=Outgoing.DEMOTE, replaces=None, **patient
    )


USE_CASES: list[tuple[Act, str, list[tuple[str, str]]]] = [
    (change_policy, "admin", [("organizations", "UPDATE")]),
    (open_ward, "admin", [("wards", "INSERT")]),
    (list_a_drug, "pharmacist", [("drugs", "INSERT")]),
    (rename_a_drug, "pharmacist", [("drugs", "UPDATE"), ("organizations", "UPDATE")]),
    (hire, "admin", [("users", "INSERT"), ("ward_memberships", "INSERT")]),
    (take_off_the_ward, "admin", [("users", "UPDATE"), ("ward_memberships", "DELETE")]),
    (set_a_password, "admin", [("users", "UPDATE"), ("access_tokens", "UPDATE")]),
    (sign_in, "nurse", [("access_tokens", "INSERT")]),
    (admit, "nurse", [("patients", "INSERT")]),
    (
        hand_over,
        "doctor",
        [
            ("care_team_assignments", "INSERT"),
            ("users", "INSERT"),
            ("care_team_assignments", "UPDATE"),
            ("care_team_assignments", "INSERT"),
            ("care_team_assignments", "INSERT"),
        ],
    ),
    (
        receive_a_new_lot,
        "pharmacist",
        [
            LEVEL,
            ("lots", "INSERT"),
            LEVEL,
            ("lots", "UPDATE"),
            ("stock_lots", "INSERT"),
            LEVEL,
            ("stock_lots", "UPDATE"),
        ],
    ),
    (set_the_levels, "pharmacist", [LEVEL, LEVEL]),
    (order, "doctor", [LEVEL, ("medication_orders", "INSERT")]),
    (verify_an_order, "pharmacist", [LEVEL, ("medication_orders", "UPDATE")]),
    (discontinue_an_order, "doctor", [LEVEL, ("medication_orders", "UPDATE")]),
    (
        give_a_dose,
        "nurse",
        [
            LEVEL,
            ("stock_lots", "UPDATE"),
            ("stock_lots", "UPDATE"),
            ("medication_orders", "UPDATE"),
            ("medication_administrations", "INSERT"),
        ],
    ),
]
