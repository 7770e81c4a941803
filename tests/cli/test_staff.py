"""`valmed organization`, `ward` and `user` take what the API takes, and nothing else."""

import pytest

from backend.config import Config
from tests.api.valid_requests import everything
from tests.cli.running import Loaded
from tests.hospital import Hospital

PASSWORD = ("--password", "a phrase of many words")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ward", "create", "<slug>", ""), "Length must be between 1 and 100."),
        (("ward", "create", "<slug>", " 2 West"), "Blank at the beginning or end."),
        (("ward", "create", "<slug>", "2\nWest"), "Control characters"),
        (("user", "create", "<slug>", "nobody", "--name", "N", "--role", "nurse", *PASSWORD), "Not a valid email"),
        (("user", "create", "<slug>", " a@b.example", "--name", "N", "--role", "nurse", *PASSWORD), "Blank at"),
        (("user", "create", "<slug>", "a@b.example", "--name", "", "--role", "nurse", *PASSWORD), "Length must"),
        (("organization", "create", "another", "--name", "x" * 201), "Longer than 200 characters."),
    ],
)
def test_what_the_api_would_not_take_is_refused(
    hospital: Hospital, config: Config, valmed: Loaded, arguments: tuple[str, ...], said: str
) -> None:
    """Nobody could sign in with a blank before the email, or read a ward without a name."""
    before = everything(hospital)
    asked = (hospital.slug if argument == "<slug>" else argument for argument in arguments)
    done = valmed(*asked, database_url=config.database_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert everything(hospital) == before
