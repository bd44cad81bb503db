"""Edge, control and a site as processes, and hosts of Proxmox VE: each an address in one network.

A host's firmware, installer and first boot are calls of the site, in the order and the words of the
vendor's; what was installed is a real sshd with stand-ins of pvesh and pvecm.  Control is in the
network of the hosts, since it logs in to them.
"""

import hashlib
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import requests

from actors.drivers import installer_iso
from actors.drivers.ssh_keys import Fresh
from deploy.rack import netns
from models.commands import inventory
from models.commands.agents import signing_key
from models.database import borrowed, database
from tests.actors import ssh_whole
from tests.actors.control_process import ControlProcess, lease_over
from tests.actors.installer_isos import an_iso
from tests.actors.lane import until
from tests.actors.site_whole import Site
from tests.edge import make
from tests.edge.conftest import TOKEN, serving, variables
from tests.models.make import ADA
from tests.services import provider, pve
from tests.services.pve_board import Board
from tests.services.pve_installer import CLIENT_S, Dial, Installer

SITE_ADDRESS = "10.91.0.1"
FIRST, LAST = "10.91.0.10", "10.91.0.99"
PATIENCE_S = 500
TYPE = "ms-01"
TYPES = f"""
{TYPE}:
  display_name: MS-01
  boot_disk: /dev/nvme0n1
  management_nic: enp2s0
"""
KEY = Fresh.made()
"""What nodes of the cluster let Sprout in by, once they have joined."""


@dataclass
class Host:
    """A host that is registered, as it is at the network."""

    fleet: "Fleet"
    id: str
    name: str
    mac: str
    node: pve.Node | None = None
    key: str = ""

    @property
    def shown(self) -> dict[str, Any]:
        return dict(self.fleet.call("GET", f"/api/hosts/{self.id}"))

    def boots(self) -> None:
        """Be switched on: firmware, iPXE and installer, up to the answer."""
        address = self.shown["ip"]
        folder = self.fleet.folder / self.name
        folder.mkdir()
        board = Board(macs=(self.mac,), serial=f"SN-{self.name}", cidr=f"{address}/16")
        dial, words = self.fleet.dial_from(address), netns.command(self.fleet.netns)
        self.installer = Installer(board, folder, source=address, dial=dial, words=words)
        loaded = self.installer.boot(self.fleet.boots_at)
        self.answer = self.installer.ask(self.installer.load(loaded))

    def installs(self) -> None:
        """Be what the answer says, and report."""
        keys = self.answer["global"]["root-ssh-keys"]
        self.key = next(key for key in keys if "sprout-run-" in key).split()[1]
        self.node = self.fleet.world.node(self.name, self.installer.source, *keys)
        board = replace(self.installer.board, host_keys=self.node.sshd.keys)
        self.installer.board = board
        self.installer.install(self.answer)

    def phones_home(self) -> None:
        """Boot from the disk for the first time."""
        assert self.installer.first_boot() == 0


@dataclass
class Fleet:
    """What runs, and the hosts that are registered with it."""

    folder: Path
    edge: str
    netns: str
    world: pve.World
    service: provider.Provider
    settings: dict[str, str]
    urls: tuple[str, str]
    stack: ExitStack
    site: Site = field(init=False)
    hosts: list[Host] = field(default_factory=list)
    controls: list[ControlProcess] = field(default_factory=list)

    def control(self) -> ControlProcess:
        """Start a control process."""
        made = ControlProcess(self.folder, *self.urls, netns=self.netns, **self.settings)
        made.start()
        self.controls.append(made)
        self.stack.callback(lambda: made.lives and made.end(signal.SIGKILL))
        return made

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return what the API says to what must be good."""
        fields = {"Authorization": f"Bearer {TOKEN}"}
        given = {} if body is None else {"json": body}
        answer = requests.request(method, f"{self.edge}{path}", headers=fields, timeout=60, **given)
        assert answer.ok, answer.text
        return answer.json()

    @property
    def boots_at(self) -> str:
        return f"http://{SITE_ADDRESS}:{self.site.port}"

    def dial_from(self, address: str) -> Dial:
        """Return what connects from *address*."""

        def dial(host: str, port: int) -> socket.socket:
            source = (address, 0)
            return netns.inside(
                self.netns, lambda: socket.create_connection((host, port), CLIENT_S, source)
            )

        return dial

    def register(self, count: int) -> None:
        for number in range(1, count + 1):
            body = {"hostname": f"pve-{number:02}", "mac": f"52:54:00:aa:00:{number:02x}"}
            made = self.call("POST", "/api/hosts", body | {"server_type": TYPE})
            self.hosts.append(Host(self, made["id"], made["hostname"], made["mac"]))

    def rebuild(self, host: Host) -> None:
        self.call("POST", f"/api/hosts/{host.id}/rebuild", {})

    def shown(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/api/hosts?limit=100")["items"])

    def all_are(self, state: str, step: str = "") -> None:
        """Wait until all hosts are in *state*, at *step* if one is named."""

        def are() -> bool:
            shown = self.shown()
            failed = [each["operation"]["detail"] for each in shown if each["state"] == "failed"]
            assert not failed, failed
            steps = {each["operation"]["step"] for each in shown} if step else {step}
            return {each["state"] for each in shown} == {state} and steps == {step}

        until(are, seconds=PATIENCE_S, every_s=0.3)

    def begun_joins(self) -> list[str]:
        """The errands of joins, as often as control took them, by its own log."""
        lines = [line for each in self.controls for line in each.lines()]
        begun = [line for line in lines if line["event"] == "errand.begun"]
        return [str(line["errand"]) for line in begun if line["name"] == "cluster-join"]

    def kill_control_in_a_join(self) -> None:
        """Kill it while a node's join hangs; return when that is over, and control has no lease."""
        until((self.world.folder / "hanging").exists, seconds=PATIENCE_S)
        self.controls[-1].end(signal.SIGKILL)
        (self.world.folder / "hangs").unlink()
        nodes = [host.node for host in self.hosts if host.node is not None]
        until(lambda: not any(node.sshd.sessions() for node in nodes), seconds=PATIENCE_S)
        lease_over()


def stored(*words: str) -> list[str]:
    """Return the tables that hold one of *words* anywhere."""
    with borrowed():
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        tables = [name for (name,) in database.execute_sql(query).fetchall()]
        found = []
        for name in tables:
            # A table's name is no value, and comes from the database itself.
            held = f'SELECT 1 FROM "{name}" t WHERE t::text LIKE ANY(%s) LIMIT 1'  # noqa: S608
            if database.execute_sql(held, ([f"%{word}%" for word in words],)).fetchone():
                found.append(name)
        return found


def _prepared(fleet: Fleet, site_id: str, folder: Path) -> None:
    """Have a network, an image and a profile."""
    call = fleet.call
    network = {"cidr": "10.91.0.0/16", "rangeStart": FIRST, "rangeEnd": LAST}
    call("POST", "/v1/networks", make.network(site_id) | network)
    call("POST", "/v1/artifacts", make.artifact(prefix="pve"))
    shelf = folder / "pve"
    shelf.mkdir()
    an_iso(shelf / "source.iso")
    installer_iso.made(shelf / "source.iso", shelf)
    names = ("vmlinuz", "initrd.img", "proxmox.iso")
    sums = {name: hashlib.sha256((shelf / name).read_bytes()).hexdigest() for name in names}
    image = {k: v for k, v in make.image(ref="pve").items() if k != "imagePath"}
    iso = {"installer": "proxmox", "isoPath": "proxmox.iso", "checksums": sums}
    size = {"imageBytes": (shelf / "proxmox.iso").stat().st_size}
    call("POST", "/v1/images", image | iso | size)
    template = "#cloud-config\nproxmox: |\n  [global]\n  timezone = 'UTC'\n"
    profile = make.profile(ref="proxmox", cloudConfigTemplate=template)
    call("POST", "/v1/profiles", profile | {"sshKeys": [f"{KEY.public} sprout"]})


@contextmanager
def running(folder: Path, database_url: str, local_url: str) -> Iterator[Fleet]:
    """Run it all for a block, with no host.  *local_url*: the database in any namespace."""
    with ExitStack() as stack:
        name = stack.enter_context(ssh_whole.namespace(99))
        service = netns.inside(name, lambda: stack.enter_context(provider.running()))
        nodes = pve.world(folder / "pve", port=22, netns=name, kinds=("ed25519",))
        world = stack.enter_context(nodes)
        settings = _settings(folder, service)
        edge = stack.enter_context(serving(variables(database_url, folder) | settings, folder))
        urls = (local_url, local_url)
        fleet = Fleet(folder, edge.url, name, world, service, settings, urls, stack)
        site = fleet.call("POST", "/v1/sites", make.site())["id"]
        fleet.site = Site(folder / "site", _enrolled(site, database_url), edge=edge.url, site=site)
        _prepared(fleet, site, fleet.site.artifacts)
        fleet.control()
        fleet.site.start(NETNS=name, BOOT_BIND_ADDR=SITE_ADDRESS)
        stack.callback(fleet.site.end)
        until(lambda: _served(fleet, site), seconds=PATIENCE_S)
        yield fleet


def _enrolled(site: str, broker_url: str) -> ssh_whole.Key:
    with borrowed():
        inventory.enrolment(ADA, UUID(site))
        return ssh_whole.Key(signing_key(UUID(site)), broker_url)


def _served(fleet: Fleet, site: str) -> bool:
    return any(each["live"] for each in fleet.call("GET", f"/v1/sites/{site}/health")["agents"])


def _settings(folder: Path, service: provider.Provider) -> dict[str, str]:
    types = folder / "server-types.yaml"
    types.write_text(TYPES)
    return {
        "SPROUT_SERVER_TYPES_FILE": str(types),
        "SPROUT_PROXMOX_CLUSTER": "lab",
        "SPROUT_PROXMOX_PASSWORD": "env:PASSWORD",
        "SPROUT_PROXMOX_SSH_KEY": "env:KEY",
        "SPROUT_PROXMOX_ROOT_PASSWORD_HASH": "$6$salt$hash",
        "SPROUT_INFRASTRUCTURE_URL": service.url,
        "SPROUT_INFRASTRUCTURE_TOKEN": "env:T",
        "SPROUT_SECRET_PASSWORD": pve.PASSWORD,
        "SPROUT_SECRET_KEY": KEY.login("root").private_key.reveal(),
        "SPROUT_SECRET_T": provider.TOKEN,
    }
