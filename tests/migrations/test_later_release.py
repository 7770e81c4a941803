"""This release as the previous one: it serves, restarts and is deployed on a database that a later one has migrated."""

import urllib.request
from pathlib import Path

import pytest

from backend import create_app
from backend.config import Config
from backend.db import Database, migrate
from backend.db.provision import application_url
from backend.operations.proving.application import Node, NotStarted
from tests.hospital import open_hospital, sign_in
from tests.migrations.catalogue import ask, owner_of
from tests.waiting import PATIENCE_SECONDS

LATER = f"{int(migrate.newest()) + 1:04d}"


@pytest.fixture
def later_config(fresh_config: Config) -> Config:
    """A database that a later release has extended, as its migrations may."""
    with owner_of(fresh_config) as owner:
        ask(owner, "CREATE TABLE of_the_later_release (id uuid PRIMARY KEY)")
        ask(owner, "ALTER TABLE medication_orders ADD COLUMN of_the_later_release text")
        ask(owner, "UPDATE alembic_version SET version_num = %s", LATER)
    return fresh_config


def test_it_is_ready_and_fulfils(later_config: Config) -> None:
    app = create_app(later_config)
    database: Database = app.extensions["valmed"]
    assert app.test_client().get("/readyz").status_code == 200
    hospital = open_hospital(database)
    hospital.receive(2)
    assert sign_in(app, hospital, "nurse").post(f"/orders/{hospital.place()}/fulfill").status_code == 200
    database.engine.dispose()


def test_it_starts_anew_and_says_that_it_is_behind(later_config: Config, tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = {"VALMED_APPLICATION_DATABASE_URL": application_url(later_config).render_as_string(hide_password=False)}
    node = Node({**settings, "VALMED_WORKERS": "1"}, log)
    node.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.port}/readyz", timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200
    finally:
        node.stop()
    assert f"stands at {LATER}, of a later release" in log.read_text()


@pytest.mark.parametrize("stands", ["0001", "none-of-ours"])
def test_it_does_not_start_on_what_is_older_or_unknown(fresh_config: Config, tmp_path: Path, stands: str) -> None:
    with owner_of(fresh_config) as owner:
        ask(owner, "UPDATE alembic_version SET version_num = %s", stands)
    settings = {"VALMED_APPLICATION_DATABASE_URL": application_url(fresh_config).render_as_string(hide_password=False)}
    with pytest.raises(NotStarted, match=f"stands at {stands}, this code needs"):
        Node(settings, tmp_path / "log").start()


def test_its_upgrade_leaves_the_later_schema_alone(later_config: Config) -> None:
    said: list[str] = []
    migrate.upgrade(later_config, report=said.append)
    assert said == [f"A newer release has migrated this database to {LATER}; this code brings {migrate.newest()}."]
    assert migrate.current(later_config) == LATER
