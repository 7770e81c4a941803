"""Tables named in SQL text: no statement reaches a table that the layers of the code do not allow.

import-linter sees imports. A statement written as text names its tables without one, so it could hide a dependency that
runs upwards. This test maps each table to the package that declares its model, and holds the same layers for text.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from backend.domain.models import Base

ROOT = Path(__file__).parents[1]
DOMAIN = ROOT / "backend" / "domain"
READ = re.compile(r"\b(?:FROM|JOIN|USING)\s+(?:ONLY\s+)?([a-z_]+)")
WRITTEN = re.compile(r"(?:\bINSERT\s+INTO|\bUPDATE|\bDELETE\s+FROM)\s+(?:ONLY\s+)?([a-z_]+)")
# Whoever writes a table owns it, but for these (package, table), each with the reason.
WRITTEN_BY_OTHERS = {
    ("administrations", "medication_orders"): "each dose counts on its order, and the last one completes it",
}


def owners() -> dict[str, str]:
    """Map each table of the domain to the package that declares it."""
    return {
        mapper.local_table.name: mapper.class_.__module__.split(".")[2]
        for mapper in Base.registry.mappers
        if mapper.class_.__module__.startswith("backend.domain.")
    }


def tables_of_models() -> dict[str, str]:
    """Map the name of each model to its table."""
    return {mapper.class_.__name__: mapper.local_table.name for mapper in Base.registry.mappers}


def levels() -> dict[str, int]:
    """Map each package of the domain to its layer, the lowest 0, as pyproject.toml has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract.get("containers") == ["backend.domain"])
    return {name.strip(): level for level, row in enumerate(reversed(layers)) for name in row.split("|")}


def texts(tree: ast.Module) -> Iterator[str]:
    """The string constants of a module, but for its docstrings."""
    prose = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.value


def sources() -> Iterator[tuple[str, str, ast.Module]]:
    """The modules of the domain: file, package, tree."""
    for path in sorted(DOMAIN.rglob("*.py")):
        package = path.relative_to(DOMAIN).parts[0].removesuffix(".py")
        yield str(path.relative_to(ROOT)), package, ast.parse(path.read_text())


def named(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """Each (file, package, table) that SQL text of the domain names."""
    known = owners()
    for file, package, tree in sources():
        for text in texts(tree):
            yield from ((file, package, table) for table in pattern.findall(text) if table in known)


def written_in_core() -> Iterator[tuple[str, str]]:
    """Each (package, table) that `insert`, `update` or `delete` of SQLAlchemy names in the domain."""
    tables = tables_of_models()
    for _, package, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"insert", "update", "delete"}:
                model = getattr(node.args[0], "id", "")
                if model in tables:
                    yield package, tables[model]


def test_every_table_has_an_owner() -> None:
    assert set(owners()) == set(Base.metadata.tables) - {"idempotency_keys"}


def test_statements_read_their_own_tables_and_those_of_lower_layers() -> None:
    known, level = owners(), levels()
    upwards = {
        (file, table)
        for file, package, table in named(READ)
        if known[table] != package and level[known[table]] >= level[package]
    }
    assert upwards == set()


def test_statements_write_their_own_tables_only() -> None:
    known = owners()
    written = [*written_in_core(), *((package, table) for _, package, table in named(WRITTEN))]
    assert {table for _, table in written} >= {"medication_administrations", "stock_movements", "stock_lots", "users"}
    assert {(package, table) for package, table in written if known[table] != package} == set(WRITTEN_BY_OTHERS)
