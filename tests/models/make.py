"""Builders of the least that is valid, so that each argument in a test matters."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from models import messages, queries
from models.audit import Caller
from models.bootplan import Access, Document
from models.commands import agents, asks, inventory, networks, reports, tasks, walks
from models.messages import Envelope, Kind
from models.observations import Observation, Seen, Source
from models.roles import Grant, Role
from models.tables import Agent as AgentRow
from models.tables import Outbox, Workflow

ADA = Caller(name="ada", request_id="r-1", source_ip="127.0.0.1")
ADMIN = replace(ADA, grants=(Grant(Role.ADMIN),))
MAC = "52:54:00:00:00:01"
DISK = {"serial": "S1", "bytes": 4 << 30}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbgHHOiTBJO7UkAf3SeQTDYiSrZ+zshvat/ngMbgzzg"
"""What the systems of these machines phone home as their SSH host key."""


def render(intent):
    return (
        Document(name="script", access=Access.SCRIPT, media_type="text/plain", body="#!ipxe\n"),
    )


def site(slug="ams-1"):
    return inventory.create_site(ADA, name="Amsterdam", slug=slug, labels={})


def network(site_id, **more):
    fields = {
        "name": "provisioning",
        "cidr": "10.77.0.0/24",
        "range_start": "10.77.0.10",
        "range_end": "10.77.0.99",
    }
    return networks.create_network(ADA, networks.NewNetwork(site_id=site_id, **fields | more))


def image(ref="debian-12", base_url="", **more):
    artifact = f"a-{ref}"
    inventory.create_artifact(
        ADA, ref=artifact, name="files", backend="filesystem", base_url=base_url, prefix="debian"
    )
    sums = {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "disk.raw": "2" * 64}
    fields = {"name": "Debian", "architecture": "x86_64", "checksums": sums, "image_bytes": 1 << 30}
    fields |= {"image_path": "disk.raw"}
    new = inventory.NewImage(
        ref=ref,
        artifact_ref=artifact,
        kernel_path="vmlinuz",
        initrd_path="initrd.img",
        **fields | more,
    )
    inventory.create_image(ADA, new)
    return ref


def profile(ref="plain"):
    inventory.create_profile(
        ADA, ref=ref, name="Plain", cloud_config_template="#cloud-config\n{}\n", ssh_keys=[]
    )
    return ref


def interface(mac=MAC, name="eth0", *, pxe=True):
    return inventory.NewInterface(name=name, mac=mac, pxe_enabled=pxe)


def machine(site_id, hostname="node-01", interfaces=None, **more):
    fields = {
        "architecture": "x86_64",
        "labels": {},
        "bmc": {"protocol": "redfish", "address": "http://127.0.0.1:1", "secret_ref": "env:X"},
        "root_disk": {"serial": "S1"},
    }
    new = inventory.NewMachine(
        site_id=site_id,
        hostname=hostname,
        interfaces=[interface()] if interfaces is None else interfaces,
        **fields | more,
    )
    return inventory.create_machine(ADA, new)


def due_now(flow):
    """Let the time come at which the engine looks at *flow* again, and have it look."""
    _past(flow, "wake_at")
    assert flow in walks.due()
    walks.expire(flow, render)


def overdue(flow):
    """Let the deadline of *flow*'s step pass, and have it judged."""
    _past(flow, "wake_at", "deadline_at")
    assert flow in walks.due()
    walks.expire(flow, render)


def _past(flow, *columns):
    past = datetime.now(UTC) - timedelta(seconds=1)
    Workflow.update(dict.fromkeys(columns, past)).where(Workflow.id == flow).execute()


class Agent:
    """An agent as control knows it: what it sends, without a queue between."""

    def __init__(self, site_id, capabilities=("http", "redfish")):
        self.site, self.id, self.incarnation, self.seq = site_id, uuid4(), uuid4().hex, 0
        body = {
            "hostname": "boot-01",
            "version": "1",
            "capabilities": list(capabilities),
            "advertise": {"boot_base_url": "http://10.77.0.1:8081"},
            "incarnation": self.incarnation,
        }
        self.register = lambda: agents.register(self.envelope(Kind.REGISTER, body))
        self.register()

    def envelope(self, kind, body):
        return Envelope(kind=kind, site=self.site, agent=self.id, body=body)

    def beat(self, digest="", **body):
        """Send a heartbeat."""
        body = {"plan_digest": digest, "clock": time.time(), **body}
        agents.heartbeat(self.envelope(Kind.HEARTBEAT, body))

    def renew(self, *task_ids, n=1):
        """Renew leases, and return the tasks that control's answer lists."""
        tasks_ = [{"task": str(each), "epoch": 1} for each in task_ids]
        tasks.renew(self.envelope(Kind.RENEW, {"n": n, "tasks": tasks_}))
        return {each["task"] for each in self.heard(Kind.RENEWED)[-1]["tasks"]}

    def heard(self, kind):
        """Return the bodies of what was promised to this agent, oldest first."""
        queue = messages.agent_queue(self.site, self.id)
        rows = Outbox.select().where(Outbox.queue == queue).order_by(Outbox.id)
        told = [json.loads(bytes(row.body))["kwargs"]["message"]["envelope"] for row in rows]
        return [each["body"] for each in told if each["kind"] == kind.value]

    def silent(self, seconds):
        """Let *seconds* pass since the agent was last heard."""
        then = datetime.now(UTC) - timedelta(seconds=seconds)
        AgentRow.update(last_seen_at=then).where(AgentRow.id == self.id).execute()

    def report(self, kind, machine_id, *, run=None, data=None, seq=None):
        """Send one observation; returns its message, to be sent again."""
        self.seq = self.seq + 1 if seq is None else seq
        seen = Observation(
            kind=kind,
            source=Source.AGENT,
            at=time.time(),
            machine=machine_id,
            run=run,
            data=data or {},
        )
        body = {"incarnation": self.incarnation, "reports": [{"seq": self.seq, **seen.encode()}]}
        message = self.envelope(Kind.OBSERVATIONS, body)
        reports.receive(message, render)
        return message

    def finish(self, workflow_id: UUID, result=None):
        """Do what the workflow's open task asks, well."""
        flow = Workflow.get_by_id(workflow_id)
        self.report(
            Seen.TASK_DONE,
            flow.machine_id,
            data={"task": str(flow.task_id), "result": result or {}},
        )

    def fail(self, workflow_id: UUID, *, retryable, reason="no answer"):
        flow = Workflow.get_by_id(workflow_id)
        self.report(
            Seen.TASK_FAILED,
            flow.machine_id,
            data={"task": str(flow.task_id), "reason": reason, "retryable": retryable},
        )


class Scene:
    """A site with everything that one machine needs to be provisioned."""

    def __init__(self):
        self.site = site()
        self.network = network(self.site)
        self.image, self.profile = image(), profile()
        self.machine = machine(self.site)
        self.agent = Agent(self.site)

    def provision(self, render=render):
        """Ask for it, and let the engine take it up."""
        flow = asks.provision(
            ADA, self.machine, image_ref=self.image, profile_ref=self.profile, reason="new"
        )
        walks.advance(flow, render)
        return flow

    def powered(self, flow):
        """Lead a provisioning to where the machine has power."""
        self.agent.report(Seen.PLAN_SERVED, self.machine, run=self.view.run_id)
        for result in ({"power": "off"}, {}, {"power": "on"}):
            self.agent.finish(flow, result)

    def boots(self, *kinds):
        for kind in kinds:
            data = {"pub_key_ed25519": HOST_KEY} if kind is Seen.PHONED_HOME else {}
            self.agent.report(kind, self.machine, run=self.view.run_id, data=data)

    @property
    def view(self):
        return queries.machine(self.machine)
