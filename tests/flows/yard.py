"""A site and its rack beside `sprout up`, entered by hand: what a person has before he begins.

What is looked at from outside goes past the product: Redfish by plain HTTP, the disk as a file,
the network by the commands of Debian.
"""

import hashlib
import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler

import requests

from tests.flows.leases import leases
from tests.flows.stage import LIMIT_S, ROOT, SPROUT, Running
from tests.flows.units import LINES, Unit
from tests.flows.webhooks import serving
from tests.services import process

ADDRESS = "10.78.0.1"
CIDR = "10.78.0.0/24"
KEA = "10.78.0.2/24"
SUBNET = {
    "id": 1,
    "subnet": CIDR,
    "pools": [{"pool": "10.78.0.200-10.78.0.210"}],
    "option-data": [{"name": "routers", "data": ADDRESS}],
}
"""As Kea has it: who has no reservation gets an address that is not of Sprout's range."""


class Yard:
    """`sprout up` without a rack, a rack with *machines* that nobody has entered, and a Kea."""

    WEBHOOK = "of-the-webhook-only"

    def __init__(self, folder, cache, *, machines):
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir(mode=0o700)
        self._state = self.data / "rack-bios"
        self._key = self.data / "ssh" / "id_ed25519"
        self._cache, self._count = cache, machines
        self._held = ExitStack()

    def __enter__(self):
        with self._held as begun:  # what has begun ends where the rest does not begin
            self._built()
            self._racked()
            self._leased()
            told = {"SPROUT_OUTBOUND_ALLOW": "127.0.0.0/8", "SPROUT_SECRET_WEBHOOK": self.WEBHOOK}
            self.up = Running(self.data, rack=0, **told, **self.leases.settings)
            begun.callback(self.up.stop)
            self._until_it_answers()
            self._held = begun.pop_all()
        return self

    def __exit__(self, *exc):
        self._held.close()

    def sprout(self, *words, status=0):
        """Run a line of the command line; return what it printed for programs."""
        done = self.up.sprout(*words, "-o", "json")
        assert done.returncode == status, f"sprout {' '.join(words)}\n{done.stdout}{done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def serve(self, enrolment):
        """Start the site's agent as its admin would: with what enrolment printed."""
        path = self.folder / "enrolment.json"
        path.touch(mode=0o600)
        enrolment["signing_key"] = enrolment.pop("signingKey", enrolment.get("signing_key"))
        path.write_text(json.dumps(enrolment))
        log = self.folder / "site.log"
        started = process.launch([str(SPROUT), "site"], log, env=self._site_env(path), cwd=ROOT)
        self._held.callback(process.stop, started, how=signal.SIGTERM)

    def held(self):
        """Return the SHA-256 of each file that the site keeps to serve."""
        files = (each for each in (self.folder / "site" / "cache").rglob("*") if each.is_file())
        return {hashlib.sha256(each.read_bytes()).hexdigest() for each in files}

    def written(self, place):
        """Return the bytes of the image at *place*, a slice, before any machine had it."""
        with (self.artifact / self.image["image"]).open("rb") as image:
            return image.read(LINES)[place]

    def within(self, *words):
        """Run a command in the rack's network; return what it printed."""
        prefix = ["ip", "netns", "exec", self.rack["netns"]]
        done = subprocess.run(
            [*prefix, *words], capture_output=True, text=True, check=False, timeout=120
        )
        return done.stdout

    def ssh(self, address, *words):
        """Return what a command as root on the system at *address* prints; empty while it is away.

        Whose key it shows is no matter.
        """
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes",
                   "ConnectTimeout=10", "ServerAliveInterval=10")  # fmt: skip
        told = [word for each in options for word in ("-o", each)]
        key = ("-F", "/dev/null", "-i", str(self._key))
        return self.within("ssh", *key, *told, f"root@{address}", *words).strip()

    def until(self, look, what):
        """Return what *look* finds as soon as it finds something."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            if found := look():
                return found
            self.up.look_again()
        raise AssertionError(f"it never came: {what}\n{self._tail()}")

    @contextmanager
    def medium(self):
        """Serve a file that passes for an ISO; return its URL."""
        folder = self.folder / "media"
        folder.mkdir(exist_ok=True)
        (folder / "rescue.iso").write_bytes(b"\0" * (1 << 20))
        handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
        with serving(handler) as url:
            yield f"{url}/rescue.iso"

    def key(self):
        """Return the file of the operator's public key, by which `sprout ssh` comes in."""
        self._key.parent.mkdir(mode=0o700)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)]
        subprocess.run(words, check=True, timeout=30)
        return self._key.with_suffix(".pub")

    def _tail(self):
        log = self.folder / "site.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""

    def _built(self):
        self.artifact = self.data / "artifacts" / "debian-12"
        words = ["-m", "deploy.image", "--cache", str(self._cache), "--output", str(self.artifact)]
        subprocess.run([sys.executable, *words], check=True, cwd=ROOT, timeout=LIMIT_S)
        self.image = json.loads((self.artifact / "image.json").read_text())

    def _racked(self):
        log = self.folder / "rack.log"
        words = ["up", "--machines", str(self._count), "--state", str(self._state)]
        words += ["--name", "yard", "--cidr", CIDR, "--address", ADDRESS, "--no-advertise"]
        command = [sys.executable, "-m", "deploy.rack", *words]
        started = process.launch(command, log, cwd=ROOT)
        self._held.callback(process.stop, started, how=signal.SIGTERM)
        described = self._state / "rack.json"
        process.wait_until_ready(started, described.read_text, log, seconds=60)
        self.rack = json.loads(described.read_text())
        self.units = [Unit(each, self._state) for each in self.rack["machines"]]

    def _leased(self):
        folder = self.folder / "kea"
        folder.mkdir()
        beside = leases(self.rack["netns"], folder, address=KEA, subnet=SUBNET)
        self.leases = self._held.enter_context(beside)

    def _until_it_answers(self):
        def ready():
            return requests.get(f"{self.up.url}/readyz", timeout=60).raise_for_status()

        process.wait_until_ready(self.up.process, ready, self.up.told, seconds=120)

    def _site_env(self, enrolment):
        passwords = {f"SPROUT_SECRET_{unit.secret}": unit.bmc.login[1] for unit in self.units}
        return {
            **self.up.env,
            **passwords,
            "SPROUT_ENROLMENT_FILE": str(enrolment),
            "SPROUT_SITE_DIR": str(self.folder / "site"),
            "SPROUT_ARTIFACT_DIR": str(self.folder / "site-artifacts"),
            "SPROUT_BMC_NETWORKS": "127.0.0.0/8",
            "SPROUT_OUTBOUND_ALLOW": "127.0.0.0/8",
            "SPROUT_NETNS": self.rack["netns"],
            "SPROUT_DHCP_BIND_INTERFACE": self.rack["bridge"],
            "SPROUT_DHCP_BIND_ADDR": ADDRESS,
            "SPROUT_DNS_BIND_ADDR": ADDRESS,
            "SPROUT_LOADER_DIRS": f"/usr/lib/ipxe:/boot:{self.artifact}",
            "SPROUT_CANARY_INTERVAL_S": "0",
        }


@contextmanager
def yard(folder, cache, *, machines=2):
    with Yard(folder, cache, machines=machines) as found:
        yield found
