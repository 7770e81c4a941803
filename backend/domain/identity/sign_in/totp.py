"""One-time codes (TOTP, RFC 6238): six digits for each 30 seconds, of which each works once."""

import hmac
import re
from datetime import datetime
from uuid import UUID

import pyotp
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from backend.db import Session, new_id
from backend.domain.identity.models import TotpStep

STEP_SECONDS = 30
WINDOW_STEPS = 1  # a clock may be so many steps off, and a slow finger too
_CODE = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """A secret for an authenticator app: 160 bits in base32, 32 characters."""
    return pyotp.random_base32()


def uri_of(secret: str, *, email: str, hospital: str) -> str:
    """What the QR code says to the app."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=f"ValMed {hospital}")


def step_at(moment: datetime) -> int:
    """The half minute of `moment`, counted since 1970."""
    return int(moment.timestamp()) // STEP_SECONDS


def code_of(secret: str, step: int) -> str:
    """The code of the base32 `secret` in the half minute `step`."""
    return pyotp.TOTP(secret).generate_otp(step)


def step_of(secret: str, otp: str, now: datetime) -> int | None:
    """The step to which the code `otp` belongs; None for a wrong or old one."""
    if not _CODE.fullmatch(otp):
        return None
    present = step_at(now)
    steps = range(present - WINDOW_STEPS, present + WINDOW_STEPS + 1)
    return next((step for step in steps if hmac.compare_digest(code_of(secret, step), otp)), None)


def take_step(session: Session, *, organization_id: UUID, user_id: UUID, step: int) -> bool:
    """Uses up the code of `step` and all before it. False where it is used up already.

    Of two transactions at once with the same code the second finds the row changed under its snapshot (40001), runs
    again and sees that it is too late.
    """
    taken = insert(TotpStep).values(organization_id=organization_id, id=new_id(), user_id=user_id, step=step)
    later = taken.on_conflict_do_update(
        index_elements=["organization_id", "user_id"],
        set_={"step": taken.excluded.step, "version": TotpStep.version + 1},
        where=TotpStep.step < taken.excluded.step,
    )
    return session.execute(later.returning(TotpStep.id)).first() is not None


def begin_at(session: Session, *, organization_id: UUID, user_id: UUID, step: int) -> None:
    """Uses up the code of `step` of a new secret; what was used of the one before stays used."""
    first = insert(TotpStep).values(organization_id=organization_id, id=new_id(), user_id=user_id, step=step)
    latest = func.greatest(TotpStep.step, first.excluded.step)
    session.execute(
        first.on_conflict_do_update(
            index_elements=["organization_id", "user_id"], set_={"step": latest, "version": TotpStep.version + 1}
        )
    )
