"""A provisioning that ends by a join and a registration: the engine, control, and a real sshd."""

import math
import socket
from dataclasses import replace
from uuid import uuid4

import pytest

from actors.control import errands as runner
from actors.control import joins
from actors.control.errand import Job, Means
from actors.drivers.deadline import Deadline
from actors.drivers.ssh_keys import Fresh
from config.clusters import Access, Infrastructure
from config.secrets import Secret
from models import join_steps, queries, workflows
from models.commands import errands, outcomes, providing
from models.commands import joins as told
from models.errands import Errand as Name
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.observations import Seen
from models.steps import Trait
from models.tables import Errand, Machine, Run, Workflow
from tests.actors.provider_lab import chosen_nothing
from tests.models import make
from tests.services import provider, pve
from tests.services.provider import TOKEN, answer

pytestmark = pytest.mark.services

RUN = Fresh.made()
SECRETS = {"PASSWORD": Secret(pve.PASSWORD), "T": Secret(TOKEN)}


@pytest.fixture(autouse=True)
def _joins(monkeypatch):
    """Have provisioning end by the steps of a join, as a host's does."""
    whole = workflows.TABLES[Kind.PROVISION]
    *before, last = whole.steps
    longer = replace(whole, steps=(*before, *join_steps.STEPS, last))
    monkeypatch.setattr(workflows, "TABLES", {**workflows.TABLES, Kind.PROVISION: longer})
    workflows._walked.cache_clear()
    providing.choose((), "prov.example", hosts={Trait.CLUSTER, Trait.INFRASTRUCTURE})
    yield
    chosen_nothing()
    workflows._walked.cache_clear()


@pytest.fixture
def service():
    with provider.running() as made:
        yield made


class Rebuilt(make.Scene):
    """A machine whose first boot has told that it is there."""

    def __init__(self, world, service):
        super().__init__()
        self.node = world.node("node-01", "127.0.0.81", f"{RUN.public} run")
        self.means = Means(
            resolvers={"env": SECRETS.__getitem__},
            cluster=Access(name="lab", password="env:PASSWORD"),
            infrastructure=Infrastructure(url=service.url, token="env:T"),
        )
        self.doers = {
            Name.CLUSTER_JOIN: joins.joiner(lambda _run: self._key(), self._connect),
            Name.INFRASTRUCTURE_REGISTER: joins.register,
        }

    def _key(self):
        return RUN.login("root").private_key

    def _connect(self, _address, _port, seconds):
        there = (self.node.sshd.address, self.node.sshd.port)
        return socket.create_connection(there, timeout=seconds)

    def begun(self):
        """Lead it to its first boot."""
        flow = self.provision()
        self.powered(flow)
        self.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED)
        key = self.node.sshd.keys["ed25519"]
        data = {"pub_key_ed25519": key}
        self.agent.report(Seen.PHONED_HOME, self.machine, run=self.view.run_id, data=data)
        return flow

    def do(self):
        """Do the errand that waits, as control does."""
        held = errands.take(self.doers)
        assert held is not None
        job = Job(held, Deadline.after(300), math.inf)
        ended = runner.Runner(self.means, self.doers)._done(job)
        outcomes.settle(held, ended, make.render)
        return ended


@pytest.fixture
def scene(db, pve_world, service):
    return Rebuilt(pve_world, service)


def test_a_host_is_ready_when_it_has_joined_and_is_registered_and_not_before(
    scene, pve_world, service
):
    flow = scene.begun()
    assert queries.workflow(flow).step.name == "joined"

    scene.do()
    assert queries.workflow(flow).step.name == "registered"
    assert scene.view.state is not State.ACTIVE
    scene.do()

    assert queries.workflow(flow).progress is Progress.SUCCEEDED
    assert scene.view.state is State.ACTIVE
    assert list(pve_world.cluster()["nodes"]) == ["node-01"]
    [host] = service.hosts.values()
    assert (host["hostname"], host["ip"]) == ("node-01", "10.77.0.10")


def test_a_registration_that_fails_is_told_tried_again_and_keeps_the_host_from_being_ready(
    scene, service
):
    flow = scene.begun()
    scene.do()
    service.faults += [answer(503), answer(422)]

    for words in ("answers 503", "answers 422"):
        scene.do()
        view = queries.workflow(flow)
        assert (view.step.name, view.progress) == ("registered", Progress.RUNNING)
        assert words in view.detail
        make.due_now(flow)
    scene.do()

    assert scene.view.state is State.ACTIVE


@pytest.mark.parametrize(
    ("joins", "names"),
    [
        ((), []),
        ([Trait.CLUSTER], ["joined"]),
        ([Trait.INFRASTRUCTURE], ["registered"]),
        ([Trait.CLUSTER, Trait.INFRASTRUCTURE], ["joined", "registered"]),
    ],
)
def test_a_workflow_walks_what_was_set_when_it_began(scene, joins, names):
    providing.choose((), "prov.example", hosts=joins)
    flow = scene.provision()
    chosen_nothing()

    table = workflows.of_params(Kind.PROVISION, Workflow.get_by_id(flow).params)

    assert [step.name for step in table.steps[-3:] if step.errand is not None] == names


def test_a_join_that_is_refused_fails_the_host_with_the_reason_and_leaves_the_lane(
    scene, pve_world, service
):
    (scene.node.pve / "corosync.conf").touch()
    flow = scene.begun()

    scene.do()

    view = queries.workflow(flow)
    assert view.progress is Progress.FAILED
    assert "node-01 has a corosync.conf already" in view.detail
    assert scene.view.state is State.FAILED
    assert not list(pve_world.folder.glob("*.cluster"))
    assert Errand.select().where((Errand.lane != "") & Errand.finished_at.is_null()).count() == 0


def test_a_host_whose_host_key_nobody_knows_is_not_logged_in_to(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED)
    scene.agent.report(Seen.PHONED_HOME, scene.machine, run=scene.view.run_id, data={})

    view = queries.workflow(flow)
    assert view.progress is Progress.FAILED
    assert "no host key" in view.detail


def test_the_next_host_joins_by_one_that_did_while_that_is_what_it_was(scene, pve_world):
    scene.begun()
    scene.do()
    unregistered = told.member(uuid4())
    scene.do()

    member = told.member(uuid4())
    key = " ".join(scene.node.sshd.keys["ed25519"].split()[:2])
    assert (member["address"], member["keys"], member["cluster"]) == ("10.77.0.10", [key], "lab")
    assert member["fingerprint"] == pve_world.cluster()["nodes"]["node-01"]["fp"]
    assert unregistered == member
    assert told.member(Run.get().id) == {}  # its own

    Machine.update(ssh_host_keys=[make.HOST_KEY]).where(Machine.id == scene.machine).execute()
    assert told.member(uuid4()) == {}


def test_a_cluster_that_was_made_before_the_first_join_failed_is_joined_by_the_next(scene):
    kept = scene.node.folder / "root/.ssh/authorized_keys2"
    kept.touch()
    kept.with_name(
        "authorized_keys2.sprout"
    ).mkdir()  # where the file without the key would be written
    scene.begun()

    ended = scene.do()

    member = told.member(uuid4())
    assert (ended.done, scene.view.state, ended.result["key_gone"]) == (False, State.FAILED, False)
    assert (member["address"], member["cluster"]) == ("10.77.0.10", "lab")
