"""A small installation: a LAN whose DHCP server stays, one machine without a BMC, a cluster of one
node, a service that is told of hosts, and the product, run from its provisioning.yaml.

All of it is in network namespaces; what the product does is asked over its HTTP alone.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import requests
import yaml

from actors.drivers.ssh_keys import Fresh
from deploy.rack import bridge, netns
from deploy.rack.boot import Enabled, Override, Target
from deploy.rack.machine import PowerState
from deploy.rack.rack import Rack
from tests.flows.stage import ENDED, ROOT, SPROUT
from tests.machines import evidence, installer_iso
from tests.machines.ways import GATEWAY, foreign_server
from tests.services import process, provider, pve
from tests.services.neighbour import INTERFACE, neighbour
from tests.services.provider import TOKEN

LIMIT_S = 600
MEMBER, HOST = "10.77.0.50", "10.77.0.60"
PORT = 8080
URL = f"http://{GATEWAY}:{PORT}"
TYPE = "minisforum-ms-01"
HASH = "$6$salt$hash"
WORDS = ("console=ttyS0,115200", "no_timer_check", "ends-when-told")
"""What the kernel is told besides: the machine's installer ends where another goes on."""


class Home:
    """What stands in one LAN.  *boots*: who says what to boot, the product or the other server."""

    def __init__(self, folder, *, firmware="bios", boots=True):
        self.folder, self._firmware, self._boots = folder, firmware, boots
        self.site = Fresh.made()
        self._held = ExitStack()

    def __enter__(self):
        with self._held as begun:  # what has begun ends where the rest does not begin
            self.rack = begun.enter_context(
                Rack(self.folder / "rack", firmware=self._firmware, memory_mib=512)
            )
            [self.machine] = self.rack.machines
            self.mac = self.machine.hardware.mac
            begun.enter_context(evidence.captured(self.rack.namespace, self.folder))
            self._foreign(begun)
            self._nodes(begun)
            self.service = begun.enter_context(provider.running(self._beside))
            self._product(begun)
            self._held = begun.pop_all()
        return self

    def __exit__(self, kind, *_):
        with self._held:
            if kind is not None:
                self._shown()

    def _shown(self):
        """Print the ends of what was written down."""
        logs = (self.machine.serial.path, self.folder / "sprout.log", *self.data.glob("log/*.log"))
        for path in filter(Path.exists, logs):
            evidence.say(f"--- {path}\n{path.read_text(errors='replace')[-3000:]}")

    # --- what is asked of the product ---

    def call(self, method, path, body=None, **more):
        token = json.loads((self.data / "secrets.json").read_text())["admin_token"]
        head = {"Authorization": f"Bearer {token}"}
        return self.within(
            lambda: requests.request(
                method, f"{URL}{path}", headers=head, json=body, timeout=60, **more
            )
        )

    def get(self, path):
        answer = self.call("GET", path)
        answer.raise_for_status()
        return answer.json()

    def post(self, path, body):
        answer = self.call("POST", path, body)
        assert answer.status_code in {201, 202}, answer.text
        return answer.json()

    def host(self, name):
        return self.get(f"/api/hosts/{name}")

    def until(self, look, what):
        """Return what *look* finds as soon as it finds something."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and self._up.poll() is None:
            if found := look():
                return found
            with suppress(subprocess.TimeoutExpired):
                self._up.wait(0.1)
        raise AssertionError(f"it never came: {what}")

    def reaches(self, name, state):
        """Return the host once it is in *state*; that it failed is told at once."""

        def look():
            host = self.host(name)
            assert host["state"] != "failed", host["operation"]
            return host if host["state"] == state else None

        return self.until(look, f"{name} {state}")

    def uploaded(self):
        """Upload an ISO as a person does; return the ref of the image that is made of it."""
        iso = installer_iso.written(self.folder / "proxmox.iso").read_bytes()
        sha256 = hashlib.sha256(iso).hexdigest()
        told = self.call("PUT", f"/v1/blobs/{sha256}", data=iso)
        assert told.ok, told.text
        named = {"ref": "proxmox-9", "name": "Proxmox VE 9.1", "isoSha256": sha256}
        made = self.post("/v1/image-preparations", named)["id"]

        def prepared():
            found = self.get(f"/v1/image-preparations/{made}")
            return found if found["state"] in ENDED else None

        found = self.until(prepared, "the image")
        assert found["state"] == "succeeded", found
        image = self.get(f"/v1/images/{found['imageId']}")
        said = {"version": image["version"], "kernelArgs": list(WORDS)}
        changed = self.call("PATCH", f"/v1/images/{found['imageId']}", said)
        assert changed.ok, changed.text
        return image["ref"]

    # --- what a person does, and what is in the network ---

    def within(self, function):
        return netns.inside(self.rack.namespace, function)

    def powered_on(self):
        """Power the machine on and choose its network card, as a person would; wait for its end."""
        self.machine.set_override(Override(Target.PXE, Enabled.CONTINUOUS))
        self.machine.start()
        self.machine.wait_for(PowerState.OFF, LIMIT_S)
        return self.machine.serial.read()

    def dial(self, host, port):
        """Connect from where the machine is, once its own system runs."""
        return netns.inside(self.beyond, lambda: socket.create_connection((host, port), 60))

    def database(self, query):
        """Return the rows of *query* in the product's database."""
        roster = json.loads((self.data / "processes.json").read_text())
        pid = next(each["pid"] for each in roster["entries"] if each["name"] == "control")
        said = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        url = dict(each.split("=", 1) for each in said if each)["SPROUT_DATABASE_URL"]

        def asked():
            with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()

        return self.within(asked)

    # --- the parts ---

    def _foreign(self, begun):
        """The LAN's own DHCP server, with an address for the machine."""
        more = [f"--dhcp-host={self.mac},{HOST}"]
        if not self._boots:
            more.append(f"--dhcp-boot={URL}/ipxe/{self.mac}")
        foreign_server(begun, self.rack.namespace, self.folder, *more)

    def _nodes(self, begun):
        """A cluster of one, and what the machine is once its own system runs: not there yet."""
        beside = begun.enter_context(neighbour(self.rack.namespace, f"{MEMBER}/24"))
        self.beyond = begun.enter_context(neighbour(self.rack.namespace, f"{HOST}/24"))
        folder = self.folder / "world"
        self.world = begun.enter_context(pve.world(folder, port=22, netns=beside))
        self.member = self.world.clustered("pve-00", MEMBER, f"{self.site.public} site")
        self.world.netns = self.beyond
        self.node = self.world.node("pve-01", HOST)
        netns.ip("-n", self.beyond, "link", "set", INTERFACE, "address", self.mac, "down")

    def plugged_in(self):
        """Have what plays the machine be on the network in its stead."""
        netns.ip("-n", self.beyond, "link", "set", INTERFACE, "up")
        netns.ip("-n", self.beyond, "route", "replace", "default", "via", GATEWAY)

    def installed(self, *keys):
        """Have the machine's own system run, whose root lets *keys* in."""
        self.world.node("pve-01", HOST, *keys)

    def _beside(self):
        return self.within(lambda: ThreadingHTTPServer((GATEWAY, 0), BaseHTTPRequestHandler))

    def _product(self, begun):
        self.data = self.folder / "data"
        told = self.folder / "sprout.log"
        command = netns.command(
            self.rack.namespace, str(SPROUT), "up", "--config", str(self._written())
        )
        env = {
            **os.environ,
            "SPROUT_BROKER": "postgres",
            "SPROUT_SECRET_PVE_PASSWORD": pve.PASSWORD,
            "SPROUT_SECRET_PVE_KEY": self.site.login("root").private_key.reveal(),
            "SPROUT_SECRET_INFRASTRUCTURE": TOKEN,
        }
        self._up = process.launch(command, told, env=env, cwd=ROOT)
        begun.callback(process.stop, self._up, how=signal.SIGINT)
        process.wait_until_ready(self._up, self._serves, told, seconds=LIMIT_S)

    def _serves(self):
        """Raise OSError until the site lives, and its network is recorded."""
        try:
            [site] = self.get("/v1/sites")["items"]
            health = self.get(f"/v1/sites/{site['id']}/health")
        except (LookupError, ValueError, FileNotFoundError) as exc:
            raise ConnectionError("not yet") from exc
        if not any(each["live"] for each in health["agents"]):
            raise ConnectionError("its site does not live yet")

    def _written(self):
        types = {"display_name": "MS-01", "boot_disk": "/dev/nvme0n1", "management_nic": "eth0"}
        pin = self.world.cluster()["nodes"]["pve-00"]["fp"]
        said = {
            "server": {"public_url": URL, "data_dir": "data"},
            "pxe": {"interface": bridge.NAME, "subnet": "10.77.0.0/24", "enabled": self._boots},
            "proxmox": {
                "cluster": "lab",
                "existing_node": MEMBER,
                "join_fingerprint": pin,
                "node_keys": list(self.member.sshd.keys.values()),
                "password": "env:PVE_PASSWORD",
                "ssh_key": "env:PVE_KEY",
            },
            "credentials": {"root_password_hash": HASH},
            "infrastructure": {
                "base_url": self.service.url,
                "token": "env:INFRASTRUCTURE",
                "server_type_map": {TYPE: "7"},
            },
        }
        if not self._boots:
            del said["pxe"]["interface"]
        (self.folder / "server-types.yaml").write_text(yaml.safe_dump({TYPE: types}))
        file = self.folder / "provisioning.yaml"
        file.write_text(yaml.safe_dump(said))
        return file
