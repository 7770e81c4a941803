"""Every table, so that the metadata is complete for migrations; no code."""

from backend.administrations import models as administrations
from backend.alerts import models as alerts
from backend.audit import models as audit
from backend.care_team import models as care_team
from backend.claims import models as claims
from backend.counts import models as counts
from backend.db import Base, idempotency
from backend.discrepancies import models as discrepancies
from backend.formulary import models as formulary
from backend.identity import models as identity
from backend.orders import models as orders
from backend.organizations import models as organizations
from backend.patients import models as patients
from backend.stock import models as stock
from backend.transfers import models as transfers

__all__ = [
    "Base",
    "administrations",
    "alerts",
    "audit",
    "care_team",
    "claims",
    "counts",
    "discrepancies",
    "formulary",
    "idempotency",
    "identity",
    "orders",
    "organizations",
    "patients",
    "stock",
    "transfers",
]
