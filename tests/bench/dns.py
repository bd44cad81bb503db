"""DNS beside dnsmasq: the same questions, from the same clients, one core each, in turns.

For information: what a provisioning network asks is far below either.
"""

import os
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from models.bootplan import Addressing
from pxe_stack import sockets
from pxe_stack.serve import Site
from tests.bench.first_light import say
from tests.pxe_stack import make
from tests.pxe_stack.dns_make import query
from tests.pxe_stack.lab import SERVER_ADDRESS, Lab, ip, lab, serving, until
from tests.services import process

CLIENTS: Final = 200
HOSTS: Final = 1000
UNDER_WAY: Final = 64
SECONDS: Final = 2.0
ROUNDS: Final = 3
DOMAIN: Final = "provisioning.sprout.local"
PEER: Final = "10.77.127.53"
SERVER_CORE: Final = 0
CLIENT_CORES: Final = frozenset({2, 3})


def measure(folder: Path) -> bool:
    """Print queries per second of both; always true: there is no bound."""
    folder.mkdir(parents=True)
    with _wire(folder) as wire, _ours(wire) as pid, _dnsmasq(wire) as peer:
        for number in (pid, peer):
            os.sched_setaffinity(number, {SERVER_CORE})
        taken: dict[str, list[float]] = {SERVER_ADDRESS: [], PEER: []}
        for _ in range(ROUNDS):
            for server, figures in taken.items():
                figures.append(_per_second(wire, server))
    own, other = median(taken[SERVER_ADDRESS]), median(taken[PEER])
    say(f"DNS, {HOSTS} hosts, {CLIENTS} clients, one core, median of {ROUNDS} rounds")
    say(f"  Sprout   {own:9.0f} queries/s")
    say(f"  dnsmasq  {other:9.0f} queries/s, ratio {own / other:.2f}")
    return True


@contextmanager
def _wire(folder: Path) -> Iterator[Lab]:
    """Two namespaces, in one of which every address of a large network is a client's."""
    with lab(folder, 90) as wire:
        ip("-n", wire.servers, "addr", "add", f"{PEER}/16", "dev", "s0")
        wire.give_address("10.77.0.21/16")
        ip("-n", wire.clients, "route", "add", "local", "10.77.128.0/17", "dev", "lo")
        yield wire


def _hosts() -> Iterator[tuple[int, str]]:
    for number in range(HOSTS):
        yield number, f"10.77.{1 + number // 250}.{1 + number % 250}"


@contextmanager
def _ours(wire: Lab) -> Iterator[int]:
    site = Site(
        directory=wire.folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=make.URL,
        netns=wire.servers,
        dns_address=SERVER_ADDRESS,
    )
    with serving(site, "dns") as boot:
        for number, address in _hosts():
            told = Addressing(address=address, prefix_length=16)
            boot.stores.plans.put(replace(make.another(number), addressing=told))
        until(lambda: _answers(wire, SERVER_ADDRESS))
        yield boot.processes["dns"].pid


@contextmanager
def _dnsmasq(wire: Lab) -> Iterator[int]:
    hosts = wire.folder / "hosts"
    hosts.write_text("".join(f"{a} node-{n}.{DOMAIN}\n" for n, a in _hosts()))
    command = [
        *("ip", "netns", "exec", wire.servers, "dnsmasq", "--keep-in-foreground"),
        *("--conf-file=/dev/null", "--no-hosts", f"--addn-hosts={hosts}", "--no-resolv"),
        *("--user=root", "--pid-file=", f"--listen-address={PEER}", "--bind-interfaces"),
        *("--except-interface=lo", f"--local=/{DOMAIN}/"),
    ]
    child = process.launch(command, wire.folder / "dnsmasq.log")
    try:
        until(lambda: _answers(wire, PEER))
        yield child.pid
    finally:
        process.stop(child)


def _answers(wire: Lab, server: str) -> bool:
    with _client(wire, server, 0) as sock:
        sock.settimeout(0.3)
        sock.send(query(f"node-{HOSTS - 1}.{DOMAIN}"))
        try:
            return bool(sock.recv(512)[7])
        except OSError:
            return False


def _client(wire: Lab, server: str, number: int) -> socket.socket:
    def made() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"10.77.128.{1 + number}", 0))
        sock.connect((server, 53))
        return sock

    return sockets.made_in(wire.clients, made)


def _per_second(wire: Lab, server: str) -> float:
    """Return how many questions *server* answers in a second, UNDER_WAY of them at any time."""
    os.sched_setaffinity(0, CLIENT_CORES)
    raw = [query(f"node-{number}.{DOMAIN}") for number in range(HOSTS)]
    clients = [_client(wire, server, number) for number in range(CLIENTS)]
    answered, begun = 0, time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for number, sock in enumerate(clients):
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ)
            if number < UNDER_WAY:
                sock.send(raw[number])
        while time.perf_counter() - begun < SECONDS:
            for key, _ in selector.select(0.1):
                key.fileobj.recv(512)
                answered += 1
                clients[answered % CLIENTS].send(raw[answered % HOSTS])
    for sock in clients:
        sock.close()
    return answered / (time.perf_counter() - begun)
