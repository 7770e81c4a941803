"""Which secrets `valmed serve` refuses outside a demonstration."""

from dataclasses import replace

import pytest

from backend.cli.strength import ensure_secrets
from backend.config import Config, ConfigError

RANDOM = "9f8b1c2d7e6a5f40"


def served_with(password: str, **changes: object) -> Config:
    """Settings whose application signs in with `password`."""
    given = f":{password}" if password else ""
    return Config(application_database_url=f"postgresql://valmed_app{given}@db.example/valmed", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "password",
    [
        *("secret", "postgres", "valmed", "password", RANDOM[:-1], "valmed_app_valmed_app", "postgrespostgres"),
        *(
            "change-me-please",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "1qaz2wsx3edc4rfv",
            "123456789987654321",
            "db.example-valmed",
        ),
    ],
)
def test_a_database_password_that_can_be_guessed_is_refused(password: str) -> None:
    for config in (served_with(password), Config(database_url=served_with(password).application_database_url)):
        with pytest.raises(ConfigError, match="can be guessed") as refused:
            ensure_secrets(config)
        assert len(password) < 9 or password not in str(refused.value)
        ensure_secrets(replace(config, demo=True))


def test_a_password_of_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_secrets(served_with(""))
    monkeypatch.setenv("PGPASSWORD", "postgres")
    with pytest.raises(ConfigError, match="can be guessed"):
        ensure_secrets(served_with(""))


@pytest.mark.parametrize("key", ["secret", RANDOM, "x" * 64, "change-me-change-me-change-me-change-me"])
def test_a_key_is_long_and_of_no_pattern(key: str) -> None:
    ensure_secrets(served_with(RANDOM, secret_key=RANDOM * 2))
    with pytest.raises(ConfigError, match="VALMED_SECRET_KEY can be guessed"):
        ensure_secrets(served_with(RANDOM, secret_key=key))
