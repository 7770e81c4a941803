"""Every setting of ValMed, with its unit and default, on one screen.

Decision: one frozen dataclass read once from `VALMED_*` variables. Because a setting that is read in the middle of
the code can neither be listed nor checked at start. Cost: a new setting is named twice, here and where it is used.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self
from urllib.parse import urlsplit

VERSION = "0.1.0"
PREFIX = "VALMED_"
LOAD_PREFIX = "VALMED_LOAD_"  # the load tests' own, read by load/


class ConfigError(Exception):
    """A setting is absent or cannot be right; the message names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings; `from_env` reads them, `replace` of dataclasses changes a copy.

    The pool figures are the budget of one application node and are shared out among its workers.
    """

    database_url: str = ""  # the database, as the user that owns and migrates it
    application_database_url: str = ""  # the same database as the role that serves; derived when empty
    application_role: str = "valmed_app"  # the role that serves: owns nothing, cannot bypass row-level security

    workers: int = 4  # gunicorn workers of this node
    pool_size: int = 20  # connections of this node
    pool_max_overflow: int = 10  # connections above pool_size, closed when idle
    pool_timeout_seconds: float = 30.0  # wait for a free connection, then 503
    pool_recycle_seconds: int = 1800  # age at which a connection is replaced
    connect_timeout_seconds: int = 5

    lock_timeout_ms: int = 3_000  # wait for a lane or a row, then 503
    statement_timeout_ms: int = 5_000
    idle_in_transaction_timeout_ms: int = 10_000
    report_timeout_ms: int = 20_000  # a statement of a drift run or an import of claims, and their wait for another
    retry_tries_max: int = 8  # attempts of one transaction after 40001 and 40P01
    retry_seconds_max: float = 3.0
    outcome_seconds_max: float = 10.0  # how long a lost COMMIT is looked for on new connections
    prepare_statements: bool = True  # PREPARE the fulfil path; off behind a transaction pooler

    token_hours: int = 12  # life of a bearer token: one shift
    account_failures_max: int = 10  # failed sign-ins to one account within the window, then 429
    address_failures_max: int = 100  # the same from one address: a hospital may be one address
    failure_window_minutes: int = 15
    proxies: int = 0  # reverse proxies in front, whose X-Forwarded-For names the address of a client
    request_seconds_max: float = 10.0  # for a request to arrive as a whole, then 408
    body_bytes_max: int = 1_048_576
    claims_bytes_max: int = 4_194_304  # an uploaded file of claims; `valmed claims import` takes any
    origin: str = ""  # where the pages' browsers find them, https://name; passkeys are bound to it, and off without it
    secret_key: str = ""  # signs cookies, seals searches; derived from the database's password when empty
    hsts_seconds: int = 31_536_000  # for which a browser that came by HTTPS refuses plain HTTP; 0 ends it
    board_cache_wards_max: int = 256  # MAR boards that one worker keeps
    demo: bool = False  # serve the demo's published sign-ins, and with secrets that can be guessed
    log_level: str = "INFO"
    log_file: str = ""  # append log lines to this file instead of standard output
    embedded_data_dir: str = ""  # the private PostgreSQL that stops together with the server (valmed demo)

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ, **changes: Any) -> Self:
        """The settings of the process environment, `changes` on top.

        Raises ConfigError for a value of the wrong type, an unknown `VALMED_` name or a figure out of range.
        """
        known = {PREFIX + field.name.upper(): field for field in fields(cls)}
        ours = (name for name in env if name.startswith(PREFIX) and not name.startswith(LOAD_PREFIX))
        unknown = sorted(name for name in ours if name not in known)
        if unknown:
            raise ConfigError(f"unknown setting {unknown[0]}; known are {', '.join(sorted(known))}")
        values = {
            field.name: _parse(name, type(field.default), env[name])
            for name, field in known.items()
            if env.get(name, "") != ""
        }
        return cls(**{**values, **changes}).checked()

    def checked(self) -> Self:
        """This configuration, or ConfigError for the first figure that cannot be right."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                continue
            if value < (0 if field.name in {"pool_max_overflow", "proxies", "hsts_seconds"} else 1):
                raise ConfigError(f"{PREFIX}{field.name.upper()} is {value}; it must be at least 1")
        if self.origin and not _is_origin(self.origin):
            raise ConfigError(
                f"{PREFIX}ORIGIN is {self.origin}; it must be https://name, or http://localhost for trials"
            )
        return self

    def per_worker(self) -> Self:
        """The share of one worker of the node's pool: at least one connection each."""
        return replace(
            self,
            pool_size=max(1, self.pool_size // self.workers),
            pool_max_overflow=self.pool_max_overflow // self.workers,
        )

    def connections_max(self) -> int:
        """The most connections that the workers of this node can have open together."""
        share = self.per_worker()
        return self.workers * (share.pool_size + share.pool_max_overflow)


def _is_origin(text: str) -> bool:
    """Whether browsers make passkeys for it: a host with a name, by HTTPS or this very machine, nothing after it."""
    try:
        parts = urlsplit(text)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return False
    name = parts.hostname or ""
    named = re.fullmatch(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?", name) is not None
    secure = parts.scheme == "https" or (parts.scheme == "http" and name == "localhost")
    return named and secure and text == f"{parts.scheme}://{name}{port}"


def _parse(name: str, kind: type, text: str) -> object:
    if kind is bool:
        if text.lower() not in {"0", "1", "true", "false"}:
            raise ConfigError(f"{name} is {text!r}; it must be 0 or 1")
        return text.lower() in {"1", "true"}
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{name} is {text!r}; it must be a number") from None
