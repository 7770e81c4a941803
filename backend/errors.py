"""What can go wrong in the domain: one base class and the families that every audience can translate.

An exception lives in the module that raises it and derives from a family here; the class name in snake_case is the
problem's stable `code`, its docstring the public page of the problem type (RFC 9457), its keyword arguments the typed
extra members of the answer.
"""

import re
from datetime import date, datetime
from enum import Enum
from typing import Any, ClassVar
from uuid import UUID


class DomainError(Exception):
    """A refusal that the caller is told about; whoever raises it has changed nothing."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]
    retry_after_seconds: int | None = None  # when it may be asked again

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        if "code" not in cls.__dict__:
            cls.code = words
        if "title" not in cls.__dict__:
            cls.title = words.replace("_", " ").capitalize()

    def __init__(self, detail: str = "", **members: Any) -> None:
        """Take a sentence for a person, else the docstring's first, and the members for a program.

        `members` are kept as JSON values: a UUID, a day, a time or a member of an enum becomes its text.
        """
        meaning = " ".join((type(self).__doc__ or self.title).split())
        self.detail = detail or meaning.split(". ")[0].rstrip(".") + "."
        super().__init__(self.detail)
        self.members = {name: _as_json(value) for name, value in members.items()}


def _as_json(value: Any) -> Any:
    """Return `value` as answers write it: times like 2026-01-31T08:00:00Z, days like 2026-01-31."""
    if isinstance(value, Enum):
        return _as_json(value.value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return value


class Invalid(DomainError):
    """The request is well-formed JSON but its content cannot be accepted. Where a rule of the database stopped it,
    `constraint` is the rule's name."""

    status = 422


class NotAuthenticated(DomainError):
    """No valid bearer token came with the request. Sign in with POST /tokens and send the token."""

    status = 401


class Forbidden(DomainError):
    """Your role, your wards or your way of signing in do not allow this."""

    status = 403


class NotFound(DomainError):
    """There is no such thing in your organization."""

    status = 404


class Conflict(DomainError):
    """The state of what you want to change does not allow it now."""

    status = 409


class Busy(DomainError):
    """The database is slow, gone or overloaded. Nothing is known to have changed; repeat with the same key."""

    status = 503
    retry_after_seconds = 1


class ValidationFailed(Invalid):
    """A field is absent, unknown, of the wrong type or out of range; `errors` names each by JSON pointer."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{e['pointer'] or '/'}: {e['detail']}" for e in errors[:5]), errors=errors)

    @classmethod
    def of(cls, field: str, detail: str) -> "ValidationFailed":
        """One error at the body's field `field`."""
        return cls([{"pointer": f"/{field}", "detail": detail}])

    def below(self, pointer: str) -> "ValidationFailed":
        """The same errors at a place deeper in the body: `/lines/3`."""
        errors = self.members["errors"]
        return ValidationFailed([{**error, "pointer": pointer + error["pointer"]} for error in errors])
