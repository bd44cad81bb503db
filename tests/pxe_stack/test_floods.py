"""Whoever asks without end makes numbers grow, exactly, and not files: of each service."""

import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from models.bootnet import Mode
from models.observations import Seen
from pxe_stack import sockets
from pxe_stack.journal import MOST_SERVED
from pxe_stack.tally import MOST_KEYS
from tests.bench.dhcp_client import Load
from tests.fuzz.dhcp import packet
from tests.pxe_stack import make
from tests.pxe_stack.dns_make import query
from tests.pxe_stack.lab import SERVER_ADDRESS, serving, until
from tests.pxe_stack.nets import network, whole
from tests.pxe_stack.tftp_lab import rrq

pytestmark = pytest.mark.services

UEFI = [(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, b"\0\7")]
NOBODY = 0x0A4D0032
"""10.77.0.50, and so on: no machine has these addresses."""
TFTP = (SERVER_ADDRESS, 69)
SIZE = 54_000
ROUND = 32
"""Packets between two looks at whether they were answered: no queue of the kernel overflows."""


def udp(wire):
    wire.give_address()
    return sockets.made_in(wire.clients, lambda: sockets.udp("0.0.0.0", 0, interface="c0"))


def ended(boot, service):
    """What *service* has counted when it has ended well, by label; and the rows of the journal."""
    boot.processes[service].terminate()
    boot.processes[service].wait(60)
    return boot.stores.journal.counters(), boot.stores.journal.pending(0, 100_000)


def asked(wire, sock, packets, to):
    """Send *packets*, ROUND at a time, so that each is taken before the next are sent."""
    for at in range(0, len(packets), ROUND):
        for each in packets[at : at + ROUND]:
            sock.sendto(each, to)
        until(lambda: sockets.made_in(wire.servers, lambda: waiting(to[1])) == 0)


def waiting(port):
    """Bytes in the receive queues of UDP *port*, in the namespace of this thread."""
    rows = [line.split() for line in Path("/proc/thread-self/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows if row[1].endswith(f":{port:04X}"))


def test_dhcp_counts_every_stranger_and_writes_of_few(wire, site):
    many = [packet(1, n=n) for n in range(2, 6000)]
    junk = [b"\1" * 300] * 1000
    with serving(site, "dhcp") as boot, udp(wire) as sock:
        boot.stores.plans.put(make.plan())
        boot.stores.plans.put_networks([network(Mode.RESERVED)], version=1, ranges=[])
        asked(wire, sock, many + junk, ("255.255.255.255", 67))
        counts, rows = ended(boot, "dhcp")

    assert counts["dhcp-ignored not-ours"] == len(many)
    assert counts["dhcp-ignored malformed"] == len(junk)
    assert len(rows) <= MOST_KEYS


def test_a_pool_that_is_used_up_keeps_nobody_out_who_has_an_address(wire, site):
    """Starvation: `make bench ARGS=dhcp-starvation` is the same with 100,000 MACs, by the clock."""
    first = IPv4Address("10.77.0.100")
    net = network(Mode.FULL, pool_first=first, pool_last=first + 31)
    many = [packet(1, UEFI, n=n, flags=0x8000) for n in range(100, 4000)]
    with serving(replace(site, dhcp_probe_s=0.0), "dhcp") as boot, udp(wire) as sock:
        wire.give_address("10.77.0.22/24")
        boot.stores.plans.put(make.plan())
        boot.stores.plans.put_networks([net], version=1, ranges=[whole(net)])
        starver = sockets.made_in(wire.clients, lambda: Load(SERVER_ADDRESS, "10.77.0.22", 32))
        before = starver.run(8, 1.0)
        asked(wire, sock, many, ("255.255.255.255", 67))
        went = wire.run(
            "busybox", "udhcpc", "-i", "c0", "-n", "-q", "-f", "-t", "2", "-s", "/bin/true"
        )
        after = starver.run(8, 1.0)
        starver.close()
        counts, rows = ended(boot, "dhcp")

    assert (before["addresses"], after["addresses"]) == (32, 32)
    assert (after["twice"], after["moved"]) == (0, 0)
    assert f"lease of {make.ADDRESS} obtained" in went.stderr
    assert counts["dhcp-ignored exhausted"] == len(many)
    assert sum(seen.kind is Seen.DHCP_IGNORED for _, seen in rows) <= MOST_KEYS


def test_relays_that_are_not_there_hold_up_no_client(wire, site):
    """Replies to them wait for their MACs, and may fill no room that others need."""
    flood = [packet(8, UEFI, n=2, ciaddr=NOBODY + n % 200) for n in range(6000)]
    with serving(site, "dhcp") as boot, udp(wire) as sock:
        net = network(Mode.FULL)
        boot.stores.plans.put(make.plan())
        boot.stores.plans.put_networks([net], version=1, ranges=[whole(net)])
        asked(wire, sock, flood, ("255.255.255.255", 67))
        went = wire.run(
            "busybox", "udhcpc", "-i", "c0", "-n", "-q", "-f", "-t", "2", "-s", "/bin/true"
        )
        counts, _ = ended(boot, "dhcp")

    assert f"lease of {make.ADDRESS} obtained" in went.stderr
    assert counts["dhcp-acked stranger"] == len(flood)
    assert "dhcp unsent" not in counts


def test_tftp_counts_every_refusal_and_every_download_and_writes_of_few(wire, site):
    with serving(site, "tftp") as boot, udp(wire) as sock:
        asked_for = sum(downloaded(sock) for _ in range(2 * MOST_SERVED))
        asked(wire, sock, [rrq(f"nothing-{n}.efi") for n in range(2000)], TFTP)
        asked(wire, sock, [b"\0\5\0\0gone\0", b"\0\7?"] * 250, TFTP)
        counts, rows = ended(boot, "tftp")

    assert counts["tftp-sent"] == 2 * MOST_SERVED
    labels = ("tftp-sent", "tftp-failed no-such-file", "tftp too-many", "tftp repeated")
    assert sum(counts.get(label, 0) for label in labels) == 2000 + asked_for
    assert counts["tftp ignored"] == 500
    assert len(rows) <= MOST_SERVED + 2


def downloaded(sock):
    """Fetch a small file, asking again until it may; return how often that was."""
    packet, there, times = None, None, 0
    sock.settimeout(0.2)
    request = rrq("undionly.kpxe", options={"blksize": "1468", "windowsize": "64"})
    while packet is None or there == TFTP:
        sock.sendto(request, TFTP)
        times += 1
        with suppress(TimeoutError):
            packet, there = sock.recvfrom(2000)
    sock.settimeout(10)
    sock.sendto(b"\0\4\0\0", there)
    got, blocks = 0, SIZE // 1468 + 1
    while got < SIZE:
        packet, source = sock.recvfrom(2000)
        got += len(packet) - 4 if source == there else 0
    sock.sendto(b"\0\4" + blocks.to_bytes(2, "big"), there)
    return times


def test_dns_counts_every_question_and_writes_nothing(wire, site):
    named = replace(site, dns_address=SERVER_ADDRESS, domain="rack.test")
    asking = [query(f"n{n}.rack.test") for n in range(3000)] + [b"\0" * 5] * 500
    with serving(named, "dns") as boot, udp(wire) as sock:
        asked(wire, sock, asking, (SERVER_ADDRESS, 53))
        counts, rows = ended(boot, "dns")

    assert sum(n for label, n in counts.items() if label.startswith("dns ")) == len(asking)
    assert counts["dns no-query"] == 500
    assert rows == ()


def from_port_0(payload):
    """A query as a raw packet (RFC 768, RFC 791): to its port nothing can be sent back."""
    there = socket.inet_aton(SERVER_ADDRESS)
    datagram = struct.pack("!HHHH", 0, 53, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, socket.IPPROTO_UDP, 0)
    return head + socket.inet_aton(make.ADDRESS) + there + datagram


def test_dns_counts_what_it_could_not_say(wire, site):
    named = replace(site, dns_address=SERVER_ADDRESS, domain="rack.test")
    wire.give_address()
    with serving(named, "dns") as boot:
        raw = sockets.made_in(
            wire.clients, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        )
        with raw:
            for _ in range(20):
                raw.sendto(from_port_0(query("n.rack.test")), (SERVER_ADDRESS, 0))
            until(lambda: sockets.made_in(wire.servers, lambda: waiting(53)) == 0)
            went = wire.run("dig", f"@{SERVER_ADDRESS}", "+short", "ns.rack.test")
        counts, _ = ended(boot, "dns")

    assert went.stdout.split() == [SERVER_ADDRESS]
    assert (counts["dns unsent"], counts["dns no-name"]) == (20, 20)


PATHS = {
    "/ipxe/52:54:00:99:00:01": 200,
    f"/ipxe/{make.MAC}": 200,
    "/boot/00000000-0000-4000-8000-0000000000f1/00/script": 200,
    "/boot/00000000-0000-4000-8000-0000000000f1/00/manifest": 404,
    "/latest/meta-data/instance-id": 404,
    "/loaders/undionly.kpxe": 200,
    "/artifacts/nothing": 404,
    "/nothing": 404,
}
EACH = 300


def test_http_counts_every_answer_and_writes_of_few(wire, site):
    wire.give_address()
    with serving(site, "http", "files") as boot:
        boot.stores.plans.put(make.plan())
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda path: fetched(wire, path), PATHS))
        counts, rows = ended(boot, "http")
        counts, rows = ended(boot, "files")

    by_status = {status: EACH * list(PATHS.values()).count(status) for status in (200, 404)}
    assert {status: counts[f"http {status}"] for status in (200, 404)} == by_status
    assert counts[Seen.LOCAL_BOOT_SERVED.value] == counts[Seen.ARTIFACT_SERVED.value] == EACH
    assert counts["strange-request unknown-mac"] == EACH
    assert len(rows) <= 2 * MOST_SERVED + 8


def fetched(wire, path):
    """Ask EACH times on one connection, one after the other."""
    head = f"GET {path} HTTP/1.1\r\nHost: s\r\n\r\n".encode()
    sock = sockets.made_in(
        wire.clients, lambda: socket.create_connection((SERVER_ADDRESS, 8081), 20)
    )
    with sock, sock.makefile("rb") as lines:
        for _ in range(EACH):
            sock.sendall(head)
            length = 0
            while (line := lines.readline()) != b"\r\n":
                name, _, value = line.partition(b": ")
                length = int(value) if name == b"Content-Length" else length
            assert len(lines.read(length)) == length
