"""Real resolvers against the real process, a real server behind it, and strangers around it."""

import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from models.bootplan import Addressing
from pxe_stack import sockets
from tests.pxe_stack import make
from tests.pxe_stack.dns_make import query, read
from tests.pxe_stack.lab import SERVER_ADDRESS, ip, serving, until
from tests.services import process

pytestmark = pytest.mark.services

UPSTREAM = "10.77.0.53"
STRANGER = "10.99.0.9"
DIG = ("dig", "+tries=1", "+time=3", "+nocookie", f"@{SERVER_ADDRESS}")
NAME = "node-01.provisioning.sprout.local"


@pytest.fixture
def named(site, wire):
    """The site with DNS, and a client of its network."""
    wire.give_address()
    return replace(site, dns_address=SERVER_ADDRESS)


@contextmanager
def dnsmasq(wire) -> Iterator[None]:
    """A real server that knows example.test, and one long text."""
    ip("-n", wire.servers, "addr", "add", f"{UPSTREAM}/24", "dev", "s0")
    text = ",".join("t" * 250 for _ in range(12))
    command = [
        *("ip", "netns", "exec", wire.servers, "dnsmasq", "--keep-in-foreground"),
        *("--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root", "--pid-file="),
        *(f"--listen-address={UPSTREAM}", "--bind-interfaces", "--except-interface=lo"),
        *("--address=/example.test/192.0.2.7", f"--txt-record=long.example.test,{text}"),
    ]
    child = process.launch(command, wire.folder / "dnsmasq.log")
    try:
        until(lambda: answers(wire, UPSTREAM))
        yield
    finally:
        process.stop(child)


def answers(wire, server):
    went = wire.run("dig", "+short", "+tries=1", "+time=1", f"@{server}", "x.example.test")
    return went.returncode == 0 and "192.0.2.7" in went.stdout


def among_clients(wire, kind, address="10.77.0.21"):
    """A socket of a machine with *address*, connected to the server."""

    def made():
        sock = socket.socket(socket.AF_INET, kind)
        sock.settimeout(60)
        sock.bind((address, 0))
        sock.connect((SERVER_ADDRESS, 53))
        return sock

    return sockets.made_in(wire.clients, made)


def asked(sock, raw):
    """The reply to *raw* on a connection by TCP."""
    sock.sendall(struct.pack("!H", len(raw)) + raw)
    return received(sock)


def received(sock):
    stream = sock.makefile("rb")
    (length,) = struct.unpack("!H", stream.read(2))
    return read(stream.read(length))


class TestRealClients:
    def test_dig_host_and_drill_find_a_planned_machine_both_ways(self, wire, named):
        with serving(named, "dns") as boot:
            boot.stores.plans.put(make.plan())
            until(lambda: make.ADDRESS in wire.run(*DIG, "+short", NAME).stdout)

            by_tcp = wire.run(*DIG, "+short", "+tcp", NAME)
            back = wire.run("host", make.ADDRESS, SERVER_ADDRESS)
            drill = wire.run("drill", f"@{SERVER_ADDRESS}", "-x", make.ADDRESS)
            start = wire.run(*DIG, "+short", "SOA", "provisioning.sprout.local")

        assert by_tcp.stdout.split() == [make.ADDRESS]
        assert f"domain name pointer {NAME}." in back.stdout
        assert f"PTR\t{NAME}." in drill.stdout
        assert start.stdout.startswith("ns.provisioning.sprout.local. hostmaster.")

    def test_dig_is_refused_transfers_and_what_lies_elsewhere(self, wire, named):
        with serving(named, "dns") as boot:
            transfer = wire.run(*DIG, "AXFR", "provisioning.sprout.local")
            increment = wire.run(*DIG, "+tcp", "IXFR=1", "provisioning.sprout.local")
            elsewhere = wire.run(*DIG, "example.org")
            version = wire.run(*DIG, "+edns=7", "+noednsneg", NAME)
            boot.processes["dns"].terminate()
            boot.processes["dns"].wait(60)

            assert "Transfer failed" in transfer.stdout
            assert "REFUSED" in increment.stdout + elsewhere.stdout
            assert "status: REFUSED" in elsewhere.stdout
            assert "BADVERS" in version.stdout
            counters = boot.stores.journal.counters()
            assert (counters["dns transfer-refused"], counters["dns refused"]) == (2, 1)

    def test_a_name_follows_its_plan_within_a_second(self, wire, named):
        with serving(named, "dns") as boot, among_clients(wire, socket.SOCK_DGRAM) as sock:
            taken = []
            for turn in range(4):
                address = f"10.77.0.{30 + turn}"
                told = Addressing(address=address, prefix_length=24)
                boot.stores.plans.put(make.plan(version=turn + 1, addressing=told))
                begun = time.monotonic()
                until(lambda wanted=address: first_answer(sock) == wanted)
                taken.append(time.monotonic() - begun)
            boot.stores.plans.withdraw(make.plan().machine)
            begun = time.monotonic()
            until(lambda: first_answer(sock) is None)
            taken.append(time.monotonic() - begun)

        assert max(taken) < 1.0, taken

    def test_the_serial_grows_with_what_the_zone_says_and_over_a_restart(self, wire, named):
        serials = []
        for turn in range(2):
            with serving(named, "dns") as boot:
                serials.append(serial(wire))
                boot.stores.plans.put(make.another(turn + 1, version=turn + 1))
                until(lambda: serial(wire) > serials[-1])
                serials.append(serial(wire))

        assert serials == sorted(serials)


def first_answer(sock):
    sock.send(query(NAME))
    reply = read(sock.recv(4096))
    return str(reply.rr[0].rdata) if reply.rr else None


def serial(wire):
    return int(wire.run(*DIG, "+short", "SOA", "provisioning.sprout.local").stdout.split()[2])


class TestForwarding:
    @pytest.fixture
    def forwarding(self, named, wire):
        with dnsmasq(wire):
            yield replace(named, dns_forward=("10.77.0.54", UPSTREAM))

    def test_a_machine_of_the_network_is_answered_by_the_other_server(self, wire, forwarding):
        with serving(forwarding, "dns") as boot:
            boot.stores.plans.put(make.plan())
            until(lambda: answers(wire, SERVER_ADDRESS))

            own = wire.run(*DIG, NAME)
            long = wire.run(*DIG, "+bufsize=512", "TXT", "long.example.test")
            unknown = wire.run(*DIG, "+norecurse", "www.example.test")

        assert make.ADDRESS in own.stdout
        assert " ra" in own.stdout
        assert "t" * 250 in long.stdout
        assert "(TCP)" in long.stdout
        assert "status: REFUSED" in unknown.stdout

    def test_nobody_else_is(self, wire, forwarding):
        wire.give_address(f"{STRANGER}/24")
        ip("-n", wire.servers, "route", "add", "10.99.0.0/24", "dev", "s0")
        with serving(forwarding, "dns") as boot:
            boot.stores.plans.put(make.plan())
            until(lambda: answers(wire, SERVER_ADDRESS))

            went = wire.run(*DIG, "-b", STRANGER, "x.example.test")
            by_tcp = wire.run(*DIG, "-b", STRANGER, "+tcp", "x.example.test")

        for each in (went, by_tcp):
            assert "status: REFUSED" in each.stdout
            assert " ra" not in each.stdout.partition("flags:")[2].partition(";")[0]

    def test_when_no_other_server_answers_the_client_is_told(self, wire, named):
        alone = replace(named, dns_forward=("10.77.0.54",))
        with serving(alone, "dns") as boot:
            boot.stores.plans.put(make.plan())
            until(lambda: make.ADDRESS in wire.run(*DIG, "+short", NAME).stdout)

            went = wire.run("dig", "+tries=1", "+time=9", f"@{SERVER_ADDRESS}", "x.example.test")

        assert "status: SERVFAIL" in went.stdout

    def test_an_answer_that_is_forged_is_not_passed_on(self, wire, named):
        liar = sockets.made_in(wire.servers, lambda: sockets.udp("127.0.0.9", 53))
        liar.settimeout(60)
        lied_to = replace(named, dns_forward=("127.0.0.9",))
        with liar, serving(lied_to, "dns") as boot, among_clients(wire, socket.SOCK_DGRAM) as sock:
            boot.stores.plans.put(make.plan())
            until(lambda: first_answer(sock) == make.ADDRESS)
            raw = query("x.example.test")
            sock.send(raw)
            came, peer = liar.recvfrom(4096)
            head = bytes((came[0] ^ 1,)) + came[1:2]
            liar.sendto(head + b"\x81\x85" + came[4:], peer)  # another number
            liar.sendto(came[:2] + b"\x81\x85" + came[4:12] + b"\1y" + came[14:], peer)
            liar.sendto(came, peer)  # a question, not an answer
            liar.sendto(came[:2] + b"\x81\x83" + came[4:], peer)

            reply = sock.recv(4096)

        assert (reply[:2], reply[3] & 15) == (raw[:2], 3)


class TestUnderAttack:
    @pytest.fixture
    def boot(self, wire, named):
        with serving(named, "dns") as boot:
            boot.stores.plans.put(make.plan())
            until(lambda: make.ADDRESS in wire.run(*DIG, "+short", NAME).stdout)
            yield boot
            assert boot.processes["dns"].poll() is None
            # What is left of the attack lies before the question: dig waits 3 s a time.
            until(lambda: wire.run(*DIG, "+short", NAME).stdout.split() == [make.ADDRESS])
            assert "failed" not in boot.log("dns")

    def test_thousands_of_hostile_packets_change_nothing(self, wire, boot):
        chance = random.Random(4)
        memory = resident(boot.processes["dns"].pid)
        with among_clients(wire, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            for _ in range(20_000):
                drained(sock)
                sock.send(hostile(chance))

        assert resident(boot.processes["dns"].pid) - memory < 16 << 20

    def test_a_flood_from_one_address_is_cut_to_its_rate_and_tcp_stays_open(self, wire, boot):
        wire.give_address(f"{STRANGER}/24")
        ip("-n", wire.servers, "route", "add", "10.99.0.0/24", "dev", "s0")
        with among_clients(wire, socket.SOCK_DGRAM, STRANGER) as sock:
            sock.setblocking(False)
            came = []
            for _ in range(3000):
                sock.send(query(NAME))
                came += drained(sock)
            until(lambda: came.extend(drained(sock)) or len(came) > 300)
            by_tcp = wire.run(*DIG, "-b", STRANGER, "+tcp", "+short", NAME)

        whole = [each for each in came if not each[2] & 2]
        assert 200 <= len(whole) < 600
        assert all(len(each) <= len(query(NAME)) for each in came if each[2] & 2)
        assert by_tcp.stdout.split() == [make.ADDRESS]

    def test_many_questions_on_one_connection_are_answered_in_order(self, wire, boot):
        with among_clients(wire, socket.SOCK_STREAM) as sock:
            raw = [query(f"n{number}.provisioning.sprout.local") for number in range(500)]
            sock.sendall(b"".join(struct.pack("!H", len(each)) + each for each in raw))
            stream = sock.makefile("rb")
            numbers = []
            for _ in raw:
                (length,) = struct.unpack("!H", stream.read(2))
                numbers.append(stream.read(length)[:2])

        assert numbers == [each[:2] for each in raw]

    def test_connections_that_say_nothing_or_too_much_hold_up_nobody(self, wire, boot):
        idle = [among_clients(wire, socket.SOCK_STREAM) for _ in range(40)]
        try:
            slow = idle[0]
            slow.sendall(b"\0\x20half a question")
            with among_clients(wire, socket.SOCK_STREAM) as large:
                large.sendall(b"\xff\xff" + bytes(9000))
                assert over(large)

            assert wire.run(*DIG, "+short", NAME).stdout.split() == [make.ADDRESS]
            assert sum(over(sock) for sock in idle[20:]) == 20, "more than one client may have"
            until(lambda: over(slow))
        finally:
            for sock in idle:
                sock.close()


def hostile(chance):
    raw = bytearray(query(NAME, edns=chance.choice([None, 512, 65535])))
    for _ in range(chance.randrange(1, 8)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    cut = chance.randrange(len(raw)) if chance.random() < 0.2 else len(raw)
    return bytes(raw[:cut]) + chance.randbytes(chance.choice([0, 0, 0, 1, 500, 1400]))


def drained(sock):
    came = []
    while True:
        try:
            came.append(sock.recv(4096))
        except BlockingIOError:
            return came


def over(sock):
    """Whether the server has closed the connection."""
    sock.settimeout(0.2)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
