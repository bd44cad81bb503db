"""The answer to "is there a router?": scapy asks and reads, in namespaces."""

import socket
from ipaddress import IPv4Network
from uuid import UUID

import pytest
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from models.bootnet import BootNetwork
from pxe_stack import router, sockets
from tests.pxe_stack.lab import serving, until

SOUND = bytes(ICMPv6ND_RS())
WITH_ADDRESS = SOUND + b"\x01\x01\x52\x54\x00\x00\x00\x01"
NEIGHBOUR = "fe80::5054:ff:fe00:1"


@pytest.mark.parametrize("message", [SOUND, WITH_ADDRESS, WITH_ADDRESS + b"\x0e\x01" + bytes(6)])
def test_a_neighbour_is_answered_where_it_is(message):
    assert router.answer_to(message, f"{NEIGHBOUR}%eth0", 255) == f"{NEIGHBOUR}%eth0"
    assert router.answer_to(message, "::", 255) == "ff02::1"


@pytest.mark.parametrize(
    ("message", "source", "hops"),
    [
        (SOUND, NEIGHBOUR, 254),
        (SOUND, NEIGHBOUR, 0),
        (SOUND, "2001:db8::1", 255),
        (SOUND[:7], NEIGHBOUR, 255),
        (b"", NEIGHBOUR, 255),
        (b"\x85\x01" + SOUND[2:], NEIGHBOUR, 255),
        (b"\x86\x00" + SOUND[2:], NEIGHBOUR, 255),
        (SOUND + b"\x01\x00" + bytes(6), NEIGHBOUR, 255),
        (SOUND + b"\x01\x02" + bytes(6), NEIGHBOUR, 255),
        (SOUND + b"\x01", NEIGHBOUR, 255),
    ],
)
def test_what_no_neighbour_may_send_is_not_answered(message, source, hops):
    assert router.answer_to(message, source, hops) is None


def test_the_answer_offers_nothing_and_sets_nothing():
    told = ICMPv6ND_RA(router.NO_ROUTER)

    assert (told.type, told.code, told.routerlifetime) == (134, 0, 0)
    assert (told.chlim, told.reachabletime, told.retranstimer) == (0, 0, 0)
    assert (int(told.M), int(told.O), int(told.H), told.prf) == (0, 0, 0, 0)
    assert not told.payload


def test_a_flood_is_answered_so_often_and_counted_whole():
    kept = []
    responder = router.Responder(Deaf(), wanted=lambda: True, keep=kept.append)

    told = [
        responder._told(SOUND, (NEIGHBOUR, 0, 0, 2), 255) for _ in range(router.MOST_PER_SECOND * 3)
    ]

    assert told.count(router.Told.LIMITED) >= router.MOST_PER_SECOND


class Deaf:
    """A socket that sends nowhere."""

    def sendto(self, message, to):
        return len(message)


@pytest.mark.services
class TestOnTheWire:
    @pytest.fixture
    def boot(self, site):
        with serving(site, "router") as boot:
            yield boot

    def network(self, **changes):
        given = {"name": "rack", "cidr": IPv4Network("10.77.0.0/24"), "answer_rs": True}
        return BootNetwork(network=UUID(int=7), **given | changes)

    def test_scapy_asks_and_is_told_that_there_is_no_router(self, wire, boot):
        boot.stores.plans.put_networks([self.network()])

        told = heard(wire, source=NEIGHBOUR)

        assert (told[IPv6].hlim, told[ICMPv6ND_RA].routerlifetime) == (255, 0)
        assert told[IPv6].src.startswith("fe80::")
        assert told[IPv6].dst == NEIGHBOUR
        assert told[ICMPv6ND_RA].cksum
        assert not told[ICMPv6ND_RA].payload

    def test_who_has_no_address_yet_hears_it_with_all_others(self, wire, boot):
        boot.stores.plans.put_networks([self.network()])

        assert heard(wire, source="::")[IPv6].dst == "ff02::1"

    @pytest.mark.parametrize(
        "changes", [{"answer_rs": False}, {"cidr": IPv4Network("10.78.0.0/24")}, None]
    )
    def test_a_network_that_does_not_want_it_hears_nothing(self, wire, boot, changes):
        if changes is not None:
            boot.stores.plans.put_networks([self.network(**changes)])

        assert heard(wire, source=NEIGHBOUR, seconds=1.0) is None

        boot.stores.plans.put_networks([self.network()], version=2)
        assert heard(wire, source=NEIGHBOUR) is not None
        boot.processes["router"].terminate()
        until(lambda: boot.stores.journal.counters().get("router answered", 0) >= 1)
        assert boot.stores.journal.counters()["router off"] >= 1

    def test_hosts_keep_their_routes_and_addresses(self, wire, boot):
        boot.stores.plans.put_networks([self.network()])
        before = state(wire)

        heard(wire, source=NEIGHBOUR)
        heard(wire, source="::")

        assert state(wire) == before


def test_a_kernel_without_ipv6_is_no_fault(site, monkeypatch):
    def without(*_):
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(router.socket, "socket", without)
    with pytest.raises(OSError, match="not supported"):
        router.listen("lo")


def state(wire):
    routes = wire.run("ip", "-6", "route", "show", "dev", "c0").stdout
    return routes, wire.run("ip", "-6", "-o", "address", "show", "dev", "c0").stdout.split()[:4]


def heard(wire, *, source, seconds=60.0):
    """Ask for routers from *source* until an advertisement comes to it; return that, or None."""
    to = "ff02::1" if source == "::" else source  # the kernel of the client asks for itself too
    sock = sockets.made_in(wire.clients, lambda: raw_socket("c0"))
    asking = Ether(src="52:54:00:00:00:01", dst="33:33:00:00:00:02") / IPv6(
        src=source, dst="ff02::2", hlim=255
    )
    options = ICMPv6NDOptSrcLLAddr(lladdr="52:54:00:00:00:01") if source != "::" else b""
    found = []

    def came():
        sock.send(bytes(asking / ICMPv6ND_RS() / options))
        sock.settimeout(0.2)
        try:
            while not found:
                packet = Ether(sock.recv(2000))
                found.extend([packet] if ICMPv6ND_RA in packet and packet[IPv6].dst == to else [])
        except TimeoutError:
            return False
        return True

    with sock:
        try:
            until(came, seconds)
        except AssertionError:
            return None
    return found[0]


def raw_socket(link):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
    sock.bind((link, 0))
    return sock
