"""All services at once among hostile packets: real clients are served, and nothing is left over.

FLOOD_S and FLOOD_RATE (packets a second of each kind) make it longer and harder.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from models import bootplan
from models.bootnet import Mode
from models.bootplan import Access
from tests.fuzz.flood import SOURCES
from tests.pxe_stack import make
from tests.pxe_stack.lab import ROOT, SERVER_ADDRESS, ip, serving, until
from tests.pxe_stack.nets import network, whole

pytestmark = pytest.mark.services

SERVICES = ("dhcp", "tftp", "dns", "http", "files")
SECONDS = float(os.environ.get("FLOOD_S", "12"))
RATE = float(os.environ.get("FLOOD_RATE", "300"))
SLACK_S = 0.25
"""What the flood's own work takes of a machine with few cores."""
GROWTH_KIB = 24 * 1024


def clients(plan):
    """The real clients, by name: each command succeeds when it was served."""
    script = bootplan.url(plan, make.KEY, Access.SCRIPT, "script")
    udhcpc = ("busybox", "udhcpc", "-i", "c0", "-n", "-q", "-f", "-t", "8", "-s", "/bin/true")
    return {
        "udhcpc": udhcpc,
        "tftp-hpa": ("tftp", "-m", "binary", SERVER_ADDRESS, "-c", "get", "undionly.kpxe", "got"),
        "curl": ("curl", "-sf", "-m", "20", "--interface", make.ADDRESS, script),
        "dig": ("dig", f"@{SERVER_ADDRESS}", "-b", make.ADDRESS, "+short", "node-01.rack.test"),
    }


def timed(wire, command):
    began = time.monotonic()
    went = wire.run(*command)
    assert went.returncode == 0, (command, went.stdout, went.stderr)
    return time.monotonic() - began


def medians(wire, commands, rounds):
    took = [{name: timed(wire, each) for name, each in commands.items()} for _ in range(rounds)]
    return {name: statistics.median(each[name] for each in took) for name in commands}


def held(boot):
    """(sockets, KiB of memory) of each process."""
    return {name: _held(child.pid) for name, child in boot.processes.items()}


def _held(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    memory = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return sum(map(_is_socket, Path(f"/proc/{pid}/fd").iterdir())), int(memory.split()[1])


def _is_socket(descriptor):
    with suppress(FileNotFoundError):  # closed since it was listed
        return str(descriptor.readlink()).startswith("socket:")
    return False


@pytest.mark.timeout(SECONDS * 3 + 120)
def test_real_clients_are_served_among_hostile_packets_and_nothing_is_left_over(wire, site):
    plan = make.plan()
    wire.give_address(f"{make.ADDRESS}/24")
    for source in SOURCES:
        ip("-n", wire.clients, "addr", "add", f"{source}/24", "dev", "c0")
    named = replace(site, dns_address=SERVER_ADDRESS, domain="rack.test")
    with serving(named, *SERVICES) as boot:
        boot.stores.plans.put(plan)
        net = network(Mode.FULL)
        boot.stores.plans.put_networks([net], version=1, ranges=[whole(net)])
        commands = clients(plan)
        medians(wire, commands, 1)
        timed(wire, ("curl", "-sfo", "got", f"{make.URL}/loaders/undionly.kpxe"))
        before, quiet = held(boot), medians(wire, commands, 5)
        line = ["ip", "netns", "exec", wire.clients, sys.executable, "-m", "tests.fuzz.flood"]
        line += [SERVER_ADDRESS, str(SECONDS), str(RATE)]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE) as flood:
            among = []
            while flood.poll() is None:
                among.append(medians(wire, commands, 1))
            sent = json.loads(flood.stdout.read())
        until(lambda: _all_closed(before, held(boot)), 40)
        after = held(boot)
        alive = [name for name, child in boot.processes.items() if child.poll() is None]
        failed = [name for name in SERVICES if ".failed" in boot.log(name)]

    flooded = {name: statistics.median(each[name] for each in among) for name in commands}
    told = {"sent": sent, "quiet": quiet, "flooded": flooded, "before": before, "after": after}
    sys.stdout.write(json.dumps(told) + "\n")
    assert alive == list(SERVICES)
    assert failed == []
    assert {n for n in commands if flooded[n] > 2 * quiet[n] + SLACK_S} == set()
    assert {n for n in SERVICES if after[n][1] - before[n][1] > GROWTH_KIB} == set()
    assert len(among) >= 3


def _all_closed(before, after):
    return all(after[name][0] <= before[name][0] for name in before)
