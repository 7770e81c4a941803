"""Who asks. Made once per request or command, frozen, and handed to every use case."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from backend.errors import Forbidden


class SecondFactorRequired(Forbidden):
    """This needs a second factor: sign in with the code of your authenticator app or, on the pages, a passkey.

    Who has neither enrols first; `enrolled` says whether your account has an authenticator app.
    """


class Role(StrEnum):
    """Name the job of a member of staff, which decides what they may do."""

    NURSE = "nurse"
    PHARMACIST = "pharmacist"
    DOCTOR = "doctor"
    ADMIN = "admin"


STAFF = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in member of staff, or with `user_id` None the operator at the command line.

    `token_sha256` is the SHA-256 of the token that the request brought, `requested_at` the database's time when the
    token was looked up: the request had arrived by then. Both are None where no request asks.
    """

    organization_id: UUID
    user_id: UUID | None
    role: Role
    name: str
    request_id: str
    second_factor: bool = False
    token_sha256: bytes | None = field(default=None, repr=False, compare=False)
    requested_at: datetime | None = field(default=None, compare=False)

    def require(self, roles: frozenset[Role]) -> None:
        """Raises Forbidden unless the actor has one of `roles`."""
        if self.role not in roles:
            names = ", ".join(sorted(roles))
            raise Forbidden(f"This needs the role {names}; you are signed in as {self.role}.")

    def require_second_factor(self) -> None:
        """Raises SecondFactorRequired unless the sign-in had one."""
        if not self.second_factor:
            raise SecondFactorRequired()

    @classmethod
    def operator(cls, organization_id: UUID) -> "Actor":
        """The person at the command line, who acts for the organization with an admin's rights."""
        return cls(organization_id, None, Role.ADMIN, "operator", "command-line", second_factor=True)
