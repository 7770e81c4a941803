"""What the tests make for themselves goes again."""

import threading
from contextlib import closing

from sqlalchemy.engine.url import URL, make_url

from backend.config import Config
from backend.db import migrate
from backend.db.engine import normalised_url
from backend.db.provision import application_url, connect, provision_role
from tests.conftest import create_database, drop_database
from tests.migrations.catalogue import describe


def test_an_owner_who_may_not_end_a_session_waits_for_it_and_drops_the_database(owner_url: URL) -> None:
    config = create_database(owner_url)
    provision_role(config)
    session = connect(application_url(config))
    leaving = threading.Timer(0.5, session.close)
    leaving.start()

    drop_database(owner_url, config)

    leaving.join()
    with closing(connect(owner_url)) as connection, connection.cursor() as cursor:
        name = make_url(config.database_url).database
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,))
        assert cursor.fetchone() == (0,)


def test_a_copy_of_the_migrated_database_is_as_one_that_was_migrated(config: Config, empty_config: Config) -> None:
    migrate.upgrade(empty_config)
    copied, made = (describe(normalised_url(one.database_url)) for one in (config, empty_config))
    assert any(line.startswith(f"database: {config.application_role} ") for line in made)
    assert copied == made
