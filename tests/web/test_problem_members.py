"""The public page of a problem type names the members of its document: those that the code sends, and no other."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import orjson
import pytest

import backend.cli
import backend.ui  # with the command line, every module that declares a problem type
from backend.domain.orders.errors import OrderAlreadyCompleted
from backend.errors import DomainError
from backend.web.problems import problem_types

# What a docstring may name besides members: the standard member, and fields that the next request should have.
NAMED_TOO = {"detail", "new_password", "otp", "witness"}
TREES = [ast.parse(path.read_text()) for path in sorted(Path(backend.__path__[0]).rglob("*.py"))]
TYPES = {problem.__name__: problem for problem in problem_types() if problem.__module__.startswith("backend.")}


def _sent() -> dict[str, set[str]]:
    """Return the members that the code gives to each problem type, by the name of its class."""
    sent: dict[str, set[str]] = {}
    for tree in TREES:
        for name, members in (*_raised(tree), *_added(tree)):
            sent.setdefault(name, set()).update(members)
    return sent


def _raised(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Yield the class and the keywords of each error that a module makes, also by `super().__init__` of the class."""
    owners = {
        id(inner): each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef) for inner in ast.walk(each)
    }
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        if isinstance(call.func, ast.Name) and call.func.id in TYPES:
            yield call.func.id, _keywords(tree, call)
        elif ast.unparse(call.func) == "super().__init__" and owners.get(id(call)) in TYPES:
            yield owners[id(call)], _keywords(tree, call)


def _keywords(tree: ast.Module, call: ast.Call) -> set[str]:
    """Return the names of a call's keywords; `**members_of(...)` has the keys that this function of the module uses."""
    names = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    for keyword in call.keywords:
        if keyword.arg is None and isinstance(keyword.value, ast.Call):
            function = ast.unparse(keyword.value.func)
            names |= next(_texts(each) for each in tree.body if getattr(each, "name", "") == function)
        elif keyword.arg is None:  # the members of an error of the same type, which is raised again with more
            assert ast.unparse(keyword.value).endswith(".members"), ast.unparse(call)
    return names


def _texts(function: ast.AST) -> set[str]:
    """Return the words that a function which builds members has as texts."""
    nodes = (node.value for node in ast.walk(function) if isinstance(node, ast.Constant))
    return {value for value in nodes if isinstance(value, str) and re.fullmatch(r"[a-z_]+", value)}


def _added(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Yield the class and the member that `except NAME as error: error.members["member"] = ...` adds."""
    for handler in ast.walk(tree):
        if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
            continue
        target = rf"{handler.name}\.members\['(\w+)'\] ="
        added = {found for line in handler.body for found in re.findall(target, ast.unparse(line))}
        for node in ast.walk(handler.type):
            if added and isinstance(node, ast.Name) and node.id in TYPES:
                yield node.id, added


SENT = _sent()


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_problem_page_names_the_members_that_are_sent(name: str) -> None:
    documented = set(re.findall(r"`([a-z_]+)`", TYPES[name].__doc__ or "")) - NAMED_TOO
    assert documented == SENT.get(name, set())


def test_every_way_of_sending_a_member_is_found() -> None:
    assert SENT["TooManyAttempts"] == {"retry_after_seconds"}  # by the class itself
    assert SENT["OrderAlreadyCompleted"] >= {"fulfilled_by", "fulfilled_at"}  # by a function
    assert SENT["LotNotAvailable"] == {"lot_status", "line"}  # added by who catches it
    assert SENT["InsufficientStock"] == {"requested_units", "available_units", "drug_id"}  # raised again with one more
    assert len([name for name, members in SENT.items() if members]) > 25


class Colour(StrEnum):
    """A member of an enum, as models have them."""

    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
        (datetime(2026, 1, 1, 12, 30, 15, 250, tzinfo=UTC), "2026-01-01T12:30:15.000250Z"),
        (date(2026, 1, 31), "2026-01-31"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Colour.RED, "red"),
        ([UUID(int=7)], ["00000000-0000-0000-0000-000000000007"]),
        (None, None),
        (3, 3),
    ],
)
def test_members_are_json_values_as_answers_write_them(value: object, text: object) -> None:
    error = OrderAlreadyCompleted(completed_at=value)
    assert type(error.members["completed_at"]) is type(text)
    assert error.members == {"completed_at": text}
    assert orjson.dumps(error.members) == orjson.dumps({"completed_at": value}, option=orjson.OPT_UTC_Z)


def test_no_problem_type_of_the_code_is_left_out() -> None:
    classes = [node for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    families = {DomainError.__name__, *TYPES}
    assert {node.name for node in classes if families & {ast.unparse(base) for base in node.bases}} == set(TYPES)
