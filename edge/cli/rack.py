"""`sprout up --rack N`: a rack, its site, and its machines led from power-off to active."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from config.settings import BadSettings, Settings
from edge.cli import rehearsal
from edge.cli.client import Api, Told
from edge.cli.follow import step_of
from edge.cli.local.core import Core
from edge.cli.local.process import Finished, LogLine
from edge.cli.local.up import MODULES, Up
from edge.cli.machines import ask
from edge.cli.stages import table

BUILD_S: Final = 1200.0
"""Seconds that the first build of the image may take."""

AGENT_S: Final = 60.0
ACTIVE_S: Final = 1800.0
EVERY_S: Final = 0.5

Say = Callable[[str], None]


def say(line: str) -> None:
    """Tell the person at the terminal; results alone go to standard output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def up(*, machines: int, firmware: str, once: bool) -> int:
    """Run Sprout here; with *machines*, rack and provision them.  Return the exit status."""
    try:
        settings = Settings.load()
    except BadSettings as exc:
        say(f"sprout: {exc}")
        return 2
    rehearse = Rehearsal(settings, machines=machines, firmware=firmware, once=once)
    modules = {**MODULES, "image": ("deploy.image",)}
    return Up(settings, (rehearse.welcome, rehearse.run), say=say, modules=modules).run()


class Rehearsal:
    """What comes after the core is up."""

    def __init__(self, settings: Settings, *, machines: int, firmware: str, once: bool) -> None:
        self._settings = settings
        self._count = machines
        self._firmware = firmware
        self._once = once
        self._data = settings.data_dir
        self._state = self._data / f"rack-{firmware}"
        self._artifacts = self._data / "artifacts"
        self._began = time.monotonic()

    def welcome(self, _: Up, core: Core) -> None:
        """Show the way in."""
        api = Api(core.api_url, core.admin_token)
        say(f"dashboard: {api.post('/v1/sign-in-codes', {})['url']}  (signs in once)")
        say(f"ready in {time.monotonic() - self._began:.1f} s")

    def run(self, started: Up, core: Core) -> int | None:
        """Rack, record, provision and watch; None: go on running."""
        if not self._count:
            return None
        if lacking := self._lacking():
            say("no rack can be run here:")
            for line in lacking:
                say(f"  {line}")
            return 1 if self._once else None
        try:
            good = self._lead(started, core)
        except Told as exc:
            say(f"sprout: {exc.message}")
            good = False
        return (0 if good else 1) if self._once else None

    def _lacking(self) -> list[str]:
        words = [sys.executable, "-m", "deploy.rack", "check", "--firmware", self._firmware]
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=_checkout())
        return [] if done.returncode == 0 else (done.stdout or done.stderr).splitlines()[-12:]

    def _lead(self, started: Up, core: Core) -> bool:
        api = Api(core.api_url, core.admin_token)
        site = rehearsal.site(api)
        say("building the image (once; it is kept) and racking the machines")
        self._start_rack(started, core)
        rack = json.loads((self._state / "rack.json").read_text(encoding="utf-8"))
        self._start_site(started, core, api, rack)
        built = json.loads((self._image_folder / "image.json").read_text(encoding="utf-8"))
        key = rehearsal.ssh_key(self._data / "ssh")
        domain = self._settings.provisioning_domain
        records = rehearsal.records(api, site, rack, built, key=key, domain=domain)
        _wait_for_agent(api, site)
        # Each is led to its end, whatever became of the others.
        ends = [self._active(api, records, name) for name in records.machines]
        good = all(ends)
        self._farewell(core, records, good=good)
        return good

    @property
    def _image_folder(self) -> Path:
        return self._artifacts / rehearsal.PREFIX

    def _start_rack(self, started: Up, core: Core) -> None:
        image = started.process(
            "image",
            core,
            *("--output", str(self._image_folder), "--cache", str(self._data / "image-cache")),
            ready=Finished(),
        )
        rack = started.process(
            "rack",
            core,
            *("up", "--machines", str(self._count), "--firmware", self._firmware),
            *("--name", f"rack-{self._firmware}", "--state", str(self._state)),
            *("--cidr", rehearsal.CIDR, "--address", rehearsal.ADDRESS),
            *("--netns", _namespace(self._data), "--bmc-port", str(self._bmc_port())),
            ready=LogLine('"machines"'),
            stop_s=20.0,
        )
        started.start(image, rack)
        started.wait_ready("image", "rack", timeout_s=BUILD_S)

    def _bmc_port(self) -> int:
        """Return the port of the first BMC: the one that its record has, else a free one."""
        try:
            rack = json.loads((self._state / "rack.json").read_text(encoding="utf-8"))
            return int(rack["machines"][0]["bmc"]["address"].rpartition(":")[2])
        except (OSError, ValueError, KeyError, IndexError):
            return _free_ports(self._count)

    def _start_site(self, started: Up, core: Core, api: Api, rack: Mapping[str, Any]) -> None:
        enrolment = self._data / "enrolment.json"
        rehearsal.enrolled(api, enrolment)
        folders = [str(path) for path in (*self._settings.loader_dirs, self._image_folder)]
        prefix = self._settings.secret_env_prefix
        passwords = {
            prefix + rehearsal.secret_name(rack, one): _read(one["bmc"]["password_file"])
            for one in rack["machines"]
        }
        env = {
            "SPROUT_ENROLMENT_FILE": str(enrolment),
            "SPROUT_SITE_DIR": str(self._data / "site"),
            "SPROUT_NETNS": str(rack["netns"]),
            "SPROUT_DHCP_BIND_INTERFACE": str(rack["bridge"]),
            "SPROUT_DHCP_BIND_ADDR": rehearsal.ADDRESS,
            "SPROUT_ARTIFACT_DIR": str(self._artifacts),
            "SPROUT_LOADER_DIRS": ":".join(folders),
            "SPROUT_BMC_NETWORKS": "127.0.0.0/8",
        }
        started.start(started.process("site", core, needs=("rack",), env={**env, **passwords}))

    def _active(self, api: Api, records: rehearsal.Records, name: str) -> bool:
        """Lead one machine to active; say how it went."""
        machine = api.get(f"/v1/machines/{records.machines[name]}")
        if machine["state"] in {"provisioning", "commissioning"}:
            # Left over from a start that was cut short: its power went with the rack.
            api.post(f"/v1/workflows/{machine['workflow']['id']}/cancel", {})
            machine = api.get(f"/v1/machines/{machine['id']}")
        if machine["state"] == "active":
            say(f"{name} is active already: powering it on from its disk")
            return self._followed(api, name, ask(api, machine["id"], "power-on", {}))
        if machine["state"] in {"registered", "failed"}:
            done = self._followed(api, name, ask(api, machine["id"], "commission", {}))
            if not done:
                return False
        body = {"imageRef": records.image, "profileRef": records.profile, "reason": "rehearsal"}
        return self._followed(api, name, ask(api, machine["id"], "provision", body))

    def _followed(self, api: Api, name: str, workflow: str) -> bool:
        began, told = time.monotonic(), ""
        while True:
            found = api.get(f"/v1/workflows/{workflow}")
            line = f"{found['kind']}: {step_of(found)}"
            if line != told:
                told = line
                say(f"{time.monotonic() - began:7.1f} s  {name}  {line}")
            if found["state"] != "running":
                break
            time.sleep(EVERY_S)
        if found["state"] != "succeeded":
            say(f"{name}: {found['detail']}")
        if found["kind"] == "provision":
            for line in table(api.items(f"/v1/workflows/{workflow}/events", limit=500)):
                say(line)
        return bool(found["state"] == "succeeded")

    def _farewell(self, core: Core, records: rehearsal.Records, *, good: bool) -> None:
        first = next(iter(records.machines))
        token = self._data / "secrets.json"
        say("")
        say("all machines are active" if good else "not all machines are active")
        say("try next:")
        for line in (
            f"sprout why {first}",
            f"sprout ssh {first} uname -a" if good else f"sprout machines timeline {first}",
            "sprout machines list",
            "sprout login-url",
            f"curl -H 'Authorization: Bearer TOKEN' {core.api_url}/v1/machines",
        ):
            say(f"  {line}")
        say(f"  (TOKEN: admin_token in {token})")
        if not self._once:
            say("Ctrl-C stops everything")


def _wait_for_agent(api: Api, site: str) -> None:
    """Return when an agent of *site* lives.  Raises Told."""
    until = time.monotonic() + AGENT_S
    while time.monotonic() < until:
        if any(agent["live"] for agent in api.get(f"/v1/sites/{site}/health")["agents"]):
            return
        time.sleep(EVERY_S)
    raise Told("the site's agent does not report", "Its log: log/site.log in the data folder.")


def _namespace(data: Path) -> str:
    """Return a name that belongs to this data folder alone, the same at every start."""
    return f"sprout-{hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:8]}"


def _free_ports(count: int) -> int:
    """Return the first of *count* neighbouring ports that are free on loopback."""
    for base in range(21_000, 31_000, max(count, 10)):
        held = [socket.socket() for _ in range(count)]
        try:
            for number, one in enumerate(held):
                one.bind(("127.0.0.1", base + number))
        except OSError:
            continue
        else:
            return base
        finally:
            for one in held:
                one.close()
    raise Told("no free ports for the rack's BMCs on 127.0.0.1")


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()


def _checkout() -> Path:
    return Path(__file__).resolve().parents[2]
