"""Whose hospital the load goes to and how hurried its people are: every `VALMED_LOAD_` variable, on one screen."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

PREFIX = "VALMED_LOAD_"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings; the defaults are the sample hospital of `valmed demo`."""

    organization: str = "riverside"
    password: str = "ward-demo-2026"  # noqa: S105 - published, and refused outside the demo
    domain: str = ""  # of the addresses that sign in; empty: `<organization>.example`
    nurses: str = "nurse,nurse2"  # sign-in names, shared out among the simulated nurses
    pharmacists: str = "pharmacist"
    doctors: str = "doctor"
    think: float = 1.0  # factor on the time between two actions: 1 as people are, 0 without a pause
    verify: str = ""  # the command after the run; empty: the `valmed verify` beside this Python; none: no command

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Self:
        """The settings of the environment. Raises SystemExit for one that is unknown or no number."""
        known = {PREFIX + name.upper(): name for name in cls.__dataclass_fields__}
        given = {name: text for name, text in env.items() if name.startswith(PREFIX) and text}
        if unknown := sorted(given.keys() - known.keys()):
            raise SystemExit(f"unknown setting {unknown[0]}; known are {', '.join(sorted(known))}")
        think = given.pop(PREFIX + "THINK", "1")
        try:
            return cls(think=max(0.0, float(think)), **{known[name]: text for name, text in given.items()})
        except ValueError:
            raise SystemExit(f"{PREFIX}THINK is {think!r}; it must be a number") from None

    def address(self, login: str) -> str:
        """The address that `login` signs in with."""
        return f"{login}@{self.domain or self.organization + '.example'}"


SETTINGS = Settings.from_env()
