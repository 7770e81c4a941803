"""`valmed tune`: settings of ValMed and of PostgreSQL that add up; nothing is changed."""

import json
import re
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import click
import psycopg2.extensions
from sqlalchemy.engine.url import URL

from backend.cli import machine
from backend.cli.connection import configured, data_dir_option
from backend.cli.sizing import GB, MB, Advice, Hosts, Setting, Sizing, shown, size
from backend.config import ConfigError
from backend.db.engine import normalised_url
from backend.db.limits import Limits, read_limits
from backend.db.provision import application_role, connect

UNITS = {"B": (1, "B"), "kB": (1024, "B"), "8kB": (8192, "B"), "MB": (MB, "B"), "ms": (0.001, "s"), "s": (1, "s")}
UNITS |= {"min": (60, "s")}
MEMORY = re.compile(r"(\d+)\s*(MB|GB)", re.IGNORECASE)
_SETTINGS = "SELECT name, setting, unit, vartype, enumvals, context = 'postmaster' FROM pg_settings"


class Memory(click.ParamType[int]):
    """An amount such as 16GB, in bytes."""

    name = "MEMORY"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes of `value`; anything but a number of MB or GB is a wrong use."""
        found = MEMORY.fullmatch(str(value).strip())
        if found is None or int(found[1]) == 0:
            self.fail(f"{value!r} is no amount such as 16GB or 512MB", param, ctx)
        return int(found[1]) * {"MB": MB, "GB": GB}[found[2].upper()]


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), help="Planned for each node; VALMED_WORKERS if not given.")
@click.option("--nodes", type=click.IntRange(1, 1_000), default=1, show_default=True, help="That run `valmed serve`.")
@click.option("--node-cores", type=click.IntRange(1, 1_024), help="Of one node; this machine's if not given.")
@click.option("--memory", type=Memory(), help="Of PostgreSQL's host, such as 16GB; this machine's where it is local.")
@click.option("--cores", type=click.IntRange(1, 1_024), help="Of PostgreSQL's host; this machine's where it is local.")
@click.option("--storage", type=click.Choice(["ssd", "disk"]), default="ssd", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON: bytes and seconds.")
@data_dir_option
def tune(
    workers: int | None,
    nodes: int,
    node_cores: int | None,
    memory: int | None,
    cores: int | None,
    storage: str,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Propose settings of ValMed and PostgreSQL that add up, and say which of the present ones will do."""
    with configured(data_dir, as_owner=False) as config:
        planned = replace(config, workers=workers or config.workers)
        url = normalised_url(config.database_url or config.application_database_url)
        hosts = _hosts(is_local(url), nodes, node_cores, memory, cores, storage)
        with closing(connect(url)) as connection:
            limits = read_limits(connection, application_role(config))
            settings = read_settings(connection)
    sizing = size(planned, limits, hosts, settings)
    click.echo(json.dumps(_as_dict(sizing, limits, hosts), indent=2) if as_json else _as_text(sizing, limits, hosts))


def is_local(url: URL) -> bool:
    """Whether the server of `url` runs on this machine: by a socket or a loopback address."""
    host = str(url.host or url.query.get("host", ""))
    return not host or host.startswith("/") or host in {"localhost", "127.0.0.1", "::1"}


def read_settings(connection: psycopg2.extensions.connection) -> dict[str, Setting]:
    """Every setting of the connected server. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(_SETTINGS)
        return {name: _setting(*rest) for name, *rest in cursor.fetchall()}


def _setting(text: str, unit: str | None, kind: str, choices: list[str] | None, restart: bool) -> Setting:
    factor, base = UNITS.get(unit or "", (1, ""))
    value: str | float = text
    if kind == "integer":
        value = int(text) * factor
    elif kind == "real":
        value = float(text) * factor
    return Setting(value, base, tuple(choices or ()), restart)


def _hosts(
    local: bool, nodes: int, node_cores: int | None, memory: int | None, cores: int | None, storage: str
) -> Hosts:
    """What was given, else this machine's. Raises ConfigError where that is not the server's."""
    if not local and (memory is None or cores is None):
        raise ConfigError("PostgreSQL runs on another host: say its --memory, such as 16GB, and its --cores")
    return Hosts(
        nodes=nodes,
        node_cores=node_cores or machine.cores(),
        server_cores=cores or machine.cores(),
        server_memory=memory or machine.memory_bytes(),
        shared=local,
        solid_state=storage == "ssd",
    )


def _as_dict(sizing: Sizing, limits: Limits, hosts: Hosts) -> dict[str, object]:
    return {"hosts": asdict(hosts), "limits": asdict(limits), **asdict(sizing), "fine": sizing.fine}


def _as_text(sizing: Sizing, limits: Limits, hosts: Hosts) -> str:
    lines = [
        f"PostgreSQL's host: cores {hosts.server_cores}, memory {hosts.server_memory / GB:.1f} GB"
        f"{', shared with the workers' if hosts.shared else ''}. Nodes: {hosts.nodes}, cores {hosts.node_cores} each.",
        "",
        f"{'':8}{'ValMed, each node':<30}{'now':>9}  {'proposed':>9}  why",
        *map(_line, sizing.application),
        "",
        f"{'':8}{'PostgreSQL':<30}{'now':>9}  {'proposed':>9}  why",
        *map(_line, sizing.server),
        "",
        f"All pools together open {sizing.connections} of the {sizing.available} connections that the application "
        f"may have (now: {limits.available}).",
        *(f"PROBLEM: {problem}" for problem in sizing.problems),
    ]
    changes = [advice for advice in sizing.server if not advice.fine]
    if changes:
        lines += ["", "As a superuser, in psql:", *map(_statement, changes), "  SELECT pg_reload_conf();"]
    return "\n".join(lines)


def _line(advice: Advice) -> str:
    state = "ok" if advice.fine else "change"
    now, proposed = (shown(value, advice.unit) for value in (advice.present, advice.proposed))
    return f"{state:<8}{advice.name:<30}{now:>9}  {proposed:>9}  {advice.reason}"


def _statement(advice: Advice) -> str:
    note = "  -- after a restart" if advice.restart else ""
    return f"  ALTER SYSTEM SET {advice.name} = '{shown(advice.proposed, advice.unit)}';{note}"
