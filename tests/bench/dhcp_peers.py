"""The DHCP servers that are measured, each in a namespace of its own, ready to be asked."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from models.bootnet import BootNetwork
from models.bootplan import BootPlan
from pxe_stack.serve import Site
from pxe_stack.site_directory import Stores
from tests.pxe_stack import lab as labs
from tests.pxe_stack import make
from tests.pxe_stack.lab import Lab, ip, until
from tests.pxe_stack.nets import network, whole
from tests.services import postgres, process

SERVER: Final = "10.77.0.1"
RELAYS: Final = ("10.77.0.2", "10.77.0.3")
FIRST, LAST = "10.80.0.0", "10.95.255.255"
WIRE: Final = "10.64.0.0/10"
_TALKATIVE: Final = ("leases", "packets", "options", "alloc-engine")
CREATE: Final = Path("/usr/share/kea/scripts/pgsql/dhcpdb_create.pgsql")


@dataclass
class Peer:
    """A server that runs on *cores*, reached from the clients of *lab*."""

    name: str
    lab: Lab
    processes: list[subprocess.Popen[bytes]]

    def memory_kb(self) -> int:
        """Return what its processes alone hold."""
        return sum(_private_kb(each.pid) for each in self.processes)

    def cpu_s(self) -> float:
        return sum(_cpu_s(each.pid) for each in self.processes)


@contextmanager
def wire(folder: Path, number: int) -> Iterator[Lab]:
    """A relay's namespace and a server's, in one network that a million clients fit in."""
    folder.mkdir(parents=True, exist_ok=True)
    with labs.lab(folder, number) as lab:
        ip("-n", lab.servers, "addr", "replace", f"{SERVER}/10", "dev", "s0")
        for relay in RELAYS:
            ip("-n", lab.clients, "addr", "replace", f"{relay}/10", "dev", "c0")
        yield lab


@contextmanager
def starved(lab: Lab, size: int) -> Iterator[Peer]:
    """The same with all that is usual, a pool of *size* and one machine with a plan, on `c0`."""
    first = IPv4Address(FIRST)
    net = network(cidr=IPv4Network(WIRE), pool_first=first, pool_last=first + size - 1)
    plan = make.plan(mac="52:54:00:00:00:01")
    with _ours(lab, 1, net, replace(_site(lab), dhcp_probe_s=0.1), plan) as peer:
        yield peer


@contextmanager
def ours(lab: Lab, processes: int = 1) -> Iterator[Peer]:
    """Sprout's DHCP: policy on, every lease synced before its ACK."""
    net = network(
        cidr=IPv4Network(WIRE), pool_first=IPv4Address(FIRST), pool_last=IPv4Address(LAST)
    )
    with _ours(lab, processes, net, _site(lab)) as peer:
        yield peer


def _site(lab: Lab) -> Site:
    return Site(
        directory=lab.folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=make.URL,
        netns=lab.servers,
        dhcp_interface="s0",
        dhcp_address=SERVER,
        tftp_address=SERVER,
        dhcp_probe_s=0.0,  # nor do the others
    )


@contextmanager
def _ours(
    lab: Lab, processes: int, net: BootNetwork, site: Site, *plans: BootPlan
) -> Iterator[Peer]:
    stores = Stores(site.directory, site.agent)
    stores.plans.put_networks([net], ranges=[whole(net)])
    for plan in plans:
        stores.plans.put(plan)
    with ExitStack() as stack:
        stack.callback(stores.close)
        children = []
        for index in range(processes):
            command = [sys.executable, "-m", "tests.pxe_stack.dhcp_process", labs._written(site)]
            command += [str(index), str(processes)]
            children.append(_on(2 * index, command, lab, stack, cwd=labs.ROOT))
        until(lambda: len(stores.journal.ready_services()) == processes)
        yield Peer(f"sprout, {processes} process{'es' if processes > 1 else ''}", lab, children)


@contextmanager
def kea(
    lab: Lab, name: str, lease_database: dict[str, Any], *, quiet: bool = False
) -> Iterator[Peer]:
    """Kea on one core, single-threaded, which is the quicker of its modes there."""
    config = lab.folder / f"{name}.json"
    config.write_text(json.dumps({"Dhcp4": _kea(lease_database, quiet=quiet)}))
    env = {"KEA_PIDFILE_DIR": str(lab.folder), "KEA_LOCKFILE_DIR": "none"}
    with ExitStack() as stack:
        command = ["ip", "netns", "exec", lab.servers, "kea-dhcp4", "-c", str(config)]
        child = _on(0, command, lab, stack, env=os.environ | env)
        log = lab.folder / "0.log"
        until(lambda: "DHCP4_STARTED" in log.read_text(errors="replace"))
        yield Peer(name, lab, [child])


def memfile(lab: Lab) -> dict[str, Any]:
    return {"type": "memfile", "persist": True, "name": str(lab.folder / "leases.csv")}


@contextmanager
def kea_with_postgres(lab: Lab) -> Iterator[Peer]:
    """Kea with its leases in PostgreSQL, which commits each of them, on the other core."""
    with _postgres() as cluster:
        psql = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(CREATE), cluster.url()]
        subprocess.run(psql, check=True, capture_output=True)
        lease_database = {
            "type": "postgresql",
            "name": "postgres",
            "host": str(cluster.folder),
            "port": cluster.port,
            "user": "sprout",
            "password": cluster.password,
        }
        with kea(lab, "Kea + PostgreSQL", lease_database) as peer:
            yield peer


@contextmanager
def dnsmasq(lab: Lab) -> Iterator[Peer]:
    """dnsmasq with its lease file, which it writes anew and syncs for every lease."""
    options = [
        *("--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=s0"),
        *("--bind-interfaces", "--no-ping", "--dhcp-authoritative", "--log-facility=/dev/null"),
        *(f"--dhcp-range={FIRST},{LAST},255.192.0.0,1h", "--dhcp-lease-max=2000000"),
        *(f"--dhcp-leasefile={lab.folder / 'dnsmasq.leases'}", "--user=root", "--pid-file="),
    ]
    with ExitStack() as stack:
        command = ["ip", "netns", "exec", lab.servers, "dnsmasq", *options]
        child = _on(0, command, lab, stack)
        until((lab.folder / "dnsmasq.leases").exists)
        yield Peer("dnsmasq, lease file", lab, [child])


def _kea(lease_database: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    return {
        "interfaces-config": {"interfaces": ["s0"], "dhcp-socket-type": "udp"},
        "lease-database": lease_database,
        "multi-threading": {"enable-multi-threading": False},
        "valid-lifetime": 3600,
        "subnet4": [{"id": 1, "subnet": WIRE, "pools": [{"pool": f"{FIRST} - {LAST}"}]}],
        "loggers": [
            {
                "name": "kea-dhcp4",
                "severity": "INFO",
                "output_options": [{"output": "stdout", "flush": True}],
            },
            *({"name": f"kea-dhcp4.{each}", "severity": "WARN"} for each in _TALKATIVE if quiet),
        ],
    }


def _on(core: int, command: list[str], lab: Lab, stack: ExitStack, **options: Any):
    log = lab.folder / f"{core}.log"
    pinned = ["taskset", "-c", str(core), *command]
    child = process.launch(pinned, log, **options)
    stack.callback(process.stop, child)
    return child


class _Local(postgres.Postgres):
    """PostgreSQL on core 2, reached by a socket in its folder from any network namespace."""

    def start(self) -> None:
        command = ["taskset", "-c", "2", str(postgres.BIN / "postgres"), "-p", str(self.port)]
        command += ["-D", str(self.folder / "data"), "-c", "listen_addresses=127.0.0.1"]
        command += ["-c", f"unix_socket_directories={self.folder}", "-c", "shared_buffers=64MB"]
        self.postmaster = process.launch(
            command, self.log, cwd=self.folder, **postgres.UNPRIVILEGED
        )
        process.wait_until_ready(self.postmaster, self._login, self.log, seconds=30)


@contextmanager
def _postgres() -> Iterator[postgres.Postgres]:
    with TemporaryDirectory(prefix="sprout-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        password = secrets.token_hex(16)
        postgres._initialise(folder, password)
        made = _Local(folder, process.free_ports(1)[0], password)
        try:
            made.start()
            yield made
        finally:
            made.stop(signal.SIGQUIT)


def _private_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
