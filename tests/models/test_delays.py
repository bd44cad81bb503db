"""Files that lie elsewhere, and what is told while something is waited for."""

from datetime import UTC, datetime, timedelta

import pytest

from models import queries
from models.commands import asks, delays, walks
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.messages import Kind as MessageKind
from models.observations import Seen
from models.tables import Workflow
from models.why import why
from tests.models import make

pytestmark = pytest.mark.services

BUSY = {"reason": "debian/disk.raw is being fetched from mirror.example: 1 of 9 MiB", "grows": True}
AWAY = {"reason": "debian/disk.raw cannot be fetched now: mirror.example answers 503"}
SUMS = {"vmlinuz": "a" * 64, "initrd.img": "b" * 64, "disk.raw": "c" * 64}
IPXE = {"reason": "iPXE could not get past its kernel: 0x2d0c613b", "stage": "kernel"}


@pytest.fixture
def scene(db):
    return make.Scene()


def sentence(scene):
    agents, timeline = queries.agents(scene.site), queries.timeline(scene.machine)
    return why(scene.view, agents, timeline, datetime.now(UTC)).sentence


def tell(scene, kind, data):
    scene.agent.report(kind, scene.machine, run=scene.view.run_id, data=data)


def age(flow, seconds):
    """Let *flow*'s step have begun *seconds* earlier."""
    row = Workflow.get_by_id(flow)
    row.begun_at -= timedelta(seconds=seconds)
    row.deadline_at -= timedelta(seconds=seconds)
    row.wake_at = row.deadline_at
    row.save()


# --- a BMC that is silent ---

SILENT = "the BMC at 10.0.0.5 did not answer 3 times; it is asked again in 10 s"


def test_why_says_that_a_bmc_is_left_alone_while_it_is_and_when_the_verb_has_failed(scene):
    flow = asks.power(make.ADA, scene.machine, Kind.POWER_ON)
    walks.advance(flow, make.render)
    for _ in range(3):
        make.due_now(flow)
        scene.agent.fail(flow, retryable=True, reason=SILENT)
        said = sentence(scene)
        assert SILENT in said

    assert queries.workflow(flow).progress is Progress.FAILED
    assert said.startswith("node-01 waits for nothing")
    assert "Its last power-on failed" in said


# --- where a plan's files lie ---


@pytest.mark.parametrize(
    "base", ["https://mirror.example/images", "https://mirror.example/images/"]
)
def test_the_owner_is_told_which_server_has_the_files(scene, base):
    scene.image = make.image("far", base_url=base, checksums=SUMS)

    scene.provision()

    origins = scene.agent.heard(MessageKind.PLAN)[-1]["origins"]
    assert origins == {
        "a" * 64: "https://mirror.example/images/debian/vmlinuz",
        "b" * 64: "https://mirror.example/images/debian/initrd.img",
        "c" * 64: "https://mirror.example/images/debian/disk.raw",
    }


@pytest.mark.parametrize("base", ["", "http://10.77.0.1:8081/artifacts"])
def test_what_the_site_serves_itself_is_fetched_from_nowhere(scene, base):
    scene.image = make.image("near", base_url=base, checksums=SUMS)

    scene.provision()

    assert scene.agent.heard(MessageKind.PLAN)[-1]["origins"] == {}


def test_another_artifact_with_the_same_files_sends_nobody_away(scene):
    make.image("far", base_url="https://mirror.example/images")

    scene.provision()

    assert scene.agent.heard(MessageKind.PLAN)[-1]["origins"] == {}


# --- what is told while it is waited for ---


def test_a_plan_that_waits_for_a_file_says_for_which(scene):
    flow = scene.provision()

    tell(scene, Seen.ARTIFACT_AWAITED, BUSY)

    assert queries.workflow(flow).progress is Progress.RUNNING
    assert BUSY["reason"] in sentence(scene)


def test_what_grows_prolongs_the_step_and_what_does_not_lets_it_end_with_its_reason(scene):
    flow = scene.provision()
    age(flow, 200)
    tell(scene, Seen.ARTIFACT_AWAITED, BUSY)
    prolonged = queries.workflow(flow).deadline_at
    age(flow, 200)
    tell(scene, Seen.ARTIFACT_AWAITED, AWAY)

    make.overdue(flow)

    assert prolonged > datetime.now(UTC) + timedelta(seconds=290)
    assert scene.view.state is State.FAILED
    assert queries.workflow(flow).detail == f"plan-served: {AWAY['reason']}"


def test_nothing_is_prolonged_for_ever(scene):
    flow = scene.provision()
    age(flow, delays.LONGEST_S - 10)

    tell(scene, Seen.ARTIFACT_AWAITED, BUSY)

    assert queries.workflow(flow).deadline_at < datetime.now(UTC) + timedelta(seconds=11)


def test_a_file_that_has_come_lets_the_plan_be_served(scene):
    flow = scene.provision()
    tell(scene, Seen.ARTIFACT_AWAITED, BUSY)

    scene.agent.report(Seen.PLAN_SERVED, scene.machine, run=scene.view.run_id)

    assert (queries.workflow(flow).step.name, queries.workflow(flow).detail) == ("powered-off", "")


def test_words_of_another_run_change_nothing(scene):
    flow = scene.provision()
    before = queries.workflow(flow)

    scene.agent.report(Seen.ARTIFACT_AWAITED, scene.machine, data=BUSY)
    tell(scene, Seen.BOOT_TROUBLE, IPXE)  # heeded later, when its script is waited for

    assert queries.workflow(flow) == before


# --- boot scripts that give up ---


def test_a_script_that_gave_up_by_its_token_ends_the_run_with_its_reason(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED)

    tell(scene, Seen.BOOT_FAILED, IPXE)

    assert scene.view.state is State.FAILED
    assert queries.workflow(flow).detail == f"installing: {IPXE['reason']}"
    assert IPXE["reason"] in sentence(scene)


def test_trouble_at_the_entry_is_shown_and_ends_nothing_before_its_deadline(scene):
    flow = scene.provision()
    scene.powered(flow)
    deadline = queries.workflow(flow).deadline_at

    tell(scene, Seen.BOOT_TROUBLE, IPXE)

    assert IPXE["reason"] in sentence(scene)
    assert queries.workflow(flow).deadline_at == deadline
    make.overdue(flow)
    assert queries.workflow(flow).detail == f"netbooted: {IPXE['reason']}"


def test_a_machine_that_installs_all_the_same_is_not_stopped_by_old_trouble(scene):
    flow = scene.provision()
    scene.powered(flow)
    tell(scene, Seen.BOOT_TROUBLE, IPXE)

    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED)
    tell(scene, Seen.BOOT_FAILED, IPXE)

    assert queries.workflow(flow).step.name == "installed"
