"""What `valmed tune` proposes adds up, whatever is planned on whatever host."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.cli.sizing import (
    AUTOVACUUM_WORKERS,
    GB,
    HASH_MEM_MULTIPLIER,
    MB,
    SESSION_BYTES,
    SPARE_CONNECTIONS,
    WORKER_BYTES,
    Advice,
    Hosts,
    Setting,
    Sizing,
    rounded,
    shown,
    size,
    workers_bounds,
)
from backend.config import Config, ConfigError
from backend.db.limits import Limits, ensure_pool_fits

HOSTS = Hosts(nodes=1, node_cores=2, server_cores=2, server_memory=16 * GB, shared=True)
LIMITS = Limits(max_connections=100, reserved=3)
DEFAULTS = {  # of PostgreSQL 18
    "max_connections": Setting(100, restart=True),
    "shared_buffers": Setting(128 * MB, "B", restart=True),
    "effective_cache_size": Setting(4 * GB, "B"),
    "work_mem": Setting(4 * MB, "B"),
    "maintenance_work_mem": Setting(64 * MB, "B"),
    "fsync": Setting("on"),
    "full_page_writes": Setting("on"),
    "synchronous_commit": Setting("on"),
    "max_wal_size": Setting(GB, "B"),
    "checkpoint_timeout": Setting(300, "s"),
    "checkpoint_completion_target": Setting(0.9),
    "wal_compression": Setting("off", choices=("pglz", "lz4", "on", "off")),
    "random_page_cost": Setting(4.0),
    "autovacuum": Setting("on"),
}

plans = st.builds(
    Config,
    workers=st.integers(1, 64),
    pool_size=st.integers(1, 500),
    pool_max_overflow=st.integers(0, 500),
)
servers = st.builds(
    Limits,
    max_connections=st.integers(20, 2_000),
    reserved=st.integers(0, 10),
    role=st.none() | st.integers(1, 2_000),
    database=st.none() | st.integers(1, 2_000),
)
machines = st.builds(
    Hosts,
    nodes=st.integers(1, 50),
    node_cores=st.integers(1, 64),
    server_cores=st.integers(1, 128),
    server_memory=st.integers(512 * MB, 512 * GB),
    shared=st.booleans(),
    solid_state=st.booleans(),
)


def named(sizing: Sizing) -> dict[str, Advice]:
    return {advice.name.removeprefix("VALMED_").lower(): advice for advice in (*sizing.application, *sizing.server)}


def followed(config: Config, limits: Limits, sizing: Sizing) -> tuple[Config, Limits, dict[str, Setting]]:
    """What is there once somebody has done all that was proposed."""
    proposed = named(sizing)
    settings = {name: replace(setting, value=proposed[name].proposed) for name, setting in DEFAULTS.items()}
    chosen = {name: int(proposed[name].proposed) for name in ("workers", "pool_size", "pool_max_overflow")}
    return (
        replace(config, **chosen),
        replace(limits, max_connections=int(proposed["max_connections"].proposed)),
        settings,
    )


@given(plans, servers, machines)
def test_what_is_proposed_is_what_serve_accepts_and_leaves_room_for_commands(
    config: Config, limits: Limits, hosts: Hosts
) -> None:
    sizing = size(config, limits, hosts, DEFAULTS)
    after, server, _ = followed(config, limits, sizing)

    if not any("do not fit: raise" in problem for problem in sizing.problems):
        ensure_pool_fits(after, server)
        assert hosts.nodes * after.connections_max() <= server.available
    opened = hosts.nodes * after.connections_max()
    assert opened + SPARE_CONNECTIONS <= server.max_connections - server.reserved
    assert opened == sizing.connections
    assert min(after.per_worker().pool_size, after.workers) >= 1


@given(plans, servers, machines)
def test_buffers_sessions_and_maintenance_leave_a_quarter_of_the_memory(
    config: Config, limits: Limits, hosts: Hosts
) -> None:
    sizing = size(config, limits, hosts, {name: replace(each, value=0.0) for name, each in DEFAULTS.items()})
    if sizing.problems:
        return
    proposed = {name: float(advice.proposed) for name, advice in named(sizing).items() if advice.unit == "B"}
    sessions = sizing.connections + SPARE_CONNECTIONS
    workers = int(named(sizing)["workers"].proposed) * WORKER_BYTES if hosts.shared else 0
    used = (
        proposed["shared_buffers"]
        + sessions * (SESSION_BYTES + HASH_MEM_MULTIPLIER * proposed["work_mem"])
        + (AUTOVACUUM_WORKERS + 1) * proposed["maintenance_work_mem"]
    )

    assert used <= 0.75 * max(hosts.server_memory / 2, hosts.server_memory - workers)


@given(plans, servers, machines)
def test_who_does_what_is_proposed_is_told_that_all_is_fine(config: Config, limits: Limits, hosts: Hosts) -> None:
    first = size(config, limits, hosts, DEFAULTS)
    after, server, settings = followed(config, limits, first)

    again = size(after, server, hosts, settings)

    assert [advice for advice in (*again.application, *again.server) if not advice.fine] == []
    assert again.problems == first.problems
    assert again.fine == (not first.problems)


def test_the_defaults_of_valmed_are_fine_on_two_cores_and_those_of_postgresql_are_not() -> None:
    sizing = size(Config(), LIMITS, HOSTS, DEFAULTS)

    assert all(advice.fine for advice in sizing.application)
    assert {advice.name: shown(advice.proposed, advice.unit) for advice in sizing.server if not advice.fine} == {
        "shared_buffers": "3GB",
        "work_mem": "48MB",
        "maintenance_work_mem": "768MB",
        "max_wal_size": "4GB",
        "wal_compression": "lz4",
        "random_page_cost": "1.1",
    }
    assert (sizing.connections, sizing.available, sizing.problems) == (28, 97, ())


def test_pools_are_lowered_before_the_server_is_asked_for_more() -> None:
    many = replace(HOSTS, nodes=6, node_cores=8, server_cores=16, server_memory=64 * GB, shared=False)

    lowered = named(size(Config(workers=8), LIMITS, many, DEFAULTS))
    assert (lowered["pool_size"].proposed, lowered["pool_max_overflow"].proposed) == (8, 0)
    assert lowered["max_connections"].fine

    raised = named(size(Config(workers=8), replace(LIMITS, max_connections=50), many, DEFAULTS | small(50)))
    assert raised["pool_size"].proposed == 8
    assert (raised["max_connections"].fine, raised["max_connections"].proposed) == (False, 70)


def small(connections: int) -> dict[str, Setting]:
    return {"max_connections": Setting(connections, restart=True)}


def test_what_no_setting_mends_is_a_problem() -> None:
    many = replace(HOSTS, nodes=30, server_cores=64)  # of two workers, which share what one pool would hold

    for_role = size(Config(), replace(LIMITS, role=20), many, DEFAULTS).problems
    assert for_role == ("120 connections do not fit: raise the CONNECTION LIMIT of the role above 20",)
    (of_memory,) = size(Config(), LIMITS, replace(many, server_memory=GB), DEFAULTS).problems
    assert "sessions do not fit into 1GB" in of_memory


def test_a_server_that_may_lose_what_it_answered_is_not_fine() -> None:
    for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
        advice = named(size(Config(), LIMITS, HOSTS, DEFAULTS | {name: Setting("off")}))[name]
        assert (advice.fine, advice.proposed) == (False, "on")


def test_storage_decides_what_a_random_page_costs() -> None:
    for solid_state, proposed in ((True, 1.1), (False, 4.0)):
        advice = named(size(Config(), LIMITS, replace(HOSTS, solid_state=solid_state), DEFAULTS))["random_page_cost"]
        assert (advice.proposed, advice.fine) == (proposed, not solid_state)


@pytest.mark.parametrize(
    ("limits", "available", "to_raise"),
    [
        (LIMITS, 97, "max_connections"),
        (replace(LIMITS, role=30), 30, "the CONNECTION LIMIT of the role"),
        (replace(LIMITS, role=40, database=30), 30, "the CONNECTION LIMIT of the database"),
    ],
)
def test_the_smallest_bound_is_the_one_that_is_named(limits: Limits, available: int, to_raise: str) -> None:
    assert limits.available == available
    ensure_pool_fits(Config(workers=1, pool_size=available, pool_max_overflow=0), limits)
    with pytest.raises(ConfigError, match=f"open {available + 1} connections .* allows {available}: .* {to_raise};"):
        ensure_pool_fits(Config(workers=1, pool_size=available, pool_max_overflow=1), limits)


@given(machines)
def test_a_node_has_at_least_one_worker_and_no_more_than_its_bound(hosts: Hosts) -> None:
    fewest, most = workers_bounds(hosts)
    assert 1 <= fewest <= most <= 64


@given(st.integers(1, 1 << 50))
def test_an_amount_is_rounded_down_by_less_than_half_and_shown_whole(amount: int) -> None:
    assert amount / 2 < rounded(amount) <= amount
    assert "." not in shown(rounded(amount) + MB - rounded(amount) % MB, "B")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(3 * GB, "B", "3GB"), (64 * MB, "B", "64MB"), (900, "s", "15min"), (45, "s", "45s"), (1.1, "", "1.1")],
)
def test_a_value_is_shown_as_the_configuration_file_has_it(value: float, unit: str, text: str) -> None:
    assert shown(value, unit) == text
