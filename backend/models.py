"""Every table, so that the metadata is complete for migrations; no code."""

from backend.administrations import models as administrations
from backend.audit import models as audit
from backend.db import Base, idempotency
from backend.formulary import models as formulary
from backend.identity import models as identity
from backend.orders import models as orders
from backend.organizations import models as organizations
from backend.patients import models as patients
from backend.stock import models as stock

__all__ = [
    "Base",
    "administrations",
    "audit",
    "formulary",
    "idempotency",
    "identity",
    "orders",
    "organizations",
    "patients",
    "stock",
]
