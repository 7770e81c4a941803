"""A team for every test of this package."""

import pytest
from flask import Flask

from tests.domain.care_team.team import Team
from tests.hospital import Hospital


@pytest.fixture
def team(app: Flask, hospital: Hospital) -> Team:
    return Team(app, hospital)
