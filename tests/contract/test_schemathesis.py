"""Schemathesis over the whole API: no 5xx, answers as the document says, wrong requests refused, as each role.

What a request looks like is judged by the same code for whoever sends it. So each operation is asked everything, right
and wrong, by one of the roles that may and by one of those that may not; every other role asks it rightly.
`pytest tests/contract --hypothesis-profile=long` asks everything as every role, 25 times as much and other things each
time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings

from backend.actor import Role
from backend.api import RESOURCES
from backend.domain.identity.tokens import issue_token
from backend.web.endpoint import Operation
from tests.contract.described import described
from tests.contract.running import ONCE, Found, run
from tests.hospital import Hospital, now

OPERATIONS: dict[str, Operation] = {
    f"{resource.name}_{operation.route.__name__}": operation
    for resource in RESOURCES
    for operation in resource.operations
}
SIGN_IN = "tokens_sign_in"
ENDING = {"tokens_sign_out", "me_sign_out_everywhere", "me_change_password"}  # the sign-in that they came with
pytestmark = pytest.mark.timeout(3_600)  # the long profile


def chosen(which: Callable[[Operation], bool]) -> list[str]:
    """The operations that `which` says yes to, but for those that end the sign-in."""
    return [name for name, operation in OPERATIONS.items() if which(operation) and name not in ENDING]


def halves(names: list[str], role: Role, roles_of: Callable[[Operation], set[Role]]) -> tuple[list[str], list[str]]:
    """Of the operations `names` those that `role` asks everything, and those that it only asks rightly.

    The roles that `roles_of` an operation names take turns, from one operation to the next.
    """

    def is_turn_of(name: str) -> bool:
        turns = sorted(roles_of(OPERATIONS[name]))
        return turns[list(OPERATIONS).index(name) % len(turns)] is role

    everything = [name for name in names if is_turn_of(name) or not settings().derandomize]
    return everything, [name for name in names if name not in everything]


def labels(names: list[str]) -> set[str]:
    """The operations as the document writes them."""
    found = (OPERATIONS[name] for name in names)
    return {f"{operation.method} {operation.path.replace('<uuid:', '{').replace('>', '}')}" for operation in found}


def ensure_nothing_found(found: Found) -> None:
    """Every check of every answer passed."""
    assert not found.failures, "\n\n".join([f"{len(found.failures)} failures", *found.failures[:20]])


def _token_of(hospital: Hospital, login: str) -> str:
    """Of a sign-in with a second factor: without, nobody changes the factor that they have."""
    actor = replace(hospital.staff[login], second_factor=True)
    return hospital.run(lambda work: issue_token(work, actor=actor, now=now(), hours=1), actor).token


def asked(served: str, hospital: Hospital, role: Role, only: list[str], **options: Any) -> Found:
    """What was found when `role` asked for `only`, which must be nothing wrong."""
    token = _token_of(hospital, role.value)
    found = run(described(hospital, hospital.staff[role.value]), f"{served}/api/v1", token, only=only, **options)
    ensure_nothing_found(found)
    return found


@pytest.mark.parametrize("role", Role)
def test_what_a_role_may_do(served: str, furnished: Hospital, role: Role) -> None:
    """Every operation of the role is asked, its own half wrongly too, and each does what it is for at least once."""
    only = chosen(lambda operation: role in operation.roles)
    everything, rightly = halves(only, role, lambda operation: set(operation.roles))
    found = [
        asked(served, furnished, role, everything),
        asked(served, furnished, role, rightly, phases=ONCE, rightly=True),
    ]
    assert {name for each in found for name in each.succeeded} == labels(only)


@pytest.mark.parametrize("role", Role)
def test_what_a_role_may_not_do(served: str, furnished: Hospital, role: Role) -> None:
    only = chosen(lambda operation: role not in operation.roles)
    everything, rightly = halves(only, role, lambda operation: set(Role) - set(operation.roles))
    found = [
        asked(served, furnished, role, everything, phases=ONCE),
        asked(served, furnished, role, rightly, phases=ONCE, rightly=True),
    ]
    assert {name for each in found for name in each.requests} == labels(only)
    assert {name for each in found for name in each.succeeded} == set()


def test_without_a_sign_in(served: str, furnished: Hospital) -> None:
    only = chosen(lambda operation: True) + sorted(ENDING)
    found = run(described(furnished, furnished.nurse), f"{served}/api/v1", "", only=only, phases=ONCE)
    ensure_nothing_found(found)
    assert set(found.requests) == labels(only)
    assert found.succeeded == labels([SIGN_IN])


@pytest.mark.parametrize("name", sorted(ENDING))
def test_what_ends_the_sign_in(served: str, furnished: Hospital, name: str) -> None:
    token = _token_of(furnished, "nurse")
    found = run(described(furnished, furnished.nurse), f"{served}/api/v1", token, only=[name])
    ensure_nothing_found(found)
    assert found.succeeded == labels([name])
