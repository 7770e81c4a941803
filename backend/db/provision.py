"""What must be there before the tables: the application role, and the URL it signs in with.

Decision: the operator gives one URL, the owner's, and ValMed makes the application role from it. Its password is
derived from the owner's, so that every process finds the same one and none stores it; an owner without a password
(a private socket) makes a role without one. Because a second secret that must be made, stored and rotated by hand is
what people skip. Cost: a hospital that wants its own role and password sets VALMED_APPLICATION_DATABASE_URL.
"""

import base64
import hashlib
import hmac
import os
from contextlib import closing
from typing import Any

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine.url import URL

from backend.config import Config, ConfigError
from backend.db.engine import normalised_url

ROLE_LOCK = 0x56616C52  # "ValR"
FLAGS = {  # of the application role: the column of pg_roles, its value and the word that gives it
    "rolcanlogin": (True, "LOGIN"),
    "rolsuper": (False, "NOSUPERUSER"),
    "rolbypassrls": (False, "NOBYPASSRLS"),
    "rolcreatedb": (False, "NOCREATEDB"),
    "rolcreaterole": (False, "NOCREATEROLE"),
    "rolreplication": (False, "NOREPLICATION"),
}
ROLE_FLAGS = " ".join(word for _, word in FLAGS.values())


class RoleProblem(ConfigError):
    """The application role is absent or too powerful, and this user may not mend it; the message says what to run."""


def application_url(config: Config) -> URL:
    """The URL of the application role: the given one, or the owner's with the role and its derived password."""
    if config.application_database_url:
        return normalised_url(config.application_database_url)
    owner = normalised_url(config.database_url)
    return owner.set(username=config.application_role, password=_derived_password(owner))


def application_role(config: Config) -> str:
    """The name of the role that serves: the one the application signs in as."""
    return application_url(config).username or config.application_role


def provision_role(config: Config) -> None:
    """Makes the application role of `config` or brings it in order. Raises RoleProblem with the statements to run."""
    owner = normalised_url(config.database_url)
    with closing(connect(owner)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user = %s", (application_role(config),))
        if cursor.fetchone() == (True,):
            raise RoleProblem(
                f"VALMED_DATABASE_URL signs in as the application role {application_role(config)}; "
                "it must be the user that owns the tables"
            )
        cursor.execute(f"SELECT pg_advisory_lock({ROLE_LOCK})")  # two deploys at once; released with the connection
        try:
            _ensure(cursor, application_url(config), derived=not config.application_database_url)
        except psycopg2.errors.InsufficientPrivilege as error:
            raise RoleProblem(_what_to_run(config, owner)) from error


def check_role(url: URL) -> None:
    """Raises RoleProblem unless `url` signs in and its role owns nothing and cannot bypass row-level security."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls, EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid)"
            " FROM pg_roles r WHERE rolname = current_user"
        )
        powerful, owns = cursor.fetchone() or (True, True)
    if powerful or owns:
        raise RoleProblem(
            f"the role {url.username} may not serve: it {'bypasses row-level security' if powerful else 'owns tables'}"
        )


def connect(url: URL) -> psycopg2.extensions.connection:
    """A plain autocommitting connection to `url`, for what is not the application's."""
    arguments: dict[str, Any] = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
    connection: psycopg2.extensions.connection = psycopg2.connect(**arguments, connect_timeout=5)
    connection.autocommit = True
    return connection


def create_database(superuser: URL, *, owner: str, database: str) -> None:
    """Makes `owner`, who is no superuser, and `database` on a private server, unless they exist."""
    with closing(connect(superuser)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (owner,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(owner)))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if cursor.fetchone() is None:
            names = (sql.Identifier(database), sql.Identifier(owner))
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))


def _ensure(cursor: psycopg2.extensions.cursor, url: URL, *, derived: bool) -> None:
    name, password = str(url.username), url.password
    role = sql.Identifier(name)
    cursor.execute(f"SELECT {', '.join(FLAGS)} FROM pg_roles WHERE rolname = %s", (name,))
    found = cursor.fetchone()
    if found is None:
        cursor.execute(sql.SQL(f"CREATE ROLE {{}} {ROLE_FLAGS}").format(role))
    # Only what is wrong: an owner who is no superuser may not even say NOSUPERUSER of a role that is none.
    elif wrong := [word for is_set, (wanted, word) in zip(found, FLAGS.values(), strict=True) if is_set != wanted]:
        cursor.execute(sql.SQL(f"ALTER ROLE {{}} {' '.join(wrong)}").format(role))
    chosen_here = found is None or derived  # a password that somebody else chose stays
    if password and chosen_here and not _signs_in(url):
        cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))


def _signs_in(url: URL) -> bool:
    """Whether the role's password is right already: an upgrade that changes nothing writes nothing."""
    try:
        connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def _derived_password(owner: URL) -> str | None:
    secret = owner.password or os.environ.get("PGPASSWORD", "")
    if not secret:
        return None
    digest = hmac.digest(str(secret).encode(), b"valmed application role", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _what_to_run(config: Config, owner: URL) -> str:
    role = application_role(config)
    url = owner.set(drivername="postgresql", username=role, password="choose-one")  # noqa: S106 - a word to replace
    return (
        f"the database user {owner.username} may not create or change roles. As a superuser run, in psql:\n"
        f"  CREATE ROLE {role} {ROLE_FLAGS} PASSWORD 'choose-one';\n"
        f"  GRANT CONNECT ON DATABASE {owner.database} TO {role};\n"
        f"(ALTER ROLE instead of CREATE ROLE if it exists), then set\n"
        f"  VALMED_APPLICATION_DATABASE_URL={url.render_as_string(hide_password=False)}\n"
        "and run the command again."
    )
