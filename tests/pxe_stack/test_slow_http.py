"""A thousand connections that never say what they want, and a real client among them."""

import json
import socket
import statistics
import struct
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from models import bootplan
from models.bootplan import Access
from models.observations import Seen
from pxe_stack import sockets
from tests.pxe_stack import make
from tests.pxe_stack.lab import SERVER_ADDRESS, ip, serving, until
from tests.pxe_stack.test_hostile import SLACK_S, held, timed

pytestmark = pytest.mark.services

PLAN = make.plan()
SCRIPT = bootplan.url(PLAN, make.KEY, Access.SCRIPT, "script")
CURL = ("curl", "-sf", "-m", "20", "--interface", make.ADDRESS, SCRIPT)
ADDRESSES = [f"10.77.0.{n}" for n in range(60, 80)]
EACH = 50
HEAD = b"GET /ipxe/52:54:00:aa:bb:01 HTTP/1.1\r\nHost: s\r\nX-Slow: "
POST = b"POST /boot/a/b/started HTTP/1.1\r\nHost: s\r\nContent-Length: 9000\r\n\r\n"
SAID = (b"", HEAD, POST, b"GET /artifacts/nothing HTTP/1.1\r\n")
"""What the connections have said when they fall silent, or go on a byte at a time."""


@pytest.fixture
def boot(wire, site):
    wire.give_address(f"{make.ADDRESS}/24")
    for address in ADDRESSES:
        ip("-n", wire.clients, "addr", "add", f"{address}/24", "dev", "c0")
    with serving(site, "http", "files") as made:
        made.stores.plans.put(PLAN)
        yield made


def connected(address):
    return socket.create_connection((SERVER_ADDRESS, 8081), 20, (address, 0))


@contextmanager
def thousand(wire):
    """As many connections; a quarter of them say a byte now and then."""
    stop = threading.Event()
    with ExitStack() as stack:
        socks = []
        for number in range(len(ADDRESSES) * EACH):
            address = ADDRESSES[number % len(ADDRESSES)]
            sock = sockets.made_in(wire.clients, lambda address=address: connected(address))
            socks.append(stack.enter_context(sock))
            sock.sendall(SAID[number % len(SAID)])

        def drip():
            while not stop.wait(0.2):
                for sock in socks[1 :: len(SAID)]:
                    with suppress(OSError):
                        sock.send(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        stack.callback(dripping.join)
        stack.callback(stop.set)
        yield socks


def median(wire):
    return statistics.median(timed(wire, CURL) for _ in range(9))


def test_a_client_gets_its_script_among_a_thousand_that_say_nothing_or_half(wire, boot):
    before, quiet = held(boot), median(wire)

    with thousand(wire) as socks:
        until(lambda: held(boot)["http"][0] >= before["http"][0] + 900)
        among = median(wire)
        until(lambda: held(boot)["http"][0] <= before["http"][0], 30)
        ends = set(map(_end, socks))

    after = held(boot)
    told = {"connections": len(socks), "quiet_s": quiet, "among_s": among, "after": after}
    sys.stdout.write(json.dumps(told) + "\n")
    assert among <= 2 * quiet + SLACK_S
    assert ends == {b""}  # who never asked is answered nothing
    assert len(boot.rows(Seen.SCRIPT_SERVED)) == 18


def _end(sock):
    try:
        return sock.recv(100)
    except ConnectionError:
        return b""


def syn(source, port):
    """A SYN as a raw IPv4 packet (RFC 9293 §3.1)."""
    here, there = socket.inet_aton(source), socket.inet_aton(SERVER_ADDRESS)
    segment = struct.pack("!HHIIBBHHH", port, 8081, port, 0, 5 << 4, 2, 64240, 0, 0)
    pseudo = here + there + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(segment))
    total = sum(struct.unpack(f"!{len(pseudo + segment) // 2}H", pseudo + segment))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    segment = segment[:16] + struct.pack("!H", ~total & 0xFFFF) + segment[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, port, 0, 64, socket.IPPROTO_TCP, 0)
    return head + here + there + segment


def half_open(wire):
    rows = sockets.made_in(
        wire.servers, lambda: Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    )
    return sum(row.split()[3] == "03" for row in rows)  # SYN_RECV


def test_a_client_gets_its_script_among_thousands_of_half_open_connections(wire, boot):
    quiet = median(wire)
    raw = sockets.made_in(
        wire.clients, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    )
    stop, sent = threading.Event(), []

    def flood():
        while not stop.is_set():
            for number in range(100):
                source = f"10.77.0.{130 + number}"  # nobody there: the handshake never ends
                raw.sendto(syn(source, 1024 + (len(sent) % 60_000)), (SERVER_ADDRESS, 0))
                sent.append(number)
            stop.wait(0.05)

    with raw:
        flooding = threading.Thread(target=flood)
        flooding.start()
        until(lambda: half_open(wire) >= 1000)
        among = median(wire)
        stop.set()
        flooding.join()

    told = {"syns": len(sent), "quiet_s": quiet, "among_s": among}
    sys.stdout.write(json.dumps(told) + "\n")
    assert among <= 2 * quiet + SLACK_S
