"""Two processes with one agent's id, as control hears their hearts; the test turns the clock."""

from datetime import timedelta

import pytest

from models import queries
from models.commands import moves, rivals
from models.messages import Kind
from models.tables import Agent, Audit
from tests.models import make

pytestmark = pytest.mark.services


class Hearts:
    """Beats as any number of processes; *told* is what control said of it."""

    def __init__(self, monkeypatch):
        self.scene, self.passed = make.Scene(), 0.0
        right = moves.now
        monkeypatch.setattr(rivals, "now", lambda: right() + timedelta(seconds=self.passed))

    def beat(self, *lives, times=1, every=10.0):
        for _ in range(times):
            for life in lives:
                self.scene.agent.beat(incarnation=life)
            self.passed += every

    @property
    def told(self):
        said = self.scene.agent.heard(Kind.PLAN)
        return [body["rivals"] for body in said if "rivals" in body]

    @property
    def doubled(self):
        rows = Agent.select(Agent.doubled_at).where(Agent.id == self.scene.agent.id)
        return rows.get().doubled_at is not None


@pytest.fixture
def hearts(db, monkeypatch):
    return Hearts(monkeypatch)


def test_of_two_that_go_on_the_later_is_told_to_yield(hearts):
    hearts.beat("first", times=5)

    hearts.beat("first", "copy", times=5)

    assert hearts.told[0] == {"holds": "first", "yields": ["copy"]}
    [row] = Audit.select().where(Audit.action == "agent.doubled")
    assert (row.outcome, row.object_id) == ("refused", str(hearts.scene.agent.id))


def test_the_copies_are_seen_where_sites_are_looked_at(hearts):
    assert not queries.agents(hearts.scene.site)[0].doubled

    hearts.beat("first", "copy", times=5)

    assert queries.agents(hearts.scene.site)[0].doubled


@pytest.mark.parametrize("every", [0.0, 10.0])
def test_a_restart_is_no_rival(hearts, every):
    hearts.beat("before", times=10)

    hearts.beat("after", "before", "before", every=every)  # a beat that waited, and came twice
    hearts.beat("after", times=10)

    assert (hearts.told, hearts.doubled) == ([], False)


def test_a_site_that_starts_again_and_again_is_no_rival(hearts):
    for life in "abcdefgh":
        hearts.beat(life, times=2)

    assert (hearts.told, hearts.doubled) == ([], False)


def test_an_older_agent_that_says_nothing_of_its_lives_is_left_alone(hearts):
    hearts.scene.agent.beat()

    assert (hearts.told, hearts.doubled) == ([], False)
