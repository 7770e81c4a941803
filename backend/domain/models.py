"""Every table, so that the metadata is complete for migrations; no code."""

from backend.db import Base, idempotency
from backend.domain.administrations import models as administrations
from backend.domain.alerts import models as alerts
from backend.domain.audit import models as audit
from backend.domain.care_team import models as care_team
from backend.domain.claims import models as claims
from backend.domain.custody import models as custody
from backend.domain.formulary import models as formulary
from backend.domain.identity import models as identity
from backend.domain.orders import models as orders
from backend.domain.organizations import models as organizations
from backend.domain.patients import models as patients
from backend.domain.stock import models as stock

__all__ = [
    "Base",
    "administrations",
    "alerts",
    "audit",
    "care_team",
    "claims",
    "custody",
    "formulary",
    "idempotency",
    "identity",
    "orders",
    "organizations",
    "patients",
    "stock",
]
