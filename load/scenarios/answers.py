"""What the application is asked, what it answered, and whether it may answer so."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import Any

from locust.contrib.fasthttp import ResponseContextManager

PROBLEM = "application/problem+json"


class WrongAnswer(Exception):
    """The answer is not what the API promises; the message is the line in Locust's table of failures."""


class Outcome(StrEnum):
    """What an answer means for the person who asked."""

    DONE = "done"
    REFUSED = "refused"  # by a rule of the hospital: business as usual
    BUSY = "busy"  # 503 with Retry-After: ask again
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `body` is the decoded JSON, None where there was none."""

    status: int
    raw: bytes
    headers: Mapping[str, str]
    body: Any
    outcome: Outcome = Outcome.FAILED

    @property
    def done(self) -> bool:
        """Whether it did what was asked."""
        return self.outcome is Outcome.DONE

    @property
    def code(self) -> str:
        """The problem code of a refusal; empty otherwise."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""

    @property
    def replayed(self) -> bool:
        """Whether it is the stored answer of an earlier request with the same key."""
        return self.headers.get("idempotent-replayed") == "true"


Check = Callable[[Answer], None]


@dataclass(frozen=True, slots=True)
class Question:
    """One request and what may come back; `check` raises WrongAnswer about a body."""

    method: str
    path: str
    _: KW_ONLY
    name: str = ""  # its line in the statistics; empty: the path
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wants: Collection[int] = (200,)
    refusals: Collection[str] = ()  # codes that are business as usual
    check: Check | None = None


def expect(condition: object, otherwise: str) -> None:
    """Raises WrongAnswer `otherwise` unless `condition`."""
    if not condition:
        raise WrongAnswer(otherwise)


def read(response: ResponseContextManager) -> Answer:
    """The answer of `response`; status 0 where the connection broke. Raises WrongAnswer for what is not JSON."""
    raw = bytes(response.content or b"")
    headers = {name.lower(): value for name, value in (response.headers or {}).items()}
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        raise WrongAnswer(f"{response.status_code} with a body that is not JSON") from None
    return Answer(response.status_code, raw, headers, body)


def judge(answer: Answer, question: Question, request_id: str) -> Outcome:
    """What `answer` means. Raises WrongAnswer for an answer that should not be."""
    expect(answer.status, "no answer")
    expect(answer.headers.get("x-request-id") == request_id, f"{answer.status} without the request's own X-Request-ID")
    if answer.status in question.wants:
        _examine(answer, question.check)
        return Outcome.DONE
    code = answer.code or "no code"
    if answer.status == 503:
        expect(code == "busy", f"503 {code} instead of busy")
        expect(answer.headers.get("retry-after", "").isdigit(), "503 without Retry-After")
        return Outcome.BUSY
    expect(code in question.refusals, f"{answer.status} {code}")
    expect(answer.headers.get("content-type", "").startswith(PROBLEM), f"{code} is no {PROBLEM}")
    expect(answer.body.get("status") == answer.status and answer.body.get("detail"), f"{code} lacks status or detail")
    return Outcome.REFUSED


def _examine(answer: Answer, check: Check | None) -> None:
    if check is None:
        return
    try:
        check(answer)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise WrongAnswer(f"{answer.status} with a body of another shape: {type(error).__name__} {error}") from None
