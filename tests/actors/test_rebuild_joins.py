"""A whole rebuild of a host of Proxmox VE, from the request until it is ready: what it boots and
calls over real HTTP, then its join over a real sshd, by the key that its answer held.
"""

import pytest

from models import host_log
from models.commands import providing, run_keys
from models.errands import Errand as Name
from models.host_events import Word
from models.lifecycle import State
from models.phases import ORDER
from models.steps import Trait
from models.tables import Errand, Machine, RunKey, Task, Workflow
from tests.actors.provider_lab import chosen_nothing
from tests.actors.rebuild_lab import Control, installed
from tests.models.test_proxmox import Host
from tests.pxe_stack import web
from tests.services import provider

pytestmark = pytest.mark.services


@pytest.fixture
def host(db, tmp_path):
    providing.choose((), "prov.example", hosts={Trait.CLUSTER, Trait.INFRASTRUCTURE})
    with web.serving(tmp_path) as site:
        yield Host(site)
    chosen_nothing()


@pytest.fixture
def service():
    with provider.running() as made:
        yield made


def test_a_host_is_rebuilt_joins_and_is_ready_and_its_key_is_nowhere(host, service, pve_world):
    Machine.update(server_type="minisforum-ms-01").execute()
    flow = host.rebuild()
    node = installed(host, pve_world)
    control = Control(pve_world, service=service)
    private = run_keys.private(host.plan.run).reveal()

    done = [control.do(), control.do()]

    assert done == [(Name.CLUSTER_JOIN, True), (Name.INFRASTRUCTURE_REGISTER, True)]
    assert Workflow.get_by_id(flow).state == "succeeded"
    assert host.view.state is State.ACTIVE
    assert service.hosts == {
        "4C4C4544": {
            "hostname": "pve1",
            "ip": host.plan.addressing.address,
            "hardware_id": "4C4C4544",
            "server_type": "7",
        }
    }
    assert list(pve_world.cluster()["nodes"]) == ["pve1"]
    assert host.plan.ssh_key.split()[1] not in node.root_keys()
    assert RunKey.select().count() == 0
    stored = [row.params for row in (*Errand.select(), *Task.select())]
    assert private not in str(stored)


def test_each_state_of_a_rebuild_is_told_once_and_in_order(host, service, pve_world):
    Machine.update(server_type="minisforum-ms-01").execute()
    flow = host.rebuild()
    installed(host, pve_world)
    control = Control(pve_world, service=service)
    control.do()
    control.do()

    told = host_log.since(0, limit=1000).told
    states = [each.data["state"] for each in told if each.word is Word.STATE]
    operations = [each.data for each in told if each.word is Word.OPERATION]
    assert states == [state.value for state in ORDER[1:]]
    assert operations[-1]["state"] == "succeeded"
    assert {each["operation_id"] for each in operations} == {str(flow)}


def test_a_host_whose_join_is_refused_has_failed_with_the_reason_and_its_key_is_nowhere(
    host, pve_world
):
    flow = host.rebuild()
    node = installed(host, pve_world)
    (node.pve / "corosync.conf").touch()
    control = Control(pve_world)

    assert control.do() == (Name.CLUSTER_JOIN, False)

    ended = Workflow.get_by_id(flow)
    assert (ended.state, host.view.state) == ("failed", State.FAILED)
    assert "pve1 has a corosync.conf already" in ended.detail
    assert control.do() == (Name.RUN_KEY_REMOVE, True)
    assert host.plan.ssh_key.split()[1] not in node.root_keys()
    assert RunKey.select().count() == 0


def test_without_a_cluster_a_host_is_ready_when_it_has_phoned_home(host, pve_world):
    chosen_nothing()
    flow = host.rebuild()

    installed(host, pve_world)

    assert Workflow.get_by_id(flow).state == "succeeded"
