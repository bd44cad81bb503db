"""Two agents at a site, real control, real broker: one dies, the other takes over."""

import pytest

from models.commands.tasks import RENEWED_S
from tests.faults import failover
from tests.services import postgres, rabbitmq

SLACK_S = 25
"""For a reaper's look, a grant and a power-on on a machine that is shared."""


@pytest.mark.services
@pytest.mark.timeout(300)
def test_a_killed_agents_task_is_granted_elsewhere_when_its_lease_is_over_and_ends(tmp_path):
    with (
        rabbitmq.running(tmp_path / "rabbit") as broker,
        postgres.running(durable=False) as cluster,
    ):
        found = failover.measure(tmp_path, cluster.fresh_database(), broker.url)

    agents, epochs, states = zip(*found.grants, strict=True)
    assert len(set(agents)) == 2
    assert list(epochs) == [1, 2]
    assert list(states) == ["lost", "done"]
    assert found.granted_s < RENEWED_S + SLACK_S
