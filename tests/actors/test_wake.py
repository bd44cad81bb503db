"""Waking a machine: the packet as a card takes it, on a real network, until DHCP hears of it."""

import os
import socket
import subprocess
from contextlib import ExitStack
from ipaddress import IPv4Network
from threading import Event, Thread
from uuid import uuid4

import pytest

from actors.drivers import wake
from actors.drivers.deadline import Deadline
from actors.drivers.errors import LeaseLost, Refused, Unreachable
from actors.site.orders import Order
from actors.site.waking import PAUSES_S, Waking
from models.steps import Task
from pxe_stack import sockets

MAC = "52:54:00:ab:cd:ef"
CIDR = IPv4Network("10.77.0.0/24")


class Warrant:
    """A lease that holds unless it is *lost*, and pauses that *rises* ends."""

    def __init__(self, *, lost=False, rises=None):
        self.lost, self.pause, self.progress = lost, (rises or Event()).wait, lambda _: None

    def permit(self, method, url):
        if self.lost:
            raise LeaseLost(f"{method} {url}")


def order(*macs):
    body = {"task": str(uuid4()), "kind": "wake", "epoch": 1, "deadline_s": 60, "bmc": None}
    return Order.parse({**body, "machine": str(uuid4()), "params": {"macs": list(macs)}})


def is_magic(packet):
    """Whether a card with MAC would wake of it: ones, then its address sixteen times."""
    return packet == b"\xff\xff\xff\xff\xff\xff" + bytes.fromhex("525400abcdef") * 16


@pytest.fixture
def sleeper():
    """A socket on port 9 of a machine, and the namespace of a site on the same wire."""
    site, machine = (f"wake-{os.getpid()}-{side}" for side in "sm")
    with ExitStack() as stack:
        for name in (site, machine):
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name)
        run("ip", "-n", site, "link", "add", "w0", "type", "veth", "peer", "w0", "netns", machine)
        for number, name in ((1, site), (9, machine)):
            run("ip", "-n", name, "address", "add", f"10.77.0.{number}/24", "brd", "+", "dev", "w0")
            run("ip", "-n", name, "link", "set", "w0", "up")
        made = sockets.made_in(machine, lambda: socket.socket(type=socket.SOCK_DGRAM))
        with made as ears:
            ears.bind(("", wake.PORT))
            ears.settimeout(20)
            yield ears, site


def run(*words):
    subprocess.run(words, check=True, capture_output=True)


@pytest.mark.services
def test_a_machine_is_woken_and_no_more_is_sent_once_dhcp_hears_of_it(sleeper):
    ears, site = sleeper
    acks, heard, rises = {}, [], Event()

    def sleep():
        """Play the machine that starts when its card hears the packet."""
        heard.append(ears.recv(2048))
        acks[MAC] = float("inf")
        rises.set()

    machine = Thread(target=sleep)
    machine.start()
    told = Waking(lambda: [CIDR], acks.get, site).perform(
        order(MAC), Deadline.after(60), Warrant(rises=rises)
    )
    machine.join()

    assert is_magic(heard[0])
    assert told["heard"] is True
    assert told["sent"] < len(PAUSES_S)


@pytest.mark.services
def test_every_interface_of_a_machine_is_called_on_every_network(sleeper):
    ears, site = sleeper

    left = wake.send([MAC, "52:54:00:00:00:02"], [IPv4Network("10.99.0.0/24"), CIDR], site)

    packets = {ears.recv(2048) for _ in range(left)}
    assert left == 2
    assert {packet[6:12].hex() for packet in packets} == {"525400abcdef", "525400000002"}


@pytest.mark.services
def test_a_network_that_cannot_be_reached_is_told(sleeper):
    _, site = sleeper

    with pytest.raises(Unreachable, match=r"10\.99\.0\.0/24"):
        wake.send([MAC], [IPv4Network("10.99.0.0/24")], site)


def test_a_site_that_knows_no_network_says_so():
    with pytest.raises(Unreachable, match="no network is known here yet"):
        wake.send([MAC], [], None)


@pytest.mark.parametrize(
    "mac", ["", "52:54:00:ab:cd", "5254.00ab.cdef", "zz:54:00:ab:cd:ef", "x" * 99]
)
def test_what_is_no_mac_wakes_nobody(mac):
    with pytest.raises(Refused):
        wake.packet(mac)


def test_a_machine_without_interfaces_is_not_woken():
    with pytest.raises(Refused, match="no interface"):
        Waking(lambda: [CIDR], {}.get).perform(order(), Deadline.after(1), Warrant())


def test_nothing_is_sent_without_a_lease():
    with pytest.raises(LeaseLost):
        Waking(list, {}.get).perform(order(MAC), Deadline.after(1), Warrant(lost=True))


def test_machines_are_woken_side_by_side():
    assert order(MAC).lane != order(MAC).lane
    assert order(MAC).kind is Task.WAKE
