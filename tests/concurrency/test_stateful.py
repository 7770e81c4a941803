"""Anything in any order, alone and many at once: whatever is done or refused, stock and orders agree."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from backend.config import Config
from backend.db import Database
from backend.db.engine import normalised_url
from backend.domain.models import Base
from backend.operations.verification.verify import verify
from tests.concurrency.random_acts import ACTS, UNITS_MAX, World
from tests.concurrency.threads import together

pytestmark = pytest.mark.concurrency
AT_ONCE_MAX = 8
# The same days in every run: what fails here fails again at home, and Phase.shrink then looks for a shorter day. With
# derandomize=False it looks for new ones.
DAYS = settings(
    max_examples=8,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
NAMES = st.sampled_from(sorted(ACTS))
PICKS = st.integers(0, 99)
UNITS = st.integers(1, UNITS_MAX)
MORNING = (("receive", 9), ("receive", 9), ("place", 3), ("request", 4), ("dispatch", 4), ("arrive", 3))


class Day(RuleBasedStateMachine):
    """A day of a hospital; the class of each test says where and counts what was done."""

    config: Config
    database: Database
    done: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.database)

    @initialize()
    def stock_the_wards(self) -> None:
        """Else half of every day would be refused."""
        for pick in range(4):
            for name, units in MORNING:
                self.world.act(name, pick, units)

    @rule(name=NAMES, pick=PICKS, units=UNITS)
    def do(self, name: str, pick: int, units: int) -> None:
        """One act alone."""
        self.world.act(name, pick, units)

    @invariant()
    def levels_are_their_lots(self) -> None:
        """The whole proof comes at the end of the day; this names the step."""
        assert (
            self.world.hospital.rows(
                "SELECT v.id FROM stock_levels v WHERE on_hand_units <> (SELECT coalesce(sum(quantity_units), 0)"
                " FROM stock_lots p WHERE p.ward_id = v.ward_id AND p.drug_id = v.drug_id)"
            )
            == []
        )

    def teardown(self) -> None:
        """The proof that anyone can run."""
        self.done.update(self.world.done)
        slug = self.world.hospital.slug
        findings = verify(normalised_url(self.config.database_url), Base.metadata, organization=slug)
        assert {finding.organization for finding in findings} == {"", slug}
        assert [f"{f.invariant.title}: {f.rows}" for f in findings if f.broken] == []


class BusyDay(Day):
    """The same with up to eight acts at the same moment."""

    @rule(acts=st.lists(st.tuples(NAMES, PICKS, UNITS), min_size=2, max_size=AT_ONCE_MAX))
    def do_at_once(self, acts: Sequence[tuple[str, int, int]]) -> None:
        """Several acts, each in a thread of its own."""
        together(*(lambda one=one: self.world.act(*one) for one in acts))

    @rule(name=NAMES, pick=PICKS, units=UNITS)
    def do_the_same_at_once(self, name: str, pick: int, units: int) -> None:
        """A tap that everybody makes."""
        together(*[lambda: self.world.act(name, pick, units)] * AT_ONCE_MAX)


def _spend(kind: type[Day], config: Config, database: Database) -> Counter[str]:
    spent = type(kind.__name__, (kind,), {"config": config, "database": database, "done": Counter()})
    run_state_machine_as_test(spent, settings=DAYS)
    return spent.done


def test_any_day_ends_in_a_clean_proof(config: Config, database: Database) -> None:
    done = _spend(Day, config, database)
    assert set(ACTS) - set(done) == set(), "each act was done at least once"


def test_any_busy_day_ends_in_a_clean_proof(config: Config, database: Database) -> None:
    done = _spend(BusyDay, config, database)
    assert set(ACTS) - set(done) == set(), "each act was done at least once"
