"""A boot storm: a thousand machines in a second, from DHCP to their last callback.

The site's own processes, on loopback; what they use of the processors is the figure.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from models.bootplan import Access, BootPlan
from pxe_stack import wire
from pxe_stack.serve import Site
from tests.bench.first_light import say
from tests.bench.http_boots import asks, plan
from tests.bench.http_peers import cpu_s
from tests.pxe_stack import lab, make
from tests.services import process

MACHINES = 1000
CLIENTS = 3
SPREAD_S = 1.0
SIZE = 1_048_000
LOADER = "undionly.kpxe"
MOST_CORE_S = 16.0
WANTED = [1, 3, 6, 12, 15, 43, 60, 66, 67]
SERVICES = ("dhcp", "tftp", "files", "http")
ASKED = (
    ("GET", Access.SCRIPT, "script"),
    ("GET", Access.SEED, "seed/user-data"),
    ("POST", Access.CALLBACK, "started"),
    ("POST", Access.CALLBACK, "progress"),
    ("POST", Access.CALLBACK, "installed"),
)


def measure(folder: Path) -> bool:
    """Print the figures; return whether all booted, within the bound."""
    loaders = folder / "loaders"
    loaders.mkdir(parents=True)
    (loaders / LOADER).write_bytes(random.Random(1350).randbytes(SIZE))
    dhcp, tftp, http = process.free_ports(3)
    site = Site(
        directory=folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=f"http://127.0.0.1:{http}",
        boot_address="127.0.0.1",
        boot_port=http,
        dhcp_interface="lo",
        dhcp_address="127.0.0.1",
        tftp_address="127.0.0.1",
        dhcp_port=dhcp,
        tftp_port=tftp,
        loader_dirs=(loaders,),
    )
    plans = [plan(number, site.boot_url) for number in range(MACHINES)]
    with lab.serving(site, *SERVICES) as boot:
        for each in plans:
            boot.stores.plans.put(each)
        return _storm(folder, boot, [_told(n, each, site) for n, each in enumerate(plans)])


def _told(number: int, plan: BootPlan, site: Site) -> dict[str, Any]:
    address = plan.addressing.address
    vendor = (60, b"PXEClient:Arch:00000:UNDI:002001")
    # A relay that is answered at the port it sent from (RFC 8357).
    common = [vendor, (93, b"\0\0"), (82, b"\x13\0"), ("param_req_list", WANTED)]
    chosen = [("requested_addr", address), ("server_id", site.dhcp_address), *common]
    packets = [
        wire.request(kind, plan.mac, xid=number + 1, giaddr=address, options=options).hex()
        for kind, options in (("discover", common), ("request", chosen))
    ]
    return {
        "start": number * SPREAD_S / MACHINES,
        "address": address,
        "dhcp": packets,
        "dhcp_port": site.dhcp_port,
        "tftp_port": site.tftp_port,
        "http_port": site.boot_port,
        "loader": LOADER,
        "size": SIZE,
        "asks": asks(plan, ASKED),
    }


def _storm(folder: Path, boot: lab.Boot, told: list[dict[str, Any]]) -> bool:
    pids = {name: child.pid for name, child in boot.processes.items()}
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    began = time.monotonic()
    said = _played(folder, told)
    taken = sorted(t for each in said for t in each["taken"])
    lost = [t for each in said for t in each["lost"]]
    wall = time.monotonic() - began
    used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    say(f"storm: {MACHINES} machines over {SPREAD_S:.0f} s: DHCP, 1 MB by TFTP block by block,")
    say("  script, seed, 3 callbacks; loopback, clients on the same processors")
    say(f"  {len(taken)} booted, {len(lost)} lost {sorted(set(lost))[:3]}, all in {wall:.1f} s")
    if taken:
        say(f"  a boot: median {median(taken):.1f} s, longest {taken[-1]:.1f} s")
    say("  core-seconds: " + ", ".join(f"{name} {each:.2f}" for name, each in used.items()))
    say(f"  {sum(used.values()):.2f} together, of at most {MOST_CORE_S:.0f}")
    return len(taken) == MACHINES and sum(used.values()) <= MOST_CORE_S


def _played(folder: Path, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    clients = []
    for number in range(CLIENTS):
        path = folder / f"machines-{number}.json"
        path.write_text(json.dumps(told[number::CLIENTS]), encoding="ascii")
        command = [sys.executable, "-m", "tests.bench.storm_machines", str(path)]
        clients.append(subprocess.Popen(command, stdout=subprocess.PIPE))
    return [json.loads(client.communicate(timeout=180)[0]) for client in clients]
