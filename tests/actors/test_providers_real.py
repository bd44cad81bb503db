"""PowerDNS and Kea as Debian has them, led by our drivers and asked from outside."""

import math
import socket
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Event, Thread
from uuid import uuid4

import pytest

from actors.control import provisions
from actors.control.errand import Job, Means
from actors.drivers import contract, kea, powerdns
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Conflict, Refused, Unreachable
from actors.drivers.providers import Errand
from actors.drivers.reach import Rules, anywhere
from config.capabilities import External
from models.errands import Errand as Name
from models.errands import Held
from pxe_stack import dns_client
from tests.pxe_stack.lab import lab, sweep
from tests.services import kea as kea_server
from tests.services import powerdns as powerdns_server

pytestmark = pytest.mark.services

NAME = "node-01.prov.example"
RECORD = {"fqdn": NAME, "address": "10.77.0.10", "ttl": 60, "holding": "h-1"}
MAC, NET = "52:54:00:00:00:01", "10.77.0.0/24"
RESERVATION = {
    "mac": MAC,
    "address": "10.77.0.50",
    "hostname": NAME,
    "network": NET,
    "holding": "h-1",
}
SUBNET = {"id": 1, "subnet": NET, "pools": [{"pool": "10.77.0.200-10.77.0.210"}]}


def errand():
    return Errand(key="k", request_id="r-1", deadline=Deadline.after(60))


def peer(capability, kind, url, token):
    return provisions.peer(
        External(capability=capability, kind=kind, url=url, token=token), resolvers={}
    )


@pytest.fixture(scope="module")
def pdns(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pdns")
    with powerdns_server.running(folder, "prov.example", "77.10.in-addr.arpa") as made:
        yield made


@pytest.fixture
def names(pdns):
    made = peer("dns", "powerdns", pdns.url, powerdns_server.KEY)
    yield made
    for name in (NAME, "theirs.prov.example"):
        with suppress(subprocess.CalledProcessError):
            pdns.util("delete-rrset", "prov.example", f"{name}.", "A")
    powerdns.unrecord(made, errand(), RECORD)


def answers(pdns, name, kind):
    try:
        return dns_client.ask("127.0.0.1", pdns.port, name, kind)
    except dns_client.Unresolved:
        return ()


def test_a_name_is_answered_forward_and_backward_and_no_more_when_it_is_removed(pdns, names):
    powerdns.record(names, errand(), RECORD)

    assert answers(pdns, NAME, "A") == ("10.77.0.10",)
    assert answers(pdns, "10.0.77.10.in-addr.arpa", "PTR") == (f"{NAME}.",)

    powerdns.unrecord(names, errand(), RECORD)
    powerdns.unrecord(names, errand(), RECORD)
    assert answers(pdns, NAME, "A") == ()
    assert answers(pdns, "10.0.77.10.in-addr.arpa", "PTR") == ()


def test_a_name_that_is_ours_may_move_to_another_address(pdns, names):
    powerdns.record(names, errand(), RECORD)

    powerdns.record(names, errand(), RECORD | {"address": "10.77.0.11"})

    assert answers(pdns, NAME, "A") == ("10.77.0.11",)
    assert answers(pdns, "11.0.77.10.in-addr.arpa", "PTR") == (f"{NAME}.",)
    assert answers(pdns, "10.0.77.10.in-addr.arpa", "PTR") == ()
    powerdns.unrecord(names, errand(), RECORD | {"address": "10.77.0.11"})


def test_a_record_of_somebody_else_is_neither_overwritten_nor_removed(pdns, names):
    theirs = RECORD | {"fqdn": "theirs.prov.example"}
    pdns.util("add-record", "prov.example", "theirs", "A", "60", "192.0.2.7")

    with pytest.raises(Conflict, match="not Sprout's; remove it there"):
        powerdns.record(names, errand(), theirs)
    powerdns.unrecord(names, errand(), theirs)

    assert answers(pdns, "theirs.prov.example", "A") == ("192.0.2.7",)


def test_a_name_that_another_holding_has_by_now_is_not_removed(pdns, names):
    powerdns.record(names, errand(), RECORD | {"holding": "h-2"})

    powerdns.unrecord(names, errand(), RECORD)

    assert answers(pdns, NAME, "A") == ("10.77.0.10",)
    assert answers(pdns, "10.0.77.10.in-addr.arpa", "PTR") == (f"{NAME}.",)
    powerdns.unrecord(names, errand(), RECORD | {"holding": "h-2"})
    assert answers(pdns, NAME, "A") == ()


def test_a_name_without_a_zone_is_refused_with_the_command_that_makes_one(names):
    with pytest.raises(Refused, match=r"pdnsutil create-zone other\.example"):
        powerdns.record(names, errand(), RECORD | {"fqdn": "node.other.example"})


def test_without_a_backward_zone_the_name_is_held_all_the_same(pdns, names):
    made = powerdns.record(names, errand(), RECORD | {"address": "192.0.2.9"})

    assert made["backward"] is False
    assert answers(pdns, NAME, "A") == ("192.0.2.9",)


def test_a_wrong_key_is_refused_in_words_that_do_not_hold_it(pdns):
    wrong = peer("dns", "powerdns", pdns.url, "a-wrong-key")

    with pytest.raises(Refused, match="does not accept the token") as caught:
        powerdns.health(wrong, errand())
    assert "a-wrong-key" not in str(caught.value)


def test_powerdns_that_works_is_healthy(names):
    powerdns.health(names, errand())


# --- Kea ---


@pytest.fixture(scope="module")
def dhcp(tmp_path_factory):
    with kea_server.running(tmp_path_factory.mktemp("kea"), SUBNET) as made:
        yield made


@pytest.fixture
def leases(dhcp):
    token = f"{kea_server.USER}:{kea_server.PASSWORD}"
    made = peer("dhcp", "kea", dhcp.url, token)
    yield made
    kea.unreserve(made, errand(), RESERVATION)


def reserved(dhcp):
    (subnet,) = dhcp.written()["subnet4"]
    return {each["hw-address"]: each["ip-address"] for each in subnet["reservations"]}


def test_a_reservation_that_another_holding_has_by_now_is_not_removed(dhcp, leases):
    kea.reserve(leases, errand(), RESERVATION | {"holding": "h-2"})

    kea.unreserve(leases, errand(), RESERVATION)
    assert reserved(dhcp)

    kea.unreserve(leases, errand(), RESERVATION | {"holding": "h-2"})
    assert not reserved(dhcp)


def test_a_reservation_is_in_force_and_in_the_file_and_no_more_when_it_is_removed(dhcp, leases):
    kea.reserve(leases, errand(), RESERVATION)
    kea.reserve(leases, errand(), RESERVATION)
    assert reserved(dhcp) == {MAC: "10.77.0.50"}

    kea.unreserve(leases, errand(), RESERVATION)
    kea.unreserve(leases, errand(), RESERVATION)
    assert reserved(dhcp) == {}


def test_a_reservation_that_is_ours_may_get_another_address(dhcp, leases):
    kea.reserve(leases, errand(), RESERVATION)

    kea.reserve(leases, errand(), RESERVATION | {"address": "10.77.0.51"})

    assert reserved(dhcp) == {MAC: "10.77.0.51"}


def test_an_address_of_another_mac_is_refused_by_name(leases):
    kea.reserve(leases, errand(), RESERVATION)

    with pytest.raises(Conflict, match=rf"10\.77\.0\.50 for {MAC}; remove it there"):
        kea.reserve(leases, errand(), RESERVATION | {"mac": "52:54:00:00:00:02"})


def test_a_network_that_kea_does_not_serve_is_refused_with_the_cure(leases):
    with pytest.raises(Refused, match=r"no subnet 10\.99\.0\.0/24; add it there as a subnet4"):
        kea.reserve(leases, errand(), RESERVATION | {"network": "10.99.0.0/24"})


def test_an_address_that_kea_itself_refuses_changes_nothing(dhcp, leases):
    with pytest.raises(Refused, match="refuses config-test"):
        kea.reserve(leases, errand(), RESERVATION | {"address": "10.99.0.1"})

    assert "10.99.0.1" not in str(dhcp.written())


def test_a_wrong_password_is_refused(dhcp):
    with pytest.raises(Refused, match="does not accept the token"):
        kea.health(peer("dhcp", "kea", dhcp.url, "sprout:wrong"), errand())


def test_kea_that_works_is_healthy(leases):
    kea.health(leases, errand())


def test_two_machines_at_once_are_one_after_the_other_and_both_are_reserved(
    database_url, dhcp, leases
):
    """Kea's configuration is set as a whole: the one that came between would be lost."""
    external = External(
        capability="dhcp",
        kind="kea",
        url=dhcp.url,
        token=f"{kea_server.USER}:{kea_server.PASSWORD}",
    )
    means = Means(externals={"dhcp": external})
    told = []

    def reserve(number):
        item = {"mac": f"52:54:00:00:01:{number:02x}", "address": f"10.77.0.{100 + number}"}
        held = Held(
            id=uuid4(),
            name=Name.DHCP_RESERVE,
            subject=uuid4(),
            key=f"k{number}",
            params=RESERVATION | item,
            fence=1,
            left_s=60,
        )
        job = Job(held, Deadline.after(60), math.inf)
        told.append(provisions.make("dhcp", job, means))

    threads = [Thread(target=reserve, args=(number,)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    macs = [mac for mac in reserved(dhcp) if mac.startswith("52:54:00:00:01:")]
    for mac in macs:
        kea.unreserve(leases, errand(), RESERVATION | {"mac": mac})
    assert (len(told), len(macs)) == (4, 4)


def test_a_machine_on_the_wire_gets_the_address_that_was_reserved(tmp_path):
    sweep()
    with (
        lab(tmp_path, 77) as wire,
        kea_server.running(tmp_path, SUBNET, netns=wire.servers, interfaces=("s0",)) as dhcp,
    ):
        leases = peer("dhcp", "kea", dhcp.url, f"{kea_server.USER}:{kea_server.PASSWORD}")
        kea.reserve(leases, errand(), RESERVATION)

        told = wire.run("busybox", "udhcpc", "-i", "c0", "-n", "-q", "-f", "-s", "/bin/true")

    assert "lease of 10.77.0.50 obtained" in told.stdout + told.stderr


def test_a_provider_that_drips_is_hung_up_on():
    with dripping() as url:
        slow = replace(
            peer("dns", "contract", url, ""), rules=Rules(networks=anywhere(), total_s=0.3)
        )

        with pytest.raises(Unreachable, match="cannot be asked: ReadTimeout"):
            contract.health(slow, errand())


@contextmanager
def dripping():
    """A server that answers a byte at a time, for as long as anybody listens."""
    over = Event()

    def serve(listener):
        with suppress(OSError):
            line, _ = listener.accept()
            with line:
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not over.wait(0.05):
                    line.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()
