"""The baseline's Flask application."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from flask import Flask, abort
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import Session, sessionmaker

from backend.db import new_id
from backend.db.engine import normalised_url
from backend.domain import models  # noqa: F401 - every table is known before the first statement
from backend.domain.administrations.models import MedicationAdministration, Outcome
from backend.domain.orders.models import MedicationOrder, OrderStatus
from backend.domain.stock.models import MovementReason, StockLevel, StockLot, StockMovement

Answer = dict[str, object]
Lots = Mapping[tuple[UUID, UUID], UUID]


def create_app() -> Flask:
    """The application for BASELINE_DATABASE_URL, BASELINE_ORGANIZATION_ID and BASELINE_NURSE_ID."""
    organization_id = UUID(os.environ["BASELINE_ORGANIZATION_ID"])
    nurse_id = UUID(os.environ["BASELINE_NURSE_ID"])
    engine = _make_engine(os.environ["BASELINE_DATABASE_URL"], organization_id)
    lots = _any_lots(engine)
    sessions = sessionmaker(engine)
    app = Flask(__name__)

    @app.post("/orders/<uuid:order_id>/fulfill")
    def fulfill(order_id: UUID) -> Answer:
        with sessions() as session:
            answer = _fulfill(session, organization_id, order_id, nurse_id, lots)
            session.commit()
            return answer

    @app.get("/healthz")
    def healthz() -> Answer:
        return {"status": "ok"}

    return app


def _make_engine(url: str, organization_id: UUID) -> Engine:
    return create_engine(
        normalised_url(url),
        isolation_level="REPEATABLE READ",
        pool_size=20,
        max_overflow=10,
        pool_timeout=30,
        pool_recycle=1800,
        pool_pre_ping=True,
        connect_args={"options": f"-c app.organization_id={organization_id}"},
    )


def _any_lots(engine: Engine) -> Lots:
    """The fullest lot of each shelf, read once before the workers are forked."""
    with Session(engine) as session:
        columns = (StockLot.ward_id, StockLot.drug_id, StockLot.lot_id)
        rows = session.execute(select(*columns).order_by(StockLot.quantity_units))
        lots = {(ward_id, drug_id): lot_id for ward_id, drug_id, lot_id in rows}
    engine.dispose()
    return lots


def _fulfill(session: Session, organization_id: UUID, order_id: UUID, nurse_id: UUID, lots: Lots) -> Answer:
    order = session.scalar(
        select(MedicationOrder)
        .where(MedicationOrder.organization_id == organization_id, MedicationOrder.id == order_id)
        .with_for_update()
    )
    if order is None:
        abort(404)
    if order.status is not OrderStatus.ACTIVE:
        abort(409)
    stock = session.scalars(
        select(StockLevel)
        .where(
            StockLevel.organization_id == organization_id,
            StockLevel.ward_id == order.ward_id,
            StockLevel.drug_id == order.drug_id,
        )
        .with_for_update()
    ).one()
    if stock.on_hand_units < order.units_per_dose:
        abort(409)
    now = datetime.now(UTC)
    stock.on_hand_units -= order.units_per_dose
    stock.sequence += 1
    order.doses_given = 1
    order.status = OrderStatus.COMPLETED
    order.completed_at = now
    administration_id = new_id()
    session.add(
        MedicationAdministration(
            organization_id=organization_id,
            id=administration_id,
            order_id=order.id,
            dose_number=1,
            outcome=Outcome.GIVEN,
            quantity_units=order.units_per_dose,
            nurse_id=nurse_id,
            administered_at=now,
        )
    )
    session.add(
        StockMovement(
            organization_id=organization_id,
            id=new_id(),
            ward_id=order.ward_id,
            drug_id=order.drug_id,
            lot_id=lots[order.ward_id, order.drug_id],
            sequence=stock.sequence,
            units=-order.units_per_dose,
            balance_after_units=stock.on_hand_units,
            reason=MovementReason.FULFILMENT,
            reference_id=administration_id,
            actor_id=nurse_id,
            occurred_at=now,
        )
    )
    return {"order_id": str(order.id), "status": order.status, "remaining_stock": stock.on_hand_units}
