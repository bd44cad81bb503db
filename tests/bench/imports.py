"""10,000 machines from another system's inventory over HTTP, from the asking to the end of the run.

`python -m tests.bench import`; IMPORT says how many.  Bounds: all created, in under a minute for
10,000; the same again changes nothing.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.actors import partners
from tests.bench import jobs_world
from tests.bench.jobs_world import World

MACHINES = int(os.environ.get("IMPORT", "10000"))
LIMIT_S = 60.0 * MACHINES / 10_000
PAGE = 500


def measure(folder: Path) -> bool:
    """Print the seconds of an import, of the same again, and of dry runs; whether all came."""
    with partners.running() as partner, jobs_world.running(folder) as world:
        _serve(partner)
        site = world.post("/v1/sites", {"name": "Bench", "slug": "bench"})
        body = {
            "siteId": site["id"],
            "name": "inventory",
            "kind": "inventory-import",
            "provider": "http",
            "endpoint": f"{partner.url}/machines",
        }
        job = world.post("/v1/integration-jobs", body)
        dry = _run(world, job, dry=True)
        first = _run(world, job)
        again = _run(world, job)
    good = (
        _counts(dry) == _counts(first) == {"created": MACHINES}
        and _counts(again) == {"unchanged": MACHINES}
        and first["seconds"] < LIMIT_S
    )
    for name, run in (("dry run", dry), ("import", first), ("the same again", again)):
        rate = MACHINES / run["seconds"]
        sys.stdout.write(
            f"  {name:<15}{MACHINES} machines in {run['seconds']:6.1f} s, {rate:6.0f}/s: "
            f"{run['detail']}\n"
        )
    sys.stdout.write(f"  bound {LIMIT_S:.0f} s  {'ok' if good else 'BROKEN'}\n")
    return good


def _run(world: World, job: dict[str, Any], *, dry: bool = False) -> dict[str, Any]:
    path = f"/v1/integration-jobs/{job['id']}"
    began = time.monotonic()
    run = world.post(f"{path}/run", {"dryRun": dry})["lastRun"]
    ended: dict[str, Any] = world.ended(f"{path}/runs/{run['id']}", 10 * LIMIT_S + 60)
    return ended | {"seconds": time.monotonic() - began}


def _counts(run: dict[str, Any]) -> dict[str, int]:
    return {what: count for what, count in run["result"]["counts"].items() if count}


def _serve(partner: partners.Partner) -> None:
    for start in range(0, MACHINES, PAGE):
        path = "/machines" + (f"?from={start}" if start else "")
        page: dict[str, Any] = {"machines": [_row(n) for n in range(start, start + PAGE)]}
        if start + PAGE < MACHINES:
            page["next"] = f"/machines?from={start + PAGE}"
        partner.pages[path] = page


def _row(n: int) -> dict[str, Any]:
    mac = f"52:54:00:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}"
    other = f"52:54:01:{n >> 16 & 255:02x}:{n >> 8 & 255:02x}:{n & 255:02x}"
    return {
        "hostname": f"node-{n:05d}",
        "architecture": "x86_64",
        "interfaces": [
            {"name": "eth0", "macAddress": mac, "pxeEnabled": True},
            {"name": "eth1", "macAddress": other},
        ],
        "labels": {"rack": str(n // 40)},
        "memoryMib": 65536,
        "bmc": {"address": f"https://10.0.{n >> 8 & 255}.{n & 255}", "secretRef": "env:BMC"},
    }
