"""Tall man letters stand out where a name is listed, and change nothing else."""

import pytest

from backend.domain.formulary.tall_man import tall_man


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Hydralazine", "hydrALAZINE"),
        ("HYDROXYZINE pamoate 25", "hydrOXYzine pamoate 25"),
        ("Prednisolone", "prednisoLONE"),
        ("Methylprednisolone", "methylPREDNISolone"),
        ("Dopamine/Dobutamine", "DOPamine/DOBUTamine"),
        ("Amoxicillin", "Amoxicillin"),
        ("Dopaminex", "Dopaminex"),
    ],
)
def test_a_listed_name_is_shown_by_its_difference(name: str, shown: str) -> None:
    assert tall_man(name) == shown
    assert tall_man(shown) == shown
