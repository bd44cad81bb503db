"""Three sites with machines in every state, as a database of some weeks would hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2

from models import queries
from models.commands import approvals, asks, discoveries, inventory, policy, seals, walks
from models.errors import Forbidden
from models.kinds import Kind
from models.observations import Seen
from models.tables import Agent as AgentRow
from models.views import MachineView
from tests.models import make
from tests.models.test_discoveries import Teller, sighting

SYSTEMS = (
    ("Dell Inc.", "PowerEdge R650", 262144, 1_920_383_410_176),
    ("Supermicro", "SYS-620C-TN12R", 524288, 3_840_755_982_336),
    ("HPE", "ProLiant DL325 Gen11", 131072, 960_197_124_096),
)
LONG = "storage-archive-cold-tier-r12-u38.ams-2.provisioning.example.org"


@dataclass
class Place:
    """A site with its network and its agent."""

    slug: str
    name: str
    number: int
    capabilities: tuple[str, ...] = ("boot", "dhcp", "http", "redfish")

    def __post_init__(self) -> None:
        self.site = inventory.create_site(make.ADMIN, name=self.name, slug=self.slug, labels={})
        self.made = 0

    def serve(self) -> None:
        make.network(
            self.site,
            cidr=f"10.{self.number}.0.0/24",
            range_start=f"10.{self.number}.0.50",
            range_end=f"10.{self.number}.0.250",
        )
        self.agent = make.Agent(self.site, self.capabilities)
        # Live for as long as the pictures take.
        self.agent.silent(-3600)
        AgentRow.update(hostname=f"boot-01.{self.slug}", software="0.1.0").where(
            AgentRow.id == self.agent.id
        ).execute()

    def machine(self, hostname: str, **labels: str) -> UUID:
        self.made += 1
        mac = f"3c:ec:ef:{self.number:02x}:{self.made:02x}:{self.made * 7 % 256:02x}"
        return make.machine(
            self.site,
            hostname,
            [make.interface(mac)],
            labels={"rack": hostname.split("-")[1], **labels},
            bmc={
                "protocol": "redfish",
                "address": f"https://10.{self.number}.1.{self.made}",
                "secret_ref": "vault:bmc/rack#password",
            },
            root_disk=None,
        )

    def commissioned(self, machine: UUID) -> None:
        flow = asks.commission(make.ADMIN, machine, reason="racked today")
        walks.advance(flow, make.render)
        self.agent.finish(flow, facts(queries.machine(machine), self.made))

    def provisioning(self, machine: UUID, steps: int) -> UUID:
        """Ask for a system, and let so many of its steps be seen."""
        flow = asks.provision(
            make.ADMIN, machine, image_ref="debian-12", profile_ref="plain", reason="new tenant"
        )
        walks.advance(flow, make.render)
        run = queries.machine(machine).run_id
        boots = (
            (Seen.PLAN_SERVED, {"version": 1}),
            *((None, result) for result in ({"power": "off"}, {}, {"power": "on"})),
            (Seen.DHCP_OFFERED, {"address": f"10.{self.number}.0.50", "file": "snponly.efi"}),
            (Seen.DHCP_ACKED, {"address": f"10.{self.number}.0.50", "file": "snponly.efi"}),
            (Seen.TFTP_SENT, {"name": "snponly.efi", "bytes": 1024000, "seconds": 0.41}),
            (Seen.SCRIPT_SERVED, {"bytes": 812, "sha256": "5ce23063" * 8}),
            (Seen.ARTIFACT_SERVED, {"path": "debian-12/vmlinuz", "bytes": 8_211_392}),
            (Seen.INSTALL_STARTED, {"disk": "/dev/nvme0n1"}),
            (Seen.INSTALL_PROGRESS, {"written": str(612 << 20), "total": str(1024 << 20)}),
            (Seen.INSTALLED, {"written": 1 << 30}),
            (Seen.PHONED_HOME, {"hostname": queries.machine(machine).hostname}),
        )
        for kind, data in boots[:steps]:
            if kind is None:
                self.agent.finish(flow, data)
            else:
                self.agent.report(kind, machine, run=run, data=data)
        return flow


def facts(machine: MachineView, number: int) -> Mapping[str, Any]:
    maker, model, memory, room = SYSTEMS[number % len(SYSTEMS)]
    serial = f"{'SJKQRT'[number % 6]}{number * 7919 % 999983:06d}"
    return {
        "system": {
            "manufacturer": maker,
            "model": model,
            "serial": serial,
            "uuid": f"4c4c4544-0042-3510-8054-{number:012x}",
        },
        "memory_mib": memory,
        "health": "OK",
        "power": "off",
        "disks": [
            {"model": "SAMSUNG MZQL21T9", "serial": f"S64GNE0T{number:06d}", "bytes": room},
        ],
        "nics": [{"mac": each.mac} for each in machine.interfaces],
    }


def enter(database_url: str) -> Mapping[str, UUID]:
    """Fill the database; return the machines and workflows that have pages of their own."""
    make.image(), make.profile()
    places = (
        Place("fra-1", "Frankfurt 1", 11),
        Place("ams-2", "Amsterdam 2", 12, ("boot", "http", "redfish")),
        Place("lab", "Lab مختبر", 13),
    )
    fra, ams, lab = places
    for place in places:
        place.serve()
    shown = {**_frankfurt(fra), **_amsterdam(ams)}
    for number in range(1, 4):
        lab.machine(f"bench-lab-{number:02d}", simulated="true")
    Place("sin-1", "Singapore, not yet served", 14)
    _checked(fra, ams)
    _strangers(fra)
    shown |= _words(fra)
    _aged(database_url)
    lab.agent.silent(4000)
    while seals.seal_next():
        pass
    return shown


def _frankfurt(fra: Place) -> Mapping[str, UUID]:
    active = [fra.machine(f"compute-r01-{n:02d}", role="compute") for n in range(1, 13)]
    for machine in active:
        fra.commissioned(machine)
        fra.provisioning(machine, 13)
    stages = {"gpu-r02-01": 11, "gpu-r02-02": 8, "gpu-r02-03": 7, "gpu-r02-04": 3}
    shown = {}
    for name, steps in stages.items():
        machine = fra.machine(name, role="gpu")
        fra.commissioned(machine)
        shown[name] = fra.provisioning(machine, steps)
    for number in range(1, 7):
        fra.commissioned(fra.machine(f"spare-r03-{number:02d}", role="spare"))
    for number in range(1, 4):
        fra.machine(f"new-r04-{number:02d}")
    busy = fra.machine("new-r04-04")
    walks.advance(asks.commission(make.ADMIN, busy, reason="racked today"), make.render)
    resting = queries.machine("spare-r03-06").id
    asks.moved(make.ADMIN, resting, Kind.MAINTENANCE, reason="fan 3 is loud")
    asks.moved(make.ADMIN, queries.machine("spare-r03-05").id, Kind.RETIRE, reason="sold")
    return {"machine": queries.machine("gpu-r02-01").id, "flow": shown["gpu-r02-01"],
            "active": active[2]}  # fmt: skip


def _amsterdam(ams: Place) -> Mapping[str, UUID]:
    for number in range(1, 9):
        machine = ams.machine(f"storage-r11-{number:02d}", role="storage")
        ams.commissioned(machine)
        if number < 6:
            ams.provisioning(machine, 13)
    failed = ams.machine("storage-r11-09", role="storage")
    ams.commissioned(failed)
    ams.provisioning(failed, 4)
    ams.agent.report(
        Seen.INSTALL_FAILED,
        failed,
        run=queries.machine(failed).run_id,
        data={"stage": "write", "reason": "no disk with serial S64GNE0T000009 is there"},
    )
    long = ams.machine(LONG, note="خادم التخزين البارد")
    flow = asks.commission(make.ADMIN, long, reason="racked today")
    walks.advance(flow, make.render)
    ams.agent.fail(flow, retryable=False)
    return {"failed": failed, "long": long}


def _checked(fra: Place, ams: Place) -> None:
    steps = [
        {"client": client, "what": what, "level": "ok", "detail": detail}
        for client in ("bios", "x64", "arm64")
        for what, detail in (
            ("offer", "10.11.0.240 by 10.11.0.1 in 3 ms"),
            ("loader", "tftp://10.11.0.1:69/snponly.efi: 1,024,000 bytes in 19 ms"),
        )
    ]
    foreign = [
        {
            "address": "10.12.0.9",
            "mac": "52:54:00:00:00:09",
            "offered": "10.12.0.200",
            "file": "",
        }
    ]
    wrong = {
        "client": "arm64",
        "what": "loader",
        "level": "failed",
        "detail": "snp-arm64.efi: there is no such file",
    }
    _check(fra, {"findings": steps, "foreign": []})
    _check(ams, {"findings": [*steps[:4], wrong], "foreign": foreign})


def _check(place: Place, told: Mapping[str, Any]) -> None:
    AgentRow.update(checked=told, checked_at=AgentRow.last_seen_at).where(
        AgentRow.id == place.agent.id
    ).execute()


def _strangers(fra: Place) -> None:
    tell = Teller(fra.agent).tell
    macs = [f"b4:2e:99:4f:01:{n:02x}" for n in range(1, 7)]
    tell(*(sighting(mac, relay="10.11.4.1" if n % 2 else "") for n, mac in enumerate(macs)))
    tell(sighting(macs[0]), sighting(macs[1], arch=27))
    discoveries.ignore(make.ADMIN, discoveries.listed()[-1].id, reason="a visitor's laptop")


def _words(fra: Place) -> Mapping[str, UUID]:
    """Have reboots asked for with and without an approval."""
    asked = queries.machine("compute-r01-04").id
    for machine, kind in ((asked, Kind.REBOOT), (queries.machine("compute-r01-07").id, None)):
        try:
            if kind is None:
                asks.release(make.ADMIN, machine, wipe="none", reason="the tenant is gone")
            else:
                asks.power(make.ADMIN, machine, kind, reason="kernel update")
        except Forbidden as exc:
            policy.keep(exc)
    made = []
    for number, (action, decision) in enumerate(
        (("reboot", "approved"), ("release", "denied"), ("reboot", "approved"))
    ):
        machine = queries.machine(f"compute-r01-{number + 8:02d}").id
        new = approvals.NewApproval(
            machine_id=machine, action=action, decision=decision, reason="kernel update"
        )
        made.append((machine, approvals.create_approval(make.ADMIN, new)))
    machine, approval = made[0]
    flow = asks.power(
        make.ADMIN, machine, Kind.REBOOT, reason="kernel update", approval_id=approval
    )
    walks.advance(flow, make.render)
    fra.agent.finish(flow, {"power": "on"})
    return {"asked": asked, "approval": made[2][1]}


_AGED = """
UPDATE workflows SET created_at = created_at - age, begun_at = begun_at - age,
    finished_at = finished_at - age
FROM (SELECT id AS which, interval '1 minute' * (abs(hashtext(machine_id::text)) % 40000) AS age
      FROM workflows WHERE state = 'succeeded') AS aged WHERE id = which;
UPDATE observations SET at = at - aged.gap FROM (
    SELECT id AS which, interval '1 second' * sum(0.3 + abs(hashtext(id::text)) % 90 / 9.0) OVER (
        PARTITION BY machine_id ORDER BY id DESC) AS gap FROM observations) AS aged
WHERE id = which;
UPDATE workflows SET created_at = created_at - interval '190 s' WHERE state = 'running';
UPDATE agents SET networks_version = s.networks_version
FROM sites s WHERE s.id = agents.site_id;
"""


def _aged(database_url: str) -> None:
    """Let what has ended have ended at different times."""
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(_AGED)
    connection.close()
