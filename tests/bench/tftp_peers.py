"""TFTP servers that serve one folder, each at a port of its own, for the block."""

import functools
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.image import apt
from pxe_stack import sockets
from pxe_stack.serve import Site
from tests.pxe_stack import make
from tests.pxe_stack.lab import SERVER_ADDRESS, Lab, serving, until
from tests.services import process

OURS, HPA, ATFTPD, DNSMASQ = "sprout", "tftpd-hpa", "atftpd", "dnsmasq"
PORTS: Mapping[str, int] = {OURS: 6901, HPA: 6902, ATFTPD: 6903, DNSMASQ: 69}


@dataclass
class Peer:
    """A server that runs; *pid* is its first process."""

    name: str
    pid: int

    @property
    def address(self) -> tuple[str, int]:
        return SERVER_ADDRESS, PORTS[self.name]

    def pin(self, cores: set[int]) -> None:
        """Keep it, and all that it starts from now on, on *cores*."""
        for each in self.processes():
            for thread in each.threads():
                os.sched_setaffinity(thread.id, cores)

    def processes(self) -> list[psutil.Process]:
        top = psutil.Process(self.pid)
        return [top, *top.children(recursive=True)]

    def private_bytes(self) -> int:
        """What its processes have in memory for themselves alone."""
        return sum(each.memory_full_info().uss for each in self.processes())


@contextmanager
def running(lab: Lab, files: Path) -> Iterator[dict[str, Peer]]:
    """All servers at once, in the lab's namespace of servers: who is not asked does nothing."""
    with ExitStack() as stack:
        peers = {OURS: stack.enter_context(_ours(lab, files))}
        for name, command in _commands(lab.folder, files).items():
            peers[name] = stack.enter_context(_peer(lab, name, command))
        yield peers


@contextmanager
def _ours(lab: Lab, files: Path) -> Iterator[Peer]:
    site = Site(
        directory=lab.folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=make.URL,
        netns=lab.servers,
        tftp_address=SERVER_ADDRESS,
        tftp_port=PORTS[OURS],
        loader_dirs=(files,),
    )
    with serving(site, "tftp") as boot:
        yield Peer(OURS, boot.processes["tftp"].pid)


def _commands(folder: Path, files: Path) -> dict[str, list[str]]:
    address = SERVER_ADDRESS
    return {
        HPA: [
            *(str(_unpacked("tftpd-hpa", folder) / "usr/sbin/in.tftpd"), "--foreground"),
            *("--user", "root", "--address", f"{address}:{PORTS[HPA]}", "--secure", str(files)),
        ],
        ATFTPD: [
            *("atftpd", "--daemon", "--no-fork", "--user", "root", "--group", "root"),
            *("--bind-address", address, "--port", str(PORTS[ATFTPD]), "--maxthread", "2000"),
            *("--verbose=3", "--logfile", str(folder / "atftpd.out"), str(files)),
        ],
        DNSMASQ: [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"),
            *("--user=root", "--pid-file", "--enable-tftp", f"--tftp-root={files}"),
            *("--tftp-max=2000", f"--listen-address={address}", "--bind-interfaces"),
        ],
    }


def _unpacked(package: str, folder: Path) -> Path:
    """Return where *package* lies, not installed: tftpd-hpa and atftpd exclude each other."""
    there = folder / package
    if not there.exists():
        apt.unpack([package], there)
    return there


@contextmanager
def _peer(lab: Lab, name: str, command: list[str]) -> Iterator[Peer]:
    log = lab.folder / f"{name}.log"
    # `ip netns exec` becomes the command, so that the pid is the server's.
    running = process.launch(["ip", "netns", "exec", lab.servers, *command], log)
    probe = sockets.made_in(lab.clients, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    try:
        probe.settimeout(0.1)
        until(functools.partial(_answers, probe, (SERVER_ADDRESS, PORTS[name])))
        yield Peer(name, running.pid)
    finally:
        probe.close()
        process.stop(running)


def _answers(probe: socket.socket, address: tuple[str, int]) -> bool:
    try:
        probe.sendto(b"\0\1is-it-there\0octet\0", address)
        return probe.recv(100)[:2] == b"\0\5"
    except OSError:
        return False
