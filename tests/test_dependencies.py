"""Whatever the code imports is declared in pyproject.toml, and has one version in .constraints.txt."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
OURS = {"backend", "load", "migrations", "tests", "valmed"}
TREES = {
    "backend": PROJECT["dependencies"],
    "migrations": PROJECT["dependencies"],
    "load": PROJECT["dependencies"] + EXTRAS["load"],
    "tests": PROJECT["dependencies"] + EXTRAS["demo"] + EXTRAS["test"],
    ".github": PROJECT["dependencies"] + EXTRAS["demo"] + EXTRAS["test"],
}


def _name(text: str) -> str:
    """Return the name of a requirement, written as all spellings of it are compared."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~;@ ]", text.strip(), maxsplit=1)[0]).lower()


def _imported(folder: str) -> set[str]:
    """Return the packages of others whose modules a folder's files import, by their first name."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
    return {name for name in found if name not in sys.stdlib_module_names and name not in OURS}


@pytest.mark.parametrize("folder", TREES)
def test_what_a_folder_imports_is_declared(folder: str) -> None:
    """A package of an extra that is not installed here is taken to have the name of its module."""
    declared = {_name(requirement) for requirement in TREES[folder]}
    distributions = packages_distributions()
    imported = {name: {_name(each) for each in distributions.get(name, [name])} for name in _imported(folder)}
    assert imported
    assert {name: packages for name, packages in imported.items() if not packages & declared} == {}


def test_whatever_is_declared_has_one_version() -> None:
    pinned = [_name(line) for line in (ROOT / ".constraints.txt").read_text().splitlines()]
    assert len(set(pinned)) == len(pinned)
    declared = {
        _name(each) for each in (*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra))
    }
    assert declared - {"valmed"} - set(pinned) == set()
