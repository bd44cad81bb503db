"""`sprout up --rack N`: a rack, its site, and its machines led from power-off to active."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config.settings import BadSettings, Settings
from edge.cli import racks, rehearsal
from edge.cli.client import Api, Told
from edge.cli.fleet import Fleet
from edge.cli.follow import step_of
from edge.cli.local.core import Core
from edge.cli.local.up import MODULES, Step, Up
from edge.cli.racks import Rack
from edge.cli.stages import table
from edge.cli.verbs import ask

AGENT_S: Final = 60.0
EVERY_S: Final = 0.5
FEW: Final = 3
"""So many simulated machines are led one after the other, step by step; more are counted."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the operator asked for; *speed* divides simulated machines' own times."""

    machines: int
    firmware: str
    once: bool
    simulated: bool = False
    speed: float = 1.0
    inventory: bool = False
    """Commission machines by the inventory image too, which costs a boot of each."""


def say(line: str) -> None:
    """Tell the person at the terminal; results alone go to standard output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def up(wanted: Wanted, *own: Callable[[Settings], Step]) -> int:
    """Run Sprout here; rack and provision the machines that are wanted.  Return exit status.

    *own*: what else is done, before the rack, told the settings.
    """
    try:
        settings = Settings.load()
    except BadSettings as exc:
        say(f"sprout: {exc}")
        return 2
    rehearse = Rehearsal(settings, wanted)
    modules = {**MODULES, "image": ("deploy.image",), "inventory-image": ("deploy.image",)}
    steps = (rehearse.welcome, *(each(settings) for each in own), rehearse.run)
    return Up(settings, steps, say=say, modules=modules).run()


class Rehearsal:
    """What comes after the core is up."""

    def __init__(self, settings: Settings, wanted: Wanted) -> None:
        self._settings = settings
        self._wanted = wanted
        self._data = settings.data_dir
        self._began = time.monotonic()
        self._simulated = wanted.simulated

    def welcome(self, _: Up, core: Core) -> None:
        """Show the way in."""
        api = Api(core.api_url, core.admin_token)
        say(f"dashboard: {api.post('/v1/sign-in-codes', {})['url']}  (signs in once)")
        say(f"ready in {time.monotonic() - self._began:.1f} s")

    def run(self, started: Up, core: Core) -> int | None:
        """Rack, record, provision and watch; None: go on running."""
        if not self._wanted.machines:
            return None
        try:
            good = self._lead(self._rack(), started, core)
        except Told as exc:
            say(f"sprout: {exc.message}")
            good = False
        return (0 if good else 1) if self._wanted.once else None

    def _rack(self) -> Rack:
        """Return the rack that is wanted, or the one that can be run here; say which."""
        wanted, settings = self._wanted, self._settings
        lacking = [] if wanted.simulated else racks.lacking(wanted.firmware)
        if not (wanted.simulated or lacking):
            return racks.Virtual(
                settings,
                machines=wanted.machines,
                firmware=wanted.firmware,
                inventory=wanted.inventory,
            )
        if lacking:
            say("no machine with real firmware can be run here:")
            for line in lacking:
                say(f"  {line}")
        say("the machines are SIMULATED: DHCP, TFTP, HTTP and Redfish are spoken for real,")
        say("but no firmware, kernel or system runs, and nothing is written to a disk")
        return racks.Simulated(
            settings, machines=wanted.machines, firmware=wanted.firmware, speed=wanted.speed
        )

    def _lead(self, rack: Rack, started: Up, core: Core) -> bool:
        api = Api(core.api_url, core.admin_token)
        site = rehearsal.site(api, rack.premises)
        if not rack.premises.simulated:
            say("building the image (once; it is kept) and racking the machines")
        rack.start(started, core)
        described = rack.described()
        self._start_site(started, core, api, rack, described)
        key = rehearsal.ssh_key(self._data / "ssh")
        domain = self._settings.provisioning_domain
        records = rehearsal.records(
            api, rack.premises, site, described, rack.built(), key=key, domain=domain
        )
        self._simulated = rack.premises.simulated
        if self._wanted.inventory and not self._simulated:
            rehearsal.inventory_image(api, rack.inventory())
        wait_for_agent(api, site)
        if rack.premises.simulated and len(records.machines) > FEW:
            good = Fleet(api, records, say).lead()
        else:
            # Each is led to its end, whatever became of the others.
            ends = [self._active(api, records, name) for name in records.machines]
            good = all(ends)
        self._farewell(core, records, good=good, simulated=rack.premises.simulated)
        return good

    def _start_site(
        self, started: Up, core: Core, api: Api, rack: Rack, described: Mapping[str, Any]
    ) -> None:
        enrolment = self._data / f"enrolment-{rack.premises.slug}.json"
        rehearsal.enrolled(api, rack.premises, enrolment)
        prefix = self._settings.secret_env_prefix
        passwords = {
            prefix + rehearsal.secret_name(described, one): _read(one["bmc"]["password_file"])
            for one in described["machines"]
        }
        env = {
            "SPROUT_ENROLMENT_FILE": str(enrolment),
            "SPROUT_ARTIFACT_DIR": str(self._data / "site-artifacts"),
            "SPROUT_BMC_NETWORKS": "127.0.0.0/8",
            "SPROUT_OUTBOUND_ALLOW": ",".join((*self._settings.outbound_allow, "127.0.0.0/8")),
            **rack.site_env(described),
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
        if rehearsal.wants_commissioning(machine):
            done = self._followed(
                api, name, ask(api, machine["id"], "commission", self._inventory())
            )
            if not done:
                return False
        body = {"imageRef": records.image, "profileRef": records.profile, "reason": "rehearsal"}
        return self._followed(api, name, ask(api, machine["id"], "provision", body))

    def _inventory(self) -> dict[str, str]:
        by_image = self._wanted.inventory and not self._simulated
        return {"inventory": "image" if by_image else "bmc"}

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

    def _farewell(
        self, core: Core, records: rehearsal.Records, *, good: bool, simulated: bool
    ) -> None:
        first = next(iter(records.machines))
        token = self._data / "secrets.json"
        real = f"sprout ssh {first} uname -a" if good else f"sprout machines timeline {first}"
        say("")
        say(f"{'' if good else 'not '}all machines are active{' (simulated)' * simulated}")
        say("try next:")
        for line in (
            f"sprout why {first}",
            f"sprout machines timeline {first}" if simulated else real,
            "sprout machines list",
            "sprout login-url",
            f"curl -H 'Authorization: Bearer TOKEN' {core.api_url}/v1/machines",
        ):
            say(f"  {line}")
        say(f"  (TOKEN: admin_token in {token})")
        if not self._wanted.once:
            say("Ctrl-C stops everything")


def wait_for_agent(api: Api, site: str) -> None:
    """Return when an agent of *site* lives.  Raises Told."""
    until = time.monotonic() + AGENT_S
    while time.monotonic() < until:
        if any(agent["live"] for agent in api.get(f"/v1/sites/{site}/health")["agents"]):
            return
        time.sleep(EVERY_S)
    raise Told("the site's agent does not report", "Its log: log/site.log in the data folder.")


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8").strip()
