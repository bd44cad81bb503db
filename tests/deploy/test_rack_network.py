"""Namespaces, the bridge, router advertisements, and what is left when a rack is killed."""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from deploy.rack import bridge, children, leftovers, netns
from deploy.rack.advertise import Advertiser
from deploy.rack.rack import Rack
from pxe_stack.router import NO_ROUTER
from tests.pxe_stack.lab import until

pytestmark = pytest.mark.services

UP = [sys.executable, "-m", "deploy.rack", "up"]


@pytest.fixture
def namespace():
    name = f"sprout-rack-{os.getpid()}-0"
    netns.create(name)
    yield name
    netns.delete(name)


@pytest.fixture
def child():
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def gone(pid):
    """Wait up to 60 s for the end of a process that may not be our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle):
        return bool(select.select([handle], [], [], 60)[0])


def start(state, *options):
    """Return a rack in a process of its own, ready, and what it printed."""
    process = subprocess.Popen([*UP, "--state", state, *options], stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    process.stdout.close()
    return process.wait(60)


def test_a_socket_made_inside_lives_inside(namespace):
    sock = netns.open_socket(namespace, socket.AF_INET, socket.SOCK_DGRAM)
    with sock, pytest.raises(OSError, match="unreachable"):
        sock.connect(("127.0.0.1", 9))


def test_the_calling_thread_stays_outside(namespace):
    outside = Path("/proc/thread-self/ns/net").readlink()

    inside = netns.inside(namespace, lambda: Path("/proc/thread-self/ns/net").readlink())

    assert inside != outside
    assert Path("/proc/thread-self/ns/net").readlink() == outside


def test_a_namespace_that_is_not_there_is_an_error_and_not_the_hosts_own():
    with pytest.raises(FileNotFoundError):
        netns.inside("sprout-rack-no-such", lambda: None)


def test_a_deleted_namespace_loses_its_links_even_while_a_socket_holds_it(namespace):
    bridge.raise_in(namespace, IPv4Interface("10.78.0.1/24"), ["r1"])
    with netns.open_socket(namespace, socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("10.78.0.1", 0))

        netns.delete(namespace)

        with pytest.raises(OSError, match="unreachable"):
            sock.sendto(b"x", ("10.78.0.2", 9))


def test_a_solicitation_is_answered_with_no_router_here(namespace):
    bridge.raise_in(namespace, IPv4Interface("10.78.0.1/24"), [])
    netns.ip("-n", namespace, "link", "add", "host", "type", "veth", "peer", "name", "port")
    netns.ip("-n", namespace, "link", "set", "port", "master", bridge.NAME, "up")
    netns.ip("-n", namespace, "link", "set", "host", "up")
    until(lambda: reaches_routers(namespace, "host"))
    advertiser = Advertiser(namespace, bridge.NAME)
    host = netns.inside(namespace, lambda: solicit("host"))
    with host:
        answer = host.recv(1500)
    advertiser.close()

    assert answer[:1] + answer[4:] == NO_ROUTER[:1] + NO_ROUTER[4:]
    assert struct.unpack("!H", answer[6:8]) == (0,)


def reaches_routers(namespace, link):
    """Whether *link* has its route for multicast: the kernel adds it when it sees the carrier."""
    table = ("-6", "route", "show", "table", "local", "dev", link)
    return "multicast ff00::/8" in netns.ip("-n", namespace, *table)


def solicit(link):
    """Ask for routers on *link*; return the socket that hears the advertisement."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    index = socket.if_nametoindex(link)
    only_advertisements = [0xFFFFFFFF] * 8
    only_advertisements[134 // 32] &= ~(1 << 134 % 32)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    sock.setsockopt(socket.IPPROTO_ICMPV6, 1, struct.pack("@8I", *only_advertisements))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    sock.settimeout(60)
    sock.sendto(struct.pack("!BBHI", 133, 0, 0, 0), ("ff02::2", 0, 0, index))
    return sock


def test_a_process_is_killed_by_the_record_of_it(child):
    identity = children.Identity.parse(str(children.Identity.of(child.pid)))

    assert children.kill(identity)
    assert child.wait(60) == -signal.SIGKILL
    assert not children.kill(identity)


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}])
def test_a_process_with_the_same_id_but_another_start_is_left_alone(child, change):
    now = children.Identity.of(child.pid)
    recorded = children.Identity(
        **{"pid": now.pid, "started": now.started, "boot": now.boot} | change
    )

    assert not children.kill(recorded)
    assert child.poll() is None


def test_a_rack_leaves_its_disks_and_nothing_else(tmp_path):
    with Rack(tmp_path, machines=2) as rack:
        assert netns.links(rack.namespace) == [bridge.NAME, "r1", "r2"]
        described = json.loads((tmp_path / "rack.json").read_text())
        assert described == rack.describe()

    assert not netns.exists(rack.namespace)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "r1", "r2"]


def test_the_next_rack_in_the_folder_is_the_same(tmp_path):
    def identity(rack):
        machine = rack.describe()["machines"][0]
        password = (tmp_path / "r1" / "bmc-password").read_text()
        return [machine[fact] for fact in ("mac", "serial", "uuid", "disk")], password

    with Rack(tmp_path) as rack:
        first = identity(rack)
    with Rack(tmp_path) as rack:
        assert identity(rack) == first


def test_a_bmc_keeps_its_address_from_one_rack_to_the_next(tmp_path):
    with Rack(tmp_path) as rack:
        before = rack.describe()["machines"][0]["bmc"]["address"]
    with Rack(tmp_path) as rack:
        assert rack.describe()["machines"][0]["bmc"]["address"] == before


def free(port):
    """Whether nothing listens at *port*; below the ports that the kernel gives to callers."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


def test_bmcs_lie_on_the_ports_they_are_told(tmp_path):
    base = next(port for port in range(11000, 19000, 2) if free(port) and free(port + 1))
    with Rack(tmp_path, machines=2, bmc_port=base) as rack:
        addresses = [each["bmc"]["address"] for each in rack.describe()["machines"]]

    assert addresses == [f"http://127.0.0.1:{base}", f"http://127.0.0.1:{base + 1}"]


def test_two_racks_cannot_have_one_folder(tmp_path):
    with Rack(tmp_path), pytest.raises(leftovers.Occupied), Rack(tmp_path):
        pass


def test_a_namespace_of_someone_else_is_not_taken(tmp_path, namespace):
    with pytest.raises(leftovers.Occupied), Rack(tmp_path, namespace=namespace):
        pass

    assert netns.exists(namespace)


@pytest.mark.parametrize(
    ("cidr", "address"), [("10.77.0.0/24", "10.78.0.1"), ("10.77.0.1/24", "10.77.0.1")]
)
def test_an_address_outside_its_network_is_refused_before_anything_is_made(tmp_path, cidr, address):
    with pytest.raises(ValueError, match=r"10\.77\.0"):
        Rack(tmp_path, cidr=cidr, address=address)


def test_the_command_prints_the_rack_and_ends_clean_on_sigterm(tmp_path):
    process, printed = start(tmp_path, "--machines", "2")

    assert printed == json.loads((tmp_path / "rack.json").read_text())
    assert [machine["name"] for machine in printed["machines"]] == ["r1", "r2"]
    assert end(process) == 0
    assert not netns.exists(printed["netns"])


def test_a_killed_rack_is_swept_by_the_next_one(tmp_path):
    process, killed = start(tmp_path)
    end(process, signal.SIGKILL)
    assert netns.exists(killed["netns"])

    with Rack(tmp_path):
        assert not netns.exists(killed["netns"])


def test_a_namespace_whose_rack_and_folder_are_gone_is_swept_by_any_rack(tmp_path, child):
    name = f"sprout-rack-{child.pid}-1"
    netns.create(name)
    with Rack(tmp_path / "first"):
        assert netns.exists(name)
    child.kill()
    child.wait()

    with Rack(tmp_path / "second"):
        assert not netns.exists(name)
