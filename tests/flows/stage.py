"""One `sprout up --rack 1` under way, asked over its API and its command line."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import requests

ROOT = Path(__file__).parents[2]
SPROUT = ROOT / ".venv" / "bin" / "sprout"
LIMIT_S = 600
LOOK_S = 0.1
TOLD_LINES = 40
ENDED = {"succeeded", "failed", "cancelled"}


class Running:
    """The product on a data folder of its own, with *rack* machines of *firmware*."""

    def __init__(self, data, *, firmware="bios", once=False, rack=1, words=(), **env):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.data = data
        self.env = {
            **os.environ,
            "SPROUT_DATA_DIR": str(data),
            "SPROUT_BIND": self.url.removeprefix("http://"),
            **env,
        }
        racked = ["--rack", str(rack), "--firmware", firmware] if rack else []
        words = [str(SPROUT), "up", *racked, *(["--once"] * once), *words]
        self.told = data.parent / "told"
        with self.told.open("wb") as out:
            self.process = subprocess.Popen(words, env=self.env, stdout=out, stderr=out)

    def call(self, method, path, body=None):
        token = json.loads((self.data / "secrets.json").read_text())["admin_token"]
        head = {"Authorization": f"Bearer {token}"}
        return requests.request(method, f"{self.url}{path}", headers=head, json=body, timeout=60)

    def get(self, path):
        return self.call("GET", path).json()

    def machine(self):
        return self.get("/v1/machines")["items"][0]

    def until(self, wanted):
        """Return the machine when *wanted* holds for it."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                found = self.machine()
            except (OSError, LookupError, ValueError):
                found = None
            if found and wanted(found):
                return found
            self.look_again()
        raise AssertionError(f"it never came: {self.story()}")

    def ended_itself(self):
        """Return the exit status that the product ends with, of itself."""
        try:
            return self.process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it never ended: {self.story()}") from None

    def story(self):
        """Return what the product said, what its machines wait for and the ends of its logs."""
        logs = [
            *sorted(self.data.glob("log/*.log")),
            *sorted(self.data.glob("rack-*/*/serial.log")),
        ]
        said = {log: log.read_text(errors="replace").splitlines() for log in logs}
        ends = ["\n".join([str(log), *lines[-TOLD_LINES:]]) for log, lines in said.items()]
        try:
            seen = [
                json.dumps(each)
                for machine in self.get("/v1/machines")["items"]
                for each in (machine, *self.get(f"/v1/machines/{machine['id']}/timeline")["items"])
            ]
        except (OSError, LookupError, ValueError) as exc:
            seen = [f"its API does not answer: {exc}"]
        return "\n".join([self.told.read_text(), *seen, *ends])

    def ended(self, workflow):
        """Return the workflow when it has ended."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            found = self.get(f"/v1/workflows/{workflow}")
            if found["state"] in ENDED:
                return found
            self.look_again()
        raise AssertionError("the workflow never ended")

    def look_again(self):
        """Wait for the product's end, and not for long."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(LOOK_S)

    def ask(self, machine, verb, **body):
        """Ask for *verb* and return its workflow's end; what policy wants approved is approved."""
        path = f"/v1/machines/{machine}/{verb}"
        answer = self.call("POST", path, body)
        if answer.status_code == 403 and answer.json()["type"].endswith("approval-needed"):
            answer = self.call("POST", path, body | {"approvalId": self._approved(machine, verb)})
        assert answer.status_code == 202, answer.text
        return self.ended(answer.headers["Location"].rpartition("/")[2])

    def _approved(self, machine, verb):
        # A machine that runs a system is provisioned again, which is another action.
        action = "reprovision" if verb == "provision" else verb
        said = {"machineId": machine, "action": action, "decision": "approved"}
        answer = self.call("POST", "/v1/approvals", said)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def sprout(self, *words):
        """Run the command line against this product."""
        command = [str(SPROUT), *words]
        return subprocess.run(
            command, env=self.env, capture_output=True, text=True, check=False, timeout=120
        )

    def booted(self, name):
        """Return the name of the machine's boot, as its kernel has it; None while it is away."""
        done = self.sprout("ssh", name, "cat", "/proc/sys/kernel/random/boot_id")
        return done.stdout.strip() or None

    def pid(self, name):
        roster = json.loads((self.data / "processes.json").read_text())
        return next(entry["pid"] for entry in roster["entries"] if entry["name"] == name)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)


def prepared(folder, cache):
    """Return a data folder that finds the image in *cache*, built there when it is not."""
    words = [sys.executable, "-m", "deploy.image", "--cache", str(cache), "--output"]
    subprocess.run([*words, str(cache / "out")], check=True, cwd=ROOT, timeout=LIMIT_S)
    data = folder / "data"
    data.mkdir(mode=0o700)
    (data / "image-cache").symlink_to(cache)
    return data
