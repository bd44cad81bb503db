"""Addresses handed out by many processes at once: each to one, and none when all are used."""

import sys
from subprocess import PIPE, Popen

import pytest
from peewee import IntegrityError

from models import database as pool
from models.commands import addresses
from models.errors import Exhausted
from models.tables import Allocation, Interface, Machine, Network
from tests.models import make

pytestmark = pytest.mark.services

PROCESSES, EACH = 8, 25

CHILD = """
import sys
from uuid import UUID
from models import database as pool
from models.commands import addresses
from models.errors import Exhausted
from models.tables import Interface, Machine, Network
pool.configure(sys.argv[1], connections=2)
sys.stdin.readline()
for name in sys.argv[3:]:
    with pool.borrowed():
        machine = Machine.get_by_id(UUID(name))
        interface = Interface.get(Interface.machine_id == machine.id)
        try:
            with pool.database.atomic():
                network = Network.get_by_id(UUID(sys.argv[2]))
                print(addresses.allocated(machine, interface, network).address)
        except Exhausted as exc:
            print("none:", exc)
"""


def fleet(site, count):
    macs = [f"52:54:00:00:{n // 256:02x}:{n % 256:02x}" for n in range(count)]
    return [
        make.machine(site, f"n-{number}", interfaces=[make.interface(mac)])
        for number, mac in enumerate(macs)
    ]


def all_at_once(url, network, machines):
    """Allocate for each of *machines*, by processes that begin together."""
    children = [
        Popen(
            [sys.executable, "-c", CHILD, url, str(network), *map(str, machines[n::PROCESSES])],
            stdin=PIPE,
            stdout=PIPE,
            text=True,
        )
        for n in range(PROCESSES)
    ]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    return [line for child in children for line in child.communicate(timeout=60)[0].splitlines()]


def test_two_hundred_at_once_get_two_hundred_addresses_and_the_next_is_told_that_all_are_used(db):
    site = make.site()
    network = make.network(
        site, cidr="10.77.0.0/24", range_start="10.77.0.1", range_end="10.77.0.200"
    )
    machines = fleet(site, PROCESSES * EACH + 8)

    said = all_at_once(db, network, machines)

    given = [line for line in said if not line.startswith("none")]
    assert (len(given), len(set(given))) == (200, 200)
    assert set(said) - set(given) == {"none: no address is free from 10.77.0.1 to 10.77.0.200"}
    assert Allocation.select().count() == 200


@pytest.fixture
def two(db):
    site = make.site()
    network = Network.get_by_id(make.network(site, range_end="10.77.0.12"))
    pairs = []
    for machine in fleet(site, 4):
        row = Machine.get_by_id(machine)
        pairs.append((row, Interface.get(Interface.machine_id == machine), network))
    return pairs


def test_the_lowest_free_address_is_given_and_a_gap_is_filled(two):
    given = [addresses.allocated(*each).address for each in two[:3]]
    Allocation.update(state="released", released_at=Allocation.created_at).where(
        Allocation.address == "10.77.0.11"
    ).execute()

    assert given == ["10.77.0.10", "10.77.0.11", "10.77.0.12"]
    assert addresses.allocated(*two[3]).address == "10.77.0.11"


def test_who_has_an_address_keeps_it(two):
    first = addresses.allocated(*two[0]).id

    assert addresses.allocated(*two[0]).id == first


def test_a_full_range_says_so_with_the_cure(two):
    for each in two[:3]:
        addresses.allocated(*each)

    with pytest.raises(Exhausted) as caught, pool.database.atomic():
        addresses.allocated(*two[3])
    assert "widen" in caught.value.hint


def test_the_database_itself_excludes_a_second_owner_of_an_address(two):
    addresses.allocated(*two[0])

    with pytest.raises(IntegrityError), pool.database.atomic():
        addresses.given(*two[1], "10.77.0.10", provider="x", external_id="1")
