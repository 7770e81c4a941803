"""One run of Schemathesis: every operation, every built-in check, right and wrong requests, as one person."""

import json
import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import schemathesis
from hypothesis import settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

YEARS = date(1901, 1, 1), date(2199, 12, 31)
SHARE = 100  # one request to an operation, besides all that cover the document, for so many examples of other tests
PHASES = ("examples", "coverage", "fuzzing", "stateful")
ONCE = ("examples", "fuzzing")  # the least with which every operation is asked: not each has an example
# Why a request is refused with 422 though it is what the document asks for: what is wrong is not a value but how it
# goes with another, with the clock or with what is stored. JSON Schema knows none of them.
RULES = re.compile(
    "|".join(
        (
            "scan_unreadable",  # a check digit, an identifier of GS1
            "a (drug|lot) is listed twice",  # equal in one field only
            "this lot is listed twice",
            "A (drug|order)_id is listed twice.",
            "your password is your own: .*",
            "drug [-0-9a-f]+ is not part of this transfer",
            "drug [-0-9a-f]+: (not sent with this transfer|more than the .*|several lots .*|listed twice|say how .*)",
            "this lot has expired",
            "between the start of the session and now",
            "not below the reorder point",
            "ward_id or drug_id is needed",
            "not in the future",
            "not after `to`, .*",
            "more of drug [-0-9a-f]+ than was asked for",
            "nothing is sent: cancel the transfer",
            "the source itself",
            "the dose (came from several lots: name one|did not come from this lot)",
            "this order has [0-9]+ doses.*",
            "there is nothing to count",
            "of a (count|transfer): .*|more was found than expected: nothing is lost",
            "only a doctor is on a care team|this (doctor|user) has left",
            "a (waste|loss) takes units away: give a negative number",
            "[0-9]+ doses need the minutes between two of them",
            "not a time zone of the IANA database, such as Europe/Berlin",
            "no such ward in your organization",
            "choose another: .*",  # a password that is leaked or too simple
            "columns: .*|not CSV|[0-9]+ cells, not [0-9]+",  # of a file, which is only a text to it
            "Not a valid integer.",  # 2.0, which JSON Schema counts among the integers: nobody counts units so
        )
    )
)
_KEY = re.compile(r"[\x21-\x7e]{1,128}")

schemathesis.openapi.format("date", st.dates(*YEARS).map(str))
schemathesis.openapi.format("date-time", st.dates(*YEARS).map(lambda day: f"{day}T03:04:05Z"))


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """A right Idempotency-Key is a new one each time: the same with another body is rightly refused."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and _KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex


@dataclass
class Found:
    """What a run found: each failure, how many answers of each status, how many requests of each operation, and which
    operations did what was asked at least once."""

    failures: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)


def run(
    document: dict[str, Any],
    url: str,
    token: str,
    *,
    only: Sequence[str],
    phases: Sequence[str] = PHASES,
    rightly: bool = False,
) -> Found:
    """What is wrong with the API at `url`, asked with `token`, or without any; `only` names operations by their id.

    With `rightly` each is asked what the document calls right, and drawn once.
    """
    schema = schemathesis.openapi.from_dict(document, config=_configuration(url, token, phases, rightly=rightly))
    schema = schema.include(operation_id=list(only))
    found = Found()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _note(found, event)
        elif isinstance(event, events.NonFatalError):
            found.failures.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            found.failures.append(repr(event.exception))
    return found


def _configuration(url: str, token: str, phases: Sequence[str], *, rightly: bool) -> SchemathesisConfig:
    """The same requests each time, unless the long profile asks for other ones."""
    profile = settings()
    return SchemathesisConfig.from_dict(
        {
            "base-url": url,
            "auth": {"openapi": {"token": {"bearer": token}}} if token else {},
            "continue-on-failure": True,
            "warnings": False,
            "phases": {name: {"enabled": name in phases} for name in PHASES},
            "generation": {
                "mode": "positive" if rightly else "all",
                "max-examples": 1 if rightly else profile.max_examples // SHARE,
                "deterministic": profile.derandomize,
                "database": "none",
                # Beyond it are characters that Unicode has not assigned: no line takes them, and no pattern names them.
                "codec": "latin-1",
                "no-shrink": True,
            },
        }
    )


def _note(found: Found, event: events.ScenarioFinished) -> None:
    for case_id, interaction in event.recorder.interactions.items():
        operation = event.recorder.cases[case_id].value.operation.label
        status = interaction.response.status_code if interaction.response else 0
        found.statuses[status] += 1
        found.requests[operation] += 1
        found.succeeded |= {operation} if 200 <= status < 300 else set()
        for check in event.recorder.checks.get(case_id, []):
            answer = interaction.response.content.decode(errors="replace") if interaction.response else ""
            if check.failure_info and not _is_known(check.name, answer):
                failure, sample = check.failure_info.failure, check.failure_info.code_sample
                found.failures.append(
                    f"{operation}: {check.name}: {failure.message}\n{sample}\n{status} {answer[:2_000]}"
                )


def _is_known(check: str, answer: str) -> bool:
    """Whether a right request was refused by a rule that no schema can hold."""
    if check != "positive_data_acceptance":
        return False
    refusal = json.loads(answer)
    return any(RULES.fullmatch(said) for said in [refusal["code"], *(e["detail"] for e in refusal.get("errors", []))])
