"""The operator's commands in their order, from `sites create` to `audit list`, by one person.

The lines go through the real command line to a running edge; the site is played between them.
"""

import json
import subprocess
import sys

import pytest

from models import queries
from models.commands import walks
from models.database import borrowed
from models.observations import Seen
from models.tables import Workflow
from tests.conftest import copied
from tests.edge.conftest import ROOT, TOKEN, serving, variables
from tests.edge.test_cli import ARTIFACT, IMAGE, MACHINE, NETWORK, PROFILE, RUN, SITE
from tests.models import make as domain
from tests.models.test_discoveries import Teller, sighting

pytestmark = pytest.mark.services

SECOND = tuple(
    word.replace("node-01", "node-02").replace("00:00:01", "00:00:02") for word in MACHINE
)
BARE_IMAGE = (
    *("images", "create", "--ref", "debian-13", "--name", "Debian 13", "--architecture", "x86_64"),
    *("--artifact-ref", "debian", "--kernel-path", "vmlinuz", "--initrd-path", "initrd.img"),
)
SIZES = ("--memory-mib", "65536", "--disk-bytes", "480103981056")
WANTED = (
    *("--count", "1", "--label", "role=worker", "--architecture", "x86_64"),
    *("--min-memory-mib", "65536", "--min-disk-bytes", "480103981056"),
)


class Operator:
    """One person at a terminal, and the site that his machines are at."""

    def __init__(self, url, home):
        self._home = home
        self._given = {
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "SPROUT_API_URL": url,
            "SPROUT_API_TOKEN": TOKEN,
        }
        self.scene = object.__new__(domain.Scene)

    def says(self, *words):
        """Run one line, which must succeed; return what it prints."""
        self.site_lives()
        done = subprocess.run(
            [sys.executable, "-c", RUN, *words],
            env=self._given,
            cwd=self._home,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"sprout {' '.join(words)}\n{done.stderr}"
        return done.stdout.strip()

    def reads(self, *words):
        return json.loads(self.says(*words, "--json"))

    def approves(self, action, machine="node-01"):
        """Have the next line's action approved; return the words that name the approval."""
        approval = self.says(
            *("approvals", "create", "--machine-id", machine, "--action", action),
            *("--decision", "approved", "--reason", "change window"),
        )
        return "--approval-id", approval

    def state(self, machine="node-01"):
        return self.reads("machines", "show", machine)["state"]

    def site_opens(self):
        with borrowed():
            self.scene.site = queries.site("ams-1").id
            self.scene.agent = domain.Agent(self.scene.site)

    def site_lives(self):
        """However long the lines take: an agent that says nothing for a while is given no work."""
        if hasattr(self.scene, "agent"):
            with borrowed():
                self.scene.agent.beat()

    def site_does(self, flow, *results):
        """Let control take *flow* up, and the agent do its tasks; return how it stands."""
        with borrowed():
            walks.advance(flow, domain.render)
            for result in results:
                self.scene.agent.finish(flow, result)
            ended = Workflow.get_by_id(flow)
            return ended.state, ended.detail

    def site_installs(self, flow):
        with borrowed():
            scene, scene.machine = self.scene, queries.machine("node-01").id
            walks.advance(flow, domain.render)
            scene.powered(flow)
            scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)

    def stranger_boots(self):
        with borrowed():
            Teller(self.scene.agent).tell(sighting("52:54:00:99:00:01"))


@pytest.fixture
def ada(postgres, migrated, tmp_path):
    with copied(postgres, migrated) as url, serving(variables(url, tmp_path), tmp_path) as edge:
        yield Operator(edge.url, tmp_path)


@pytest.mark.timeout(240)
def test_one_person_takes_machines_from_the_site_to_the_audit(ada):
    site = entered(ada)
    provisioned(ada)
    handed_out(ada, site)
    operated(ada)
    exchanged(ada, site)
    given_back(ada, site)


def entered(ada):
    site = ada.says(*SITE)
    ada.site_opens()
    assert "live" in ada.says("sites", "health", site)
    for line in (NETWORK, ARTIFACT, IMAGE, PROFILE, MACHINE):
        ada.says(*line)
    assert ada.reads("networks", "list", "--site-id", site)[0]["purpose"] == "provisioning"
    # As the specification writes it: with nothing to write to disks, which provisioning needs.
    ada.says(*BARE_IMAGE)
    return site


def provisioned(ada):
    flow = ada.says("machines", "commission", "node-01", "--reason", "adopt")
    assert ada.site_does(flow, {"memory_mib": 65536, "disks": []}) == ("succeeded", "")
    network = ada.reads("networks", "list")[0]["id"]
    system = ("--image-ref", "debian-12", "--profile-ref", "plain", "--network-id", network)
    flow = ada.says("machines", "provision", "node-01", *system)
    ada.site_installs(flow)
    assert ada.state() == "active"
    assert ada.reads("ip-allocations", "list", "--machine-id", "node-01")[0]["state"] == "active"


def handed_out(ada, site):
    ada.says(*SECOND, *SIZES)
    assert "node-02" in ada.says("machines", "allocate", "--site-id", site, *WANTED)
    media = ("--media-url", "https://images.example/rescue.iso", "--boot-source", "virtual-media")
    flow = ada.says("machines", "image", "node-02", *media)
    unable = "agent-found: the site has no agent with the capability virtual-media"
    assert ada.site_does(flow) == ("failed", unable)


def operated(ada):
    flow = ada.says("machines", "power-off", "node-01", "--reason", "move")
    assert ada.site_does(flow, {"power": "off"})[0] == "succeeded"
    flow = ada.says("machines", "power-on", "node-01", "--reason", "moved")
    assert ada.site_does(flow, {"power": "on"})[0] == "succeeded"
    source = ("--boot-source", "pxe", "--reason", "look at it")
    flow = ada.says("machines", "boot-source", "node-01", *source)
    assert ada.site_does(flow, {})[0] == "succeeded"

    needed = {row["name"] for row in ada.reads("day2-actions", "list") if row["requiresApproval"]}
    assert needed == {"reboot", "reprovision", "remote-task", "release"}
    reason = ("--reason", "kernel update")
    flow = ada.says("machines", "reboot", "node-01", *ada.approves("reboot"), *reason)
    assert ada.site_does(flow, {"power": "on"})[0] == "succeeded"
    task = ("--command", "uptime", "--reason", "see that it is up")
    flow = ada.says("machines", "remote-task", "node-01", *ada.approves("remote-task"), *task)
    assert "capability remote-task" in ada.site_does(flow)[1]

    done = ada.reads("action-executions", "list", "--machine-id", "node-01")
    assert [row["action"] for row in done][:2] == ["remote-task", "reboot"]
    ada.says("action-executions", "evidence", done[0]["id"])
    judged = ada.reads("policy-decisions", "list", "--machine-id", "node-01")
    assert {row["allowed"] for row in judged} == {True}
    assert ada.says("workflows", "events", flow)


def exchanged(ada, site):
    preseed = ("--site-id", site, "--artifact-ref", "debian", "--mode", "preseed")
    job = ada.says("sync-jobs", "create", *preseed)
    (row,) = ada.reads("sync-jobs", "list", "--site-id", site)
    assert (row["id"], row["mode"], row["state"]) == (job, "preseed", "waiting")
    catalogue = ("--provider", "webhook", "--endpoint", "https://catalogue.example/hooks/sprout")
    kind = ("--kind", "metadata-export")
    job = ada.says(
        *("integration-jobs", "create", "--name", "catalogue", "--site-id", site, *kind),
        *catalogue,
    )
    run = ada.says("integration-jobs", "run", job)
    assert ada.reads("integration-jobs", "show", job)["lastRun"]["id"] == run
    assert ada.reads("integration-jobs", "list", "--site-id", site)[0]["id"] == job


def given_back(ada, site):
    flow = ada.says("machines", "reprovision", "node-01", *ada.approves("reprovision"))
    ada.site_installs(flow)
    kept = ("--wipe", "none", "--reason", "over")
    flow = ada.says("machines", "release", "node-01", *ada.approves("release"), *kept)
    assert ada.site_does(flow, {"power": "off"}, {}) == ("succeeded", "")
    assert ada.state() == "available"

    ada.stranger_boots()
    found = ada.reads("discoveries", "list", "--site-id", site)[0]["id"]
    ada.says("discoveries", "accept", found)
    assert ada.state("node-525400990001") == "registered"
    ada.says("machines", "retire", "node-01", "--reason", "out of warranty")
    done = {row["action"] for row in ada.reads("audit", "list")}
    assert {"discovery.accept", "machine.reboot", "approval.use", "machine.retire"} <= done
    assert {"sync-job.create", "integration-job.create", "integration-job.run"} <= done
