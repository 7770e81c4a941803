"""Witnesses: the second member of staff whom a controlled drug asks for.

Decision: a witness's one-time code is used up in the transaction that they witness, after everything else was found
right. Because a code that an earlier transaction had used up would be gone for the repeat of a request that failed, was
busy or whose answer was lost; so it is used up exactly when the change stands, and a repeat that is answered from what
is stored asks for none. Cost: of two changes at once with one code the second waits for the first, and is refused.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from backend.actor import Actor
from backend.db import Prepared, Session
from backend.domain.identity.sign_in import totp
from backend.errors import Forbidden


class WitnessRequired(Forbidden):
    """A controlled drug needs a second member of staff of the ward: send their own credentials as `witness`."""


class WitnessCodeRequired(Forbidden):
    """Your hospital asks the witness's role for a second factor: send their one-time code as `otp` in `witness`.

    `enrolled` says whether they have an authenticator app; who has none sets one up first. A passkey cannot witness.
    """


_NO_APP = (
    "Your hospital asks the witness's role for a second factor, and they have no authenticator app: they set one up on "
    "their own page first. A passkey cannot witness."
)


@dataclass(frozen=True, slots=True)
class Witness:
    """A person whose credentials came with the request and were right.

    `step` is that of the one-time code that they sent and that has yet to be used up; `code_used` says that this
    transaction has used it up.
    """

    user_id: UUID
    step: int | None = None
    code_used: bool = False


_WORKS_HERE = Prepared(
    "witness_works_here",
    """SELECT u.role::text = ANY (h.second_factor_roles), u.totp_secret IS NOT NULL
    FROM ward_memberships m JOIN users u ON u.organization_id = :organization_id AND u.id = m.user_id
      JOIN organizations h ON h.id = :organization_id
    WHERE m.organization_id = :organization_id::uuid AND m.user_id = :user_id::uuid AND m.ward_id = :ward_id::uuid
      AND u.active AND u.role <> 'admin'""",
)


def admit_witness(
    session: Session, *, actor: Actor, ward_id: UUID, witness: Witness | None, needed: bool
) -> UUID | None:
    """Return who witnesses a change on the ward, and use up their one-time code; None where nobody is `needed` or came.

    Raises WitnessRequired unless they are somebody else, active and of the ward, and where the code was used before;
    WitnessCodeRequired without a code where the hospital asks their role for a second factor.
    """
    if witness is None:
        if needed:
            raise WitnessRequired()
        return None
    if witness.user_id == actor.user_id:
        raise WitnessRequired("The witness must be another person.")
    found = session.run(_WORKS_HERE, organization_id=actor.organization_id, user_id=witness.user_id, ward_id=ward_id)
    if not found:
        raise WitnessRequired("The witness does not work on this ward.")
    ((asked_for_code, enrolled),) = found
    came = use_code(session, actor=actor, witness=witness)
    if asked_for_code and not came.code_used:
        raise WitnessCodeRequired("" if enrolled else _NO_APP, enrolled=enrolled)
    return witness.user_id


def use_code(session: Session, *, actor: Actor, witness: Witness) -> Witness:
    """Use up the code of the witness, where they sent one. Raises WitnessRequired where it was used before."""
    if witness.step is None:
        return witness
    if not totp.take_step(session, organization_id=actor.organization_id, user_id=witness.user_id, step=witness.step):
        raise WitnessRequired("The one-time code of the witness was used. Wait for the next one.")
    return replace(witness, step=None, code_used=True)
