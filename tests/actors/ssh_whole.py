"""Edge, control and a site as processes, and machines that are one sshd under many addresses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from uuid import UUID

import psutil
import requests

from models import queries, ssh_access
from models.commands import inventory
from models.commands.agents import signing_key
from models.database import borrowed
from models.tables import Allocation, Interface, Machine
from tests.actors.control_process import ControlProcess
from tests.actors.lane import until
from tests.actors.site_whole import Site
from tests.edge.conftest import TOKEN, serving, variables
from tests.models import make
from tests.services import sshd
from tests.services.sshd import Sshd

FIRST = IPv4Address("10.91.0.1")
NETWORK = {"cidr": "10.91.0.0/16", "range_start": "10.91.0.1", "range_end": "10.91.7.254"}
ENDED = {"succeeded", "failed", "cancelled"}
SSH_PORT = 22


@dataclass
class Key:
    """What a site's enrolment is made of."""

    key: bytes
    url: str


@contextmanager
def namespace(addresses: int) -> Iterator[str]:
    """A network namespace that has so many addresses, from FIRST on."""
    name = f"sprout-ssh-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        lines = ["link set lo up", *(f"addr add {FIRST + n}/32 dev lo" for n in range(addresses))]
        batch = "".join(f"{line}\n" for line in lines).encode()
        subprocess.run(["ip", "-n", name, "-batch", "-"], input=batch, check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@dataclass
class Whole:
    """What runs; *machines* are active, each at an address of its own."""

    edge: str
    site: Site
    host: Sshd
    machines: list[UUID]
    netns: str
    headers: dict[str, str] = field(
        default_factory=lambda: {"Authorization": f"Bearer {TOKEN}"}, repr=False
    )

    def call(self, method, path, body=None):
        return requests.request(
            method, f"{self.edge}{path}", headers=self.headers, json=body, timeout=30
        )

    def ask(self, command, number=0, **more) -> str:
        """Ask for *command*; return its workflow."""
        path = f"/v1/machines/{self.machines[number]}/remote-task"
        answer = self.call("POST", path, {"command": command, **more})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def sprout(self, *words):
        """Run a line of the command line."""
        given = {"SPROUT_API_URL": self.edge, "SPROUT_API_TOKEN": TOKEN}
        command = [sys.executable, "-c", "from edge.cli.main import run; run()", *words]
        return subprocess.run(
            command, env=os.environ | given, capture_output=True, text=True, check=False, timeout=60
        )

    def flow(self, workflow):
        return self.call("GET", f"/v1/workflows/{workflow}").json()

    def ended(self, workflow, seconds=40):
        """Return the workflow when it has ended."""
        until(lambda: self.flow(workflow)["state"] in ENDED, seconds=seconds)
        return self.flow(workflow)

    def said(self, workflow):
        """What was told live of its command."""
        path = f"/v1/workflows/{workflow}/events?kind=task-output&limit=500"
        return "".join(row["data"]["text"] for row in self.call("GET", path).json()["items"])

    def evidence(self, workflow, number=0, *, count):
        """Return what is kept of it, by name, when *count* pieces are there."""
        path = f"/v1/machines/{self.machines[number]}/evidence?workflowId={workflow}"
        until(lambda: len(self.call("GET", path).json()["items"]) >= count)
        items = self.call("GET", path).json()["items"]
        return {item["name"]: (item, self.call("GET", item["url"]).content) for item in items}


def made(count: int, keys: list[str]) -> tuple[UUID, list[UUID]]:
    """Record a site with *count* active machines whose systems have the host keys *keys*."""
    site = make.site("lab")
    network = make.network(site, **NETWORK)
    machines = []
    for number in range(count):
        mac = "52:54:01:" + number.to_bytes(3).hex(":")
        machine = make.machine(site, f"node-{number:03}", [make.interface(mac)])
        interface = Interface.get(Interface.machine_id == machine)
        Allocation.create(
            network_id=network,
            machine_id=machine,
            interface_id=interface.id,
            address=str(FIRST + number),
            mac=mac,
            state="active",
        )
        machines.append(machine)
    Machine.update(state="active", ssh_host_keys=keys).execute()
    return site, machines


@contextmanager
def running(folder: Path, database_url: str, broker_url: str, machines: int) -> Iterator[Whole]:
    """Run it all for a block; machines may be asked what *folder*/policy.yaml allows."""
    with ExitStack() as stack:
        netns = stack.enter_context(namespace(machines))
        address, port = "0.0.0.0", SSH_PORT
        host = stack.enter_context(
            sshd.running(folder / "sshd", address=address, port=port, netns=netns)
        )
        with borrowed():
            site_id, ids = made(machines, list(host.keys.values()))
            inventory.enrolment(make.ADA, site_id)
            key = Key(signing_key(site_id), broker_url)
        policy = {"SPROUT_POLICY_FILE": str(folder / "policy.yaml")}
        blobs = {"SPROUT_BLOB_DIR": str(folder / "blobs")}
        settings = variables(database_url, folder) | blobs | policy
        edge = stack.enter_context(serving(settings, folder))
        control = ControlProcess(folder, database_url, broker_url, **blobs, **policy)
        control.start()
        stack.callback(control.end)
        site = Site(folder / "site", key, edge=edge.url, site=site_id)
        site.start(NETNS=netns)
        stack.callback(lambda: site.process is None or site.end())
        until(lambda: _trusted(host, site_id, ids))
        yield Whole(edge.url, site, host, ids, netns)


def _trusted(host: Sshd, site: UUID, machines: list[UUID]) -> bool:
    """Have the host let in the site's agent, as an install would, once it has registered."""
    with borrowed():
        agents = queries.agents(site)
        if not any(agent.live for agent in agents):
            return False
        known = [agent.advertise[ssh_access.ADVERTISED] for agent in agents]
    host.lets_in(*(line for each in machines for line in ssh_access.lines(known, each)))
    return True


def processes(marker: str) -> list[int]:
    """Return those with *marker* among their words that are not ours."""
    return [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if marker in (each.info["cmdline"] or [])[-1:] and each.pid != os.getpid()
    ]
