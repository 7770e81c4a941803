"""Staff, the wards they work on and the tokens they hold."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.actor import Role
from backend.db import Base, Tenant, Timestamped, belongs_to, of_organization, pg_enum


class User(Tenant, Timestamped, Base):
    """A member of staff. The audit trail never holds the two secrets.

    `first_password_expires_at` is None for a password that they have chosen themselves.
    """

    __tablename__ = "users"
    __table_args__ = (
        of_organization(),
        UniqueConstraint("organization_id", "email"),
        CheckConstraint("email = lower(email)", name="email_lower"),
    )

    email: Mapped[str]
    name: Mapped[str]
    role: Mapped[Role] = mapped_column(pg_enum(Role, "user_role"))
    password_hash: Mapped[str]
    totp_secret: Mapped[str | None]
    active: Mapped[bool] = mapped_column(server_default=text("true"))
    first_password_expires_at: Mapped[datetime | None]


class WardMembership(Tenant, Timestamped, Base):
    """A user works on a ward."""

    __tablename__ = "ward_memberships"
    __table_args__ = (
        belongs_to("users", "user_id"),
        belongs_to("wards", "ward_id"),
        UniqueConstraint("organization_id", "user_id", "ward_id"),
    )

    user_id: Mapped[UUID]
    ward_id: Mapped[UUID]


class TotpStep(Tenant, Timestamped, Base):
    """The last one-time code that a user has used, as 30-second steps since 1970: it and older ones are void."""

    __tablename__ = "totp_steps"
    __table_args__ = (belongs_to("users", "user_id"), UniqueConstraint("organization_id", "user_id"))

    user_id: Mapped[UUID]
    step: Mapped[int] = mapped_column(BigInteger)


class Passkey(Tenant, Timestamped, Base):
    """The public half of a key on a user's device; `sign_count` is how often the device says that it was used."""

    __tablename__ = "passkeys"
    __table_args__ = (
        belongs_to("users", "user_id"),
        UniqueConstraint("organization_id", "credential_id"),
        CheckConstraint("octet_length(credential_id) BETWEEN 1 AND 1023", name="credential_id_length"),
        CheckConstraint("octet_length(public_key) BETWEEN 1 AND 4096", name="public_key_length"),
        CheckConstraint("sign_count BETWEEN 0 AND 4294967295", name="sign_count_range"),
        Index("ix_passkeys_user_id", "organization_id", "user_id"),
    )

    user_id: Mapped[UUID]
    credential_id: Mapped[bytes] = mapped_column(LargeBinary)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    transports: Mapped[list[str]] = mapped_column(ARRAY(Text))
    backed_up: Mapped[bool]
    name: Mapped[str]
    last_used_at: Mapped[datetime | None]


class AccessToken(Tenant, Base):
    """A bearer token, of which only the SHA-256 is kept."""

    __tablename__ = "access_tokens"
    __table_args__ = (
        belongs_to("users", "user_id"),
        CheckConstraint("octet_length(token_sha256) = 32", name="token_sha256_length"),
        Index("ix_access_tokens_token_sha256", "token_sha256"),
        Index("ix_access_tokens_user_id", "organization_id", "user_id"),
    )

    user_id: Mapped[UUID]
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    second_factor: Mapped[bool]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
