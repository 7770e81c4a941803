"""A member of staff at a screen: signs in, asks, judges what comes back, asks again when the hospital is busy."""

import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import gevent  # type: ignore[import-untyped]
from locust import FastHttpUser
from locust.env import Environment
from locust.exception import StopUser

from load.scenarios.answers import Answer, Outcome, Question, WrongAnswer, expect, judge, read
from load.scenarios.outcomes import OUTCOMES, REFUSED
from load.scenarios.settings import SETTINGS

API = "/api/v1"
BUSY_TRIES_MAX = 5
RENEW_BEFORE = timedelta(minutes=5)  # of the end of the token
GIVEN_ALREADY = frozenset({"order_already_completed", "dose_already_given"})

log = logging.getLogger("valmed.load")


def thinking(low: float, high: float) -> Callable[[Any], float]:
    """The pause between two actions: `low` to `high` seconds times VALMED_LOAD_THINK."""
    return lambda _person: random.uniform(low, high) * SETTINGS.think


def ponder(low: float, high: float) -> None:
    """Waits inside an action as a person does."""
    gevent.sleep(random.uniform(low, high) * SETTINGS.think)


def new_key() -> str:
    """A new Idempotency-Key."""
    return uuid.uuid4().hex


class Person(FastHttpUser):
    """One simulated member of staff; subclasses say what they do all day."""

    abstract = True
    network_timeout = 60.0
    connection_timeout = 10.0
    logins = ""  # sign-in names, comma-separated; taken in turn

    _signed_in = 0  # of this class, so that the names are taken in turn

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        names = [name.strip() for name in self.logins.split(",") if name.strip()]
        self.login = names[type(self)._signed_in % len(names)]
        type(self)._signed_in += 1
        self.user_id = ""
        self._token = ""
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def on_start(self) -> None:
        """Signs in."""
        self.sign_in()

    def on_stop(self) -> None:
        """Signs out."""
        if self._token:
            self.ask(Question("DELETE", "/tokens/current", wants={204}))
            self._token = ""

    def sign_in(self) -> None:
        """A new token. Raises StopUser, after a failure, when the hospital does not let this person in."""
        self._token = ""
        credentials = {
            "organization": SETTINGS.organization,
            "email": SETTINGS.address(self.login),
            "password": SETTINGS.password,
        }

        def is_token(answer: Answer) -> None:
            expect(answer.body["token"] and answer.body["user"]["id"], "no token or user")

        answer = self.ask(Question("POST", "/tokens", wants={201}, json=credentials, check=is_token), patient=True)
        if not answer.done:
            log.error("%s cannot sign in to %s: %s", credentials["email"], SETTINGS.organization, answer.code)
            raise StopUser()
        self._token = answer.body["token"]
        self.user_id = answer.body["user"]["id"]
        self._renew_at = datetime.fromisoformat(answer.body["expires_at"]) - RENEW_BEFORE

    def ask(self, question: Question, *, key: str = "", patient: bool = False) -> Answer:
        """The answer to one request, judged and counted.

        A busy hospital is asked again, after its Retry-After, where that is safe: under a `key`, or when `patient`.
        """
        tries = BUSY_TRIES_MAX if key or patient else 1
        for attempt in range(1, tries + 1):
            answer = self._ask(question, key)
            if answer.outcome is not Outcome.BUSY or attempt == tries:
                break
            gevent.sleep(int(answer.headers["retry-after"]) * random.uniform(1, 2))
        return answer

    def _ask(self, question: Question, key: str) -> Answer:
        request_id = f"load-{new_key()}"
        headers = {"X-Request-ID": request_id, **question.headers, **self._authorization()}
        if key:
            headers["Idempotency-Key"] = key
        answer, outcome = Answer(0, b"", {}, None), Outcome.FAILED
        with self.client.request(
            question.method,
            API + question.path,
            name=API + (question.name or question.path),
            headers=headers,
            json=question.json,
            catch_response=True,
        ) as response:
            try:
                answer = read(response)
                outcome = judge(answer, question, request_id)
                response.success()
            except WrongAnswer as wrong:
                error = getattr(response, "error", None)
                response.failure(str(wrong) if answer.status else f"{wrong}: {error!r}")
                log.warning("%s %s, request %s: %s", question.method, question.path, request_id, wrong)
        answer = replace(answer, outcome=outcome)
        _count(answer)
        return answer

    def _authorization(self) -> dict[str, str]:
        if self._token and datetime.now(UTC) > self._renew_at:
            self.sign_in()
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def tap_twice(self, question: Question) -> Answer:
        """A double tap: the same request twice at once, under one key. One of them is done, the other replayed."""
        key = new_key()
        taps = [gevent.spawn(self.ask, question, key=key) for _ in range(2)]
        try:
            gevent.joinall(taps, raise_error=True)
        finally:
            gevent.killall(taps)
        answers: list[Answer] = [tap.get() for tap in taps]
        first, second = sorted(answers, key=lambda answer: (not answer.done, answer.replayed))
        if first.done and second.done:
            if first.raw != second.raw:
                self.report("double tap", "two answers under one key differ")
            elif not second.replayed:
                self.report("double tap", "one key was carried out twice")
        elif first.done and second.code in GIVEN_ALREADY:
            self.report("double tap", f"one key was carried out and then refused with {second.code}")
        return first

    def repeat(self, question: Question, before: Answer, *, key: str) -> None:
        """The same request once more, under the same key: must answer what it answered `before`, and nothing else."""

        def is_same(answer: Answer) -> None:
            expect(answer.replayed, "a repeated key without Idempotent-Replayed")
            expect(answer.raw == before.raw, "a replayed answer differs from the first")

        self.ask(replace(question, check=is_same, refusals=()), key=key)

    def find(self, path: str, text: str, *columns: str) -> list[dict[str, Any]]:
        """What the list at `path` finds for `text`; every row must hold it in one of `columns`."""

        def all_match(answer: Answer) -> None:
            for row in answer.body["items"]:
                found = any(text.lower() in row[column].lower() for column in columns)
                expect(found, f"{path} found what was not meant")

        query = f"{path}?q={quote(text)}"
        answer = self.ask(Question("GET", query, name=f"{path}?q=", check=all_match))
        return list(answer.body["items"]) if answer.done else []

    def report(self, what: str, wrong: str) -> None:
        """Counts a failure that is not about one request alone."""
        self.environment.events.request.fire(
            request_type="CHECK",
            name=what,
            response_time=0,
            response_length=0,
            exception=WrongAnswer(wrong),
            context={},
            start_time=time.time(),
        )


def _count(answer: Answer) -> None:
    if answer.outcome is Outcome.REFUSED:
        OUTCOMES.add(REFUSED + answer.code)
    elif answer.outcome is Outcome.BUSY:
        OUTCOMES.add("busy")
    elif answer.done and answer.replayed:
        OUTCOMES.add("replays")
