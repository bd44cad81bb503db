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
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

import requests

from tests.flows.stage import LIMIT_S, ROOT, SPROUT, Running
from tests.services import process

ADDRESS = "10.78.0.1"
CIDR = "10.78.0.0/24"
LINES = 512 << 10
"""Bytes of a disk's beginning that are looked at."""


class Bmc:
    """One BMC, asked as by curl: no code of the product is between."""

    def __init__(self, described):
        self._base = described["address"]
        self._system = described["system"]
        password = Path(described["password_file"]).read_text().strip()
        self.login = described["username"], password

    def get(self, path=""):
        answer = requests.get(self._base + (path or self._system), auth=self.login, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def reset(self, how):
        """Switch the machine past the product, as by the button at its front."""
        path = f"{self._base}{self._system}/Actions/ComputerSystem.Reset"
        body = {"ResetType": how}
        requests.post(path, json=body, auth=self.login, timeout=60).raise_for_status()

    @property
    def power(self):
        return self.get()["PowerState"]

    @property
    def boot(self):
        return self.get()["Boot"]

    def media(self):
        """Return the images that are inserted."""
        manager = self.get(self.get()["Links"]["ManagedBy"][0]["@odata.id"])
        drives = self.get(manager["VirtualMedia"]["@odata.id"])["Members"]
        found = [self.get(each["@odata.id"]) for each in drives]
        return [each["Image"] for each in found if each.get("Inserted")]


@dataclass
class Unit:
    """A machine of the rack: what is written on its lid."""

    described: dict
    state: Path

    @property
    def bmc(self):
        return Bmc(self.described["bmc"])

    @property
    def secret(self):
        """Return the name under which the site finds the password of its BMC."""
        return f"BMC_{self.described['name'].upper()}"

    @property
    def entered(self):
        """Return its BMC as the command line takes it."""
        board = self.described["bmc"]
        named = {"address": board["address"], "username": board["username"]}
        told = {**named, "secretRef": f"env:{self.secret}", "system": board["system"]}
        return ",".join(f"{name}={value}" for name, value in told.items())

    @property
    def mac(self):
        return self.described["mac"]

    def disk(self):
        """Return the first bytes of its disk."""
        with (self.state / self.described["name"] / "disk.raw").open("rb") as disk:
            return disk.read(LINES)


class Hook(BaseHTTPRequestHandler):
    """Takes what is posted, and keeps it."""

    calls: SimpleQueue

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.put((self.headers, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


class Yard:
    """`sprout up` without a rack, and a rack with *machines* that nobody has entered."""

    WEBHOOK = "of-the-webhook-only"

    def __init__(self, folder, cache, *, machines):
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir(mode=0o700)
        self._state = self.data / "rack-bios"
        self._cache, self._count = cache, machines
        self._held = ExitStack()

    def __enter__(self):
        told = {"SPROUT_OUTBOUND_ALLOW": "127.0.0.0/8", "SPROUT_SECRET_WEBHOOK": self.WEBHOOK}
        self.up = Running(self.data, rack=0, **told)
        self._held.callback(self.up.stop)
        self._built()
        self._racked()
        self._until_it_answers()
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

    def within(self, *words):
        """Run a command in the rack's network; return what it printed."""
        prefix = ["ip", "netns", "exec", self.rack["netns"]]
        done = subprocess.run(
            [*prefix, *words], capture_output=True, text=True, check=False, timeout=30
        )
        return done.stdout

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
        with _serving(handler) as url:
            yield f"{url}/rescue.iso"

    def key(self):
        """Return the file of the operator's public key, by which `sprout ssh` comes in."""
        private = self.data / "ssh" / "id_ed25519"
        private.parent.mkdir(mode=0o700)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(private)]
        subprocess.run(words, check=True, timeout=30)
        return private.with_suffix(".pub")

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
        started = process.launch(command, log, cwd=ROOT, env=self.up.env)
        self._held.callback(process.stop, started, how=signal.SIGTERM)
        described = self._state / "rack.json"
        process.wait_until_ready(started, described.read_text, log, seconds=60)
        self.rack = json.loads(described.read_text())
        self.units = [Unit(each, self._state) for each in self.rack["machines"]]

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


@dataclass
class Waiting:
    """Where a webhook is, and what came to it."""

    url: str
    calls: SimpleQueue

    def heard(self):
        """Return the first call, None before it."""
        return None if self.calls.empty() else self.calls.get()


@contextmanager
def _serving(handler):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def webhook():
    """Serve what integrations post to."""
    calls = SimpleQueue()
    with _serving(type("Bound", (Hook,), {"calls": calls})) as url:
        yield Waiting(f"{url}/hook", calls)


@contextmanager
def yard(folder, cache, *, machines=2):
    with Yard(folder, cache, machines=machines) as found:
        yield found
