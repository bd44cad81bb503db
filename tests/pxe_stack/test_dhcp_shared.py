"""Clients that several processes, or several agents, hear at once: each is answered once."""

import json
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from pxe_stack import dhcp_ears, sockets
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Share
from pxe_stack.net_store import Range
from pxe_stack.packets import Kind
from pxe_stack.site_directory import Stores
from tests.bench.dhcp_client import packet
from tests.pxe_stack.lab import ROOT, SERVER_ADDRESS, _written, ip, lab, until
from tests.pxe_stack.nets import network
from tests.services import process

pytestmark = pytest.mark.services

RELAY, OTHER = "10.77.0.2", "10.77.0.3"
CLIENTS, ROUND = 192, 32
FIRST = IPv4Address("10.80.0.0")
NET = network(cidr=IPv4Network("10.64.0.0/10"), pool_first=FIRST, pool_last=FIRST + 8191)
ALL, LOWER, UPPER = (0, 8191), (0, 4095), (4096, 8191)
BROADCAST = ("255.255.255.255", 67)


@pytest.fixture
def wide(wire, site):
    """A site with room for many clients, which are behind a relay or on its wire."""
    ip("-n", wire.servers, "addr", "replace", f"{SERVER_ADDRESS}/10", "dev", "s0")
    wire.give_address(f"{RELAY}/10")
    return replace(site, dhcp_probe_s=0.0)


@contextmanager
def running(site, count=1, part=ALL):
    """The *count* processes of *site*, which leases *part* of the pool."""
    stores = Stores(site.directory, site.agent)
    stores.journal.begin()
    stores.plans.put_networks([NET], ranges=[Range(NET.network, *(FIRST + n for n in part))])
    with ExitStack() as stack:
        stack.callback(stores.close)
        children = []
        for index in range(count):
            command = [sys.executable, "-m", "tests.pxe_stack.dhcp_process", _written(site)]
            command += [str(index), str(count)]
            children.append(process.launch(command, site.directory / f"{index}.log", cwd=ROOT))
            stack.callback(process.stop, children[-1])
        until(lambda: len(stores.journal.ready_services()) == count)
        yield children


class Crowd:
    """Clients by number that talk by *sock*; *heard* counts (number, kind) of all replies."""

    def __init__(self, sock, to, relay):
        self.sock, self.to, self.relay = sock, to, socket.inet_aton(relay)
        self.heard = Counter()
        self.acked = {}
        self.offers = {}

    def come(self, numbers, secs=0):
        """Take each client through to its address, ROUND at a time."""
        for at in range(0, len(numbers), ROUND):
            group = numbers[at : at + ROUND]
            for number in group:
                self._say(Kind.DISCOVER, number, b"", secs)
            self._hear_all(group, Kind.OFFER)
            for number in group:
                server, address = self.offers[number]
                self._say(Kind.REQUEST, number, b"\x36\4" + server + b"\x32\4" + address, secs)
            self._hear_all(group, Kind.ACK)

    def hear_the_rest(self):
        """Hear what came besides, once nobody is there any more who could say more."""
        self.sock.settimeout(0)
        while True:
            try:
                self._hear()
            except BlockingIOError:
                return

    def _say(self, kind, number, extra, secs):
        raw = packet(kind, number, self.relay, extra)
        self.sock.sendto(raw[:8] + bytes((0, secs, 0x80, 0)) + raw[12:], self.to)

    def _hear_all(self, numbers, kind):
        self.sock.settimeout(60)
        while any((number, kind) not in self.heard for number in numbers):
            self._hear()

    def _hear(self):
        raw = self.sock.recv(2048)
        number, kind, address = int.from_bytes(raw[4:8], "big"), Kind(raw[242]), raw[16:20]
        self.heard[number, kind] += 1
        self.offers.setdefault(number, (raw[245:249], address))
        if kind is Kind.ACK:
            self.acked.setdefault(address, set()).add(number)


def by_broadcast(wire):
    sock = sockets.made_in(wire.clients, lambda: sockets.udp("0.0.0.0", 68, interface="c0"))
    return Crowd(sock, BROADCAST, "0.0.0.0")


def by_relay(wire):
    sock = sockets.made_in(wire.clients, lambda: sockets.udp(RELAY, 67))
    return Crowd(sock, (SERVER_ADDRESS, 67), RELAY)


def given(site, share):
    """The clients in the file of the process with *share*."""
    with LeaseStore(site.directory, share)._db.reading() as connection:
        return {client for (client,) in connection.execute("SELECT client FROM leases")}


@pytest.mark.parametrize("crowd_of", [by_broadcast, by_relay])
def test_of_two_processes_one_answers_each_client_and_it_answers_once(wire, wide, crowd_of):
    crowd = crowd_of(wire)
    with crowd.sock, running(wide, 2) as children:
        crowd.come(range(CLIENTS))
        for child in children:
            child.terminate()
            child.wait(60)
        crowd.hear_the_rest()

    assert set(crowd.heard.values()) == {1}
    assert len(crowd.heard) == 2 * CLIENTS
    assert len(crowd.acked) == CLIENTS
    for index in range(2):
        who = {number for number in range(CLIENTS) if dhcp_ears.owner(mac(number), 2) == index}
        assert given(wide, Share(index, 2)) == {b"\1" + hardware(number) for number in who}


def hardware(number):
    return packet(1, number, bytes(4))[28:34]


def mac(number):
    return hardware(number).hex(":")


def test_a_process_that_was_killed_comes_back_to_its_own_clients(wire, wide):
    crowd = by_relay(wire)
    with crowd.sock:
        with running(wide, 2) as children:
            crowd.come(range(CLIENTS))
            process.stop(children[1])  # by SIGKILL
        with running(wide, 2):
            crowd.come(range(CLIENTS, 2 * CLIENTS))

    assert {len(numbers) for numbers in crowd.acked.values()} == {1}
    assert len(crowd.acked) == 2 * CLIENTS


@pytest.fixture
def both(wire, wide, tmp_path):
    """Two agents on one wire: a bridge joins their ends, and the clients are on it."""
    (tmp_path / "other").mkdir()
    with lab(tmp_path / "other", 1000) as second:
        ip("-n", second.clients, "link", "set", "c0", "netns", wire.clients, "name", "c1")
        ip("-n", wire.clients, "addr", "flush", "dev", "c0")
        ip("-n", wire.clients, "link", "add", "b0", "type", "bridge")
        for port in ("c0", "c1"):
            ip("-n", wire.clients, "link", "set", port, "master", "b0", "up")
        ip("-n", wire.clients, "addr", "add", f"{RELAY}/10", "dev", "b0")
        ip("-n", wire.clients, "link", "set", "b0", "up")
        ip("-n", second.servers, "addr", "replace", f"{OTHER}/10", "dev", "s0")
        other = replace(
            wide,
            directory=tmp_path / "other" / "site",
            netns=second.servers,
            dhcp_address=OTHER,
            tftp_address=OTHER,
        )
        until(lambda: forwarding(wire.clients) == {"c0", "c1"})
        yield wide, other


def forwarding(space):
    """The ports of the bridge in *space* that let packets through: the kernel takes its time."""
    told = subprocess.run(
        ["bridge", "-n", space, "-j", "link", "show"], check=True, capture_output=True
    )
    return {port["ifname"] for port in json.loads(told.stdout) if port["state"] == "forwarding"}


def test_two_agents_on_one_wire_give_no_address_twice_also_when_one_is_killed(wire, both):
    one, other = both
    sock = sockets.made_in(wire.clients, lambda: sockets.udp("0.0.0.0", 68, interface="b0"))
    crowd = Crowd(sock, BROADCAST, "0.0.0.0")
    with sock, running(other, part=UPPER):
        with running(one, part=LOWER) as (first,):
            crowd.come(range(CLIENTS))
            both_gave = {server for server, _ in crowd.offers.values()}
            process.stop(first)  # by SIGKILL
        crowd.come(range(CLIENTS, 2 * CLIENTS), secs=4)
        with running(one, part=LOWER):
            crowd.come(range(2 * CLIENTS, 3 * CLIENTS))

    assert both_gave == {socket.inet_aton(SERVER_ADDRESS), socket.inet_aton(OTHER)}
    assert {len(numbers) for numbers in crowd.acked.values()} == {1}
    assert len(crowd.acked) == 3 * CLIENTS
