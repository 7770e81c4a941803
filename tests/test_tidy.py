"""What keeps the code readable and no linter can hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "backend").rglob("*.py"))
TESTED = [*SOURCES, *sorted((ROOT / "load").rglob("*.py")), *sorted((ROOT / "migrations").rglob("*.py"))]
LONG_STILL = {  # files that are to be parted, and may not grow
    "tests/api/custody_requests.py": 420,
    "tests/api/test_contract.py": 520,
    "tests/api/test_pages.py": 500,
    "tests/day.py": 440,
    "tests/db/test_explain.py": 500,
    "tests/domain/administrations/test_board.py": 540,
    "tests/migrations/test_live_indexes.py": 440,
    "tests/migrations/test_migrations.py": 460,
    "tests/operations/embedded/test_server.py": 520,
    "tests/operations/verification/test_verification.py": 600,
    "tests/ui/test_moves.py": 420,
    "tests/ui/test_stock.py": 480,
}
FILE_LINES_MAX, FUNCTION_LINES_MAX = 400, 70
SERVED_COLUMNS_MAX = 140  # of templates, styles and scripts, which ruff does not read
BANNED_NAMES = {"utils", "util", "helpers", "common", "manager", "misc", "handlers", "services"}


def _trees(paths: list[Path]) -> Iterator[tuple[str, ast.Module]]:
    for path in paths:
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def test_files_stay_short() -> None:
    files = [*TESTED, *sorted((ROOT / "tests").rglob("*.py"))]
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {path: lines for path, lines in sizes.items() if lines > LONG_STILL.get(path, FILE_LINES_MAX)} == {}


def test_lines_of_templates_styles_and_scripts_stay_short() -> None:
    served = [path for suffix in ("css", "html", "mjs") for path in (ROOT / "backend/ui").rglob(f"*.{suffix}")]
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in served
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > SERVED_COLUMNS_MAX
    ]
    assert len(served) > 60
    assert long == []


def test_functions_stay_short_but_for_the_tables_of_a_migration() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in _trees(TESTED)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
        and "migrations/versions" not in name
    ]
    assert long == []


def test_only_the_database_module_opens_and_ends_transactions() -> None:
    """`transact` is the one place; sample data and the read-only proof use connections of their own, without commit."""
    calls = [
        f"{name}:{node.lineno}"
        for name, tree in _trees([path for path in SOURCES if "backend/db/" not in str(path)])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"commit", "rollback", "begin", "begin_nested"}
    ]
    assert calls == []


def test_nothing_has_a_name_that_says_nothing() -> None:
    assert [str(path) for path in TESTED if path.stem in BANNED_NAMES or path.parent.name in BANNED_NAMES] == []


def test_tables_are_declared_in_models_and_nowhere_else() -> None:
    """One exception: the row that makes a request repeatable belongs to the database module, below every domain."""
    declared = {
        name
        for name, tree in _trees(SOURCES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__tablename__" for t in node.targets)
    }
    assert {name for name in declared if not name.endswith("/models.py")} == {"backend/db/idempotency.py"}
    packages = {path.split("/")[2] for path in declared}
    assert packages >= {"audit", "formulary", "identity", "orders", "organizations", "patients", "stock"}


def test_queries_only_read() -> None:
    writing = {"bump", "delete", "insert", "update"}
    writers = [
        f"{name}:{node.lineno}"
        for name, tree in _trees([path for path in SOURCES if path.stem.endswith("queries")])
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & writing
    ]
    assert writers == []
    assert [path for path in SOURCES if path.stem.endswith("queries")] != []


@pytest.mark.parametrize(
    ("by_hand", "helper"),
    [
        (r"version=(\w+)\.version \+ 1", "bump"),
        (r"\.organization_id == \w+\.organization_id\) & \(\w+\.(id == |\w+ == \w+\.id\b)", "same_hospital"),
        (r"class NotOnThisWard", "ensure_of_ward"),
    ],
)
def test_what_has_a_helper_is_not_written_by_hand(by_hand: str, helper: str) -> None:
    """Where a join forgets the hospital or a change the version, the reader should not have to look twice."""
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in SOURCES}
    homes = {path for path, text in texts.items() if f"def {helper}(" in text}
    assert len(homes) == 1
    assert {path for path, text in texts.items() if re.search(by_hand, text)} - homes == set()


def test_no_file_names_the_host_of_a_package_registry() -> None:
    """A checkout installs from wherever its user's tools look."""
    hosts = (
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "npmjs" + ".org",
        "extra-index" + "-url",
        "index" + "-url",
    )
    suffixes = {"", ".cfg", ".ini", ".json", ".mako", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}
    visible = (
        path for path in ROOT.rglob("*") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    )
    files = [path for path in visible if path.is_file() and path.suffix in suffixes]
    assert ROOT / "pyproject.toml" in files
    told = [f"{path}: {host}" for path in files for host in hosts if host in path.read_text()]
    assert told == []


def test_whatever_is_public_says_what_it_is() -> None:
    silent = [
        f"{name}:{getattr(node, 'lineno', 1)} {getattr(node, 'name', 'module')}"
        for name, tree in _trees(SOURCES)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and not getattr(node, "name", "").startswith("_")
        and not ast.get_docstring(node)
        and not _is_inner(tree, node)
    ]
    assert silent == []


def _is_inner(tree: ast.Module, node: ast.AST) -> bool:
    """Whether `node` is defined inside a function."""
    return any(
        node in ast.walk(outer) and node is not outer
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef) and outer is not node
    )


@pytest.mark.parametrize("word", ["TODO", "FIXME", "NotImplemented", "MagicMock", "mock.patch"])
def test_nothing_is_left_for_later_and_nothing_is_mocked(word: str) -> None:
    paths = [*TESTED, *(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))]
    assert [str(path) for path in paths if word in path.read_text()] == []


def test_every_guarantee_of_the_readme_names_tests_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    everything = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    names = set(re.findall(r"`(test_\w+)`", readme))
    assert names
    assert sorted(name for name in names if f"def {name}(" not in everything) == []
    links = set(re.findall(r"\]\(((?:tests|backend|migrations|load|docker)[^)#]*)\)", readme))
    assert sorted(link for link in links if not (ROOT / link).exists()) == []


def test_every_row_of_the_security_table_has_its_test_or_its_reason() -> None:
    section = (ROOT / "README.md").read_text().split("\n## Security\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    assert 30 < len(rows) <= 45
    assert [row[0] for row in rows if len(row) != 3] == []
    assert [row[0] for row in rows if not re.search(r"`test_\w+`|\]\(tests/\S+\)|reason: \w+", row[2])] == []
    chapters = {number for row in rows for number in re.findall(r"\b(\d+)\.\d", row[0])}
    assert chapters >= {str(chapter) for chapter in range(2, 15)}


def test_no_text_refers_to_a_document_that_is_not_here() -> None:
    documents = {path.name for path in ROOT.rglob("*.md") if ".venv" not in str(path)}
    rows_of_papers = r"\b[Mm]ission row|\b[Rr]ow [A-D][0-9]"
    found = {
        f"{path.relative_to(ROOT)}: {told}"
        for path in [*TESTED, *(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))]
        for told in re.findall(rf"\b[\w-]+\.md\b|{rows_of_papers}", path.read_text())
        if told not in documents
    }
    assert found == set()


def test_every_setting_is_in_the_readme() -> None:
    from backend.config import Config

    readme = (ROOT / "README.md").read_text()
    words = set(re.findall(r"VALMED_[A-Z_]+|`_[A-Z_]+`", readme))
    named = {word.strip("`") for word in words}
    settings = {f"VALMED_{field.upper()}" for field in Config.__dataclass_fields__ if field != "embedded_data_dir"}
    missing = {s for s in settings if s not in named and not any(s.endswith(n) for n in named if n.startswith("_"))}
    assert missing == set()


def test_imports_go_one_way() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
