"""Real clients, in namespaces, against the real process on networks of each mode."""

import os
import signal
import sqlite3
import threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random

import pytest

from models.bootnet import Mode
from models.observations import Seen
from pxe_stack import lease_store, packets, sockets
from pxe_stack import wire as scapy
from pxe_stack.site_directory import Stores
from tests.bench.dhcp_client import Load, packet
from tests.pxe_stack import make
from tests.pxe_stack.lab import SERVER_ADDRESS, ip, serving, until
from tests.pxe_stack.nets import POOL, network, whole

pytestmark = pytest.mark.services

KILLS, SAMPLE = 50, 5
MORE = [pytest.param(seed, marks=pytest.mark.long) for seed in range(SAMPLE, KILLS)]
WIDE = IPv4Network("10.64.0.0/10")
RELAY = "10.77.0.2"


@pytest.fixture
def pooled(site):
    """A site whose network is ours in full."""
    return told(site, network())


def told(site, *networks):
    stores = Stores(site.directory, site.agent)
    stores.plans.put_networks(networks, ranges=[whole(each) for each in networks])
    stores.close()
    return site


def udhcpc(wire, *more):
    return wire.run("busybox", "udhcpc", "-i", "c0", "-n", "-q", "-f", "-s", "/bin/true", *more)


def leases(site):
    with sqlite3.connect(lease_store.path(site.directory, 0)) as file:
        return dict(file.execute("SELECT address, state FROM leases").fetchall())


def test_udhcpc_leases_and_releases_an_address_of_the_pool(wire, pooled):
    with serving(pooled, "dhcp"):
        went = udhcpc(wire, "-R")

        assert f"lease of {POOL[0]} obtained" in went.stderr
        assert leases(pooled).keys() == {int(IPv4Address(POOL[0]))}


def test_a_client_gets_its_address_back_after_the_server_was_killed(wire, pooled):
    with serving(pooled, "dhcp") as boot:
        wire.run("ip", "link", "set", "c0", "address", "52:54:00:00:00:07")
        udhcpc(wire)
        wire.run("ip", "link", "set", "c0", "address", "52:54:00:00:00:08")
        second = udhcpc(wire)
        boot.processes["dhcp"].kill()
    with serving(pooled, "dhcp"):
        again = udhcpc(wire)

    assert "lease of 10.77.0.101 obtained" in second.stderr
    assert "lease of 10.77.0.101 obtained" in again.stderr


def test_dhclient_leases_renews_and_releases(wire, pooled):
    files = ("-lf", str(wire.folder / "leases"), "-pf", str(wire.folder / "dhclient.pid"))
    ask = ("timeout", "50", "dhclient", "-4", "-1", "-v", *files, "-sf", "/bin/true")
    with serving(pooled, "dhcp"):
        first = wire.run(*ask, "c0")
        wire.run("dhclient", "-x", *files, "c0")
        again = wire.run(*ask, "c0")  # knows its lease: INIT-REBOOT
        wire.run("dhclient", "-r", *files, "c0")

    assert f"bound to {POOL[0]}" in first.stderr
    assert f"bound to {POOL[0]}" in again.stderr
    assert "DHCPDISCOVER" not in again.stderr


def test_dhcping_is_answered(wire, pooled):
    wire.give_address("10.77.0.33/24")
    with serving(pooled, "dhcp"):
        udhcpc(wire)
        said = wire.run("dhcping", "-c", "10.77.0.33", "-s", SERVER_ADDRESS, "-i", "-t", "30")

    assert f"Got answer from: {SERVER_ADDRESS}" in said.stdout


def test_nmap_finds_the_server_and_what_it_tells(wire, pooled):
    wire.give_address("10.77.0.33/24")
    with serving(pooled, "dhcp"):
        said = wire.run("nmap", "--script", "broadcast-dhcp-discover", "-e", "c0").stdout

    assert f"Server Identifier: {SERVER_ADDRESS}" in said
    assert "Router: 10.77.0.254" in said


def test_perfdhcp_loses_nothing_through_a_relay(wire, site):
    told(site, network(pool_first=IPv4Address("10.77.0.100"), pool_last=IPv4Address("10.77.0.220")))
    wire.give_address(f"{RELAY}/24")
    with serving(site, "dhcp"):
        command = (
            "-4",
            "-r",
            "100",
            "-R",
            "100",
            "-p",
            "2",
            "-d",
            "20",
            "-W",
            "3000000",
            "-l",
            RELAY,
        )
        said = wire.run("perfdhcp", *command, SERVER_ADDRESS).stdout

    assert said.count("drops: 0") == 2, said


def test_an_address_that_somebody_uses_is_found_and_rests(wire, pooled):
    wire.give_address(f"{POOL[0]}/24")
    with serving(pooled, "dhcp"):
        went = udhcpc(wire, "-t", "10")

        assert "lease of 10.77.0.101 obtained" in went.stderr
        until(lambda: leases(pooled).get(int(IPv4Address(POOL[0]))) == 2)


def test_a_proxy_is_heard_beside_another_server_and_answers_on_port_4011(wire, site):
    told(site, network(Mode.PROXY, strangers_boot=True))
    wire.give_address("10.77.0.50/24")
    ask = scapy.request(
        "request",
        make.MAC,
        ciaddr="10.77.0.50",
        options=[(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, b"\0\7")],
    )
    made = sockets.made_in(wire.clients, lambda: sockets.udp("10.77.0.50", 4011))
    with serving(site, "dhcp"), made as client:
        client.settimeout(60)
        client.sendto(ask, (SERVER_ADDRESS, 4011))
        reply, source = client.recvfrom(2048)

    told_ = scapy.decoded(reply)
    assert source == (SERVER_ADDRESS, 4011)
    assert (told_["message-type"], told_["file"]) == ("ack", "snponly.efi")


def test_an_unknown_machine_that_asks_to_boot_is_reported_once(wire, pooled):
    wire.give_address(f"{RELAY}/24")
    uuid = bytes(range(16))
    asks = [
        scapy.request(
            "discover",
            "52:54:00:00:00:42",
            xid=number,
            giaddr=RELAY,
            options=[(60, b"PXEClient:Arch:00007"), (93, b"\0\7"), (97, b"\0" + uuid)],
        )
        for number in range(20)
    ]
    with serving(pooled, "dhcp") as boot:
        with sockets.made_in(wire.clients, lambda: sockets.udp(RELAY, 67)) as relay:
            relay.settimeout(60)
            for ask in asks:
                relay.sendto(ask, (SERVER_ADDRESS, 67))
                relay.recv(2048)

        (found,) = boot.wait_for(Seen.MACHINE_DISCOVERED)

    assert found.mac == found.data["mac"] == "52:54:00:00:00:42"
    assert found.data["uuid"] == "03020100-0504-0706-0809-0a0b0c0d0e0f"
    assert (found.data["arch"], found.data["relay"]) == (7, RELAY)
    assert found.data["address"] == POOL[0]


@pytest.fixture
def wide(wire, site):
    """A site with room for a million clients, and a relay that they are behind."""
    ip("-n", wire.servers, "addr", "replace", f"{SERVER_ADDRESS}/10", "dev", "s0")
    wire.give_address(f"{RELAY}/10")
    first, last = IPv4Address("10.80.0.0"), IPv4Address("10.80.63.255")
    return told(
        replace(site, dhcp_probe_s=0.0), network(cidr=WIDE, pool_first=first, pool_last=last)
    )


@pytest.mark.parametrize("seed", [*range(SAMPLE), *MORE])
def test_a_server_killed_amid_a_thousand_leases_forgets_none_and_gives_none_twice(
    wire, wide, seed, request
):
    rng = Random(seed)
    load = sockets.made_in(wire.clients, lambda: Load(SERVER_ADDRESS, RELAY, 1000))
    request.addfinalizer(load.close)
    for _ in range(3):
        with serving(wide, "dhcp") as boot:
            server = boot.processes["dhcp"]
            killer = threading.Timer(rng.uniform(0.05, 0.4), server.send_signal, [signal.SIGKILL])
            killer.start()
            load.run(1000, 0.6)
            killer.join()
            server.wait(60)
    with serving(wide, "dhcp"):
        figures = load.run(200, 2.0)

    assert figures["done"] > 1000
    assert (figures["twice"], figures["moved"]) == (0, 0)


def test_a_client_is_served_while_somebody_else_writes_to_the_journal(wire, site):
    with serving(site, "dhcp") as boot:
        boot.stores.plans.put(make.plan())
        with boot.stores.journal.together(durable=False):
            went = udhcpc(wire, "-t", "1", "-T", "20")
        (acked,) = boot.wait_for(Seen.DHCP_ACKED)

    assert f"lease of {make.ADDRESS} obtained" in went.stderr
    assert acked.mac == make.MAC


FLOOD = int(os.environ.get("DHCP_STARVERS", "20000"))


def test_a_flood_of_strangers_keeps_no_planned_machine_from_its_address(wire, wide, request):
    known = packet(1, 7, b"")[28:34].hex(":")
    other = "10.77.0.3"
    ip("-n", wire.clients, "addr", "add", f"{other}/10", "dev", "c0")
    with serving(wide, "dhcp") as boot:
        boot.stores.plans.put(make.plan(mac=known))
        machine = sockets.made_in(
            wire.clients, lambda: Load(SERVER_ADDRESS, other, 1, 7, lost_s=30)
        )
        request.addfinalizer(machine.close)
        machine.run(1, 1.0)
        quiet = machine.settle()
        with sockets.made_in(wire.clients, lambda: sockets.udp(RELAY, 67)) as flood:
            stop = threading.Event()
            starver = threading.Thread(target=starve, args=(flood, stop))
            starver.start()
            machine.run(1, 3.0)
            flooded = machine.settle()
            stop.set()
            starver.join()
        rows = boot.stores.journal.pending(0, 100_000)

    assert quiet["lost"] == flooded["lost"] == 0
    assert flooded["done"] > 100
    assert len(rows) < 10_000


def starve(sock, stop):
    """Send DISCOVERs of as many different clients as there are, a few thousand a second."""
    giaddr = packets.inet_aton(RELAY)
    for number in range(1000, 1000 + FLOOD):
        if stop.is_set():
            return
        try:
            sock.sendto(packet(1, number, giaddr), (SERVER_ADDRESS, 67))
        except BlockingIOError:
            continue
        if number % 32 == 0:
            stop.wait(0.008)
