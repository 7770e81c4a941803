"""What `valmed serve` asks of its secrets before it answers anybody: that nobody guesses them."""

import os
from collections.abc import Iterator

from sqlalchemy.engine.url import URL

from backend.config import Config, ConfigError
from backend.db.engine import normalised_url
from backend.domain.identity.sign_in.leaked_passwords import why_guessable

KEY_LENGTH_MIN = 32
PASSWORD_LENGTH_MIN = 16  # whoever is given a cookie can try passwords at home: the key is derived from one
EXAMPLES = ("postgres", "postgresql", "database", "example", "change", "change-me", "choose-one", "please", "default")
ANEW = "`openssl rand -hex 32` makes one; VALMED_DEMO=1 serves all the same"


def ensure_secrets(config: Config) -> None:
    """Raises ConfigError for the signing key or a database password that is short, well known or made of names.

    A demonstration may have any. No password at all is the database's affair: a private socket asks for none.
    """
    if config.demo:
        return
    if config.secret_key:
        _ensure("VALMED_SECRET_KEY", config.secret_key, KEY_LENGTH_MIN, EXAMPLES)
    for name, url in _urls(config):
        password = str(url.password or os.environ.get("PGPASSWORD", ""))
        if password:
            about = (*EXAMPLES, *filter(None, (url.username, url.host, url.database)))
            _ensure(f"the password in {name}", password, PASSWORD_LENGTH_MIN, about)


def _urls(config: Config) -> Iterator[tuple[str, URL]]:
    if config.database_url:
        yield "VALMED_DATABASE_URL", normalised_url(config.database_url)
    if config.application_database_url:
        yield "VALMED_APPLICATION_DATABASE_URL", normalised_url(config.application_database_url)


def _ensure(name: str, secret: str, length: int, about: tuple[str, ...]) -> None:
    reason = f"it has fewer than {length} characters" if len(secret) < length else why_guessable(secret, about)
    if reason:
        raise ConfigError(f"{name} can be guessed: {reason}; {ANEW}")
