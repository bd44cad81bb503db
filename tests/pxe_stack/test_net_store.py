from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

import pytest

from models.bootnet import BootNetwork, Mode, Route
from pxe_stack.store import PLANS, PlanStore, Range
from tests.pxe_stack import make

FIRST = BootNetwork(
    network=UUID(int=1),
    name="provisioning",
    cidr=IPv4Network("10.77.0.0/24"),
    mode=Mode.FULL,
    gateway=IPv4Address("10.77.0.1"),
    dns=(IPv4Address("10.77.0.1"),),
    search=("a.example", "b.example"),
    routes=(Route(IPv4Network("10.9.0.0/16"), IPv4Address("10.77.0.2")),),
    pool_first=IPv4Address("10.77.0.100"),
    pool_last=IPv4Address("10.77.0.199"),
)
SECOND = BootNetwork(network=UUID(int=2), name="bmc", cidr=IPv4Network("10.78.0.0/24"))
SLICE = Range(FIRST.network, IPv4Address("10.77.0.100"), IPv4Address("10.77.0.149"))


@pytest.fixture
def plans(tmp_path):
    store = PlanStore(tmp_path / PLANS)
    yield store
    store.close()


@pytest.fixture
def reader(tmp_path, plans):
    store = PlanStore(tmp_path / PLANS)
    yield store
    store.close()


def test_a_site_that_was_told_of_none_has_no_networks(plans):
    assert (plans.networks(), plans.ranges(), plans.networks_version()) == ((), (), 0)


def test_networks_come_back_as_they_were_and_in_order(plans, reader):
    assert plans.put_networks([SECOND, FIRST], version=3, ranges=[SLICE])

    assert reader.networks() == (FIRST, SECOND)
    assert reader.ranges() == (SLICE,)
    assert reader.networks_version() == 3


def test_what_is_no_longer_named_is_gone(plans):
    plans.put_networks([FIRST, SECOND], version=1, ranges=[SLICE])

    plans.put_networks([SECOND], version=2, ranges=[])

    assert (plans.networks(), plans.ranges()) == ((SECOND,), ())


def test_networks_that_were_overtaken_change_nothing(plans):
    plans.put_networks([FIRST], version=2, ranges=[SLICE])

    assert not plans.put_networks([SECOND], version=1, ranges=[])

    assert (plans.networks(), plans.ranges(), plans.networks_version()) == ((FIRST,), (SLICE,), 2)


def test_ranges_stay_where_only_networks_are_told(plans):
    plans.put_ranges([SLICE])

    plans.put_networks([FIRST])

    assert plans.ranges() == (SLICE,)


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.put_networks([replace(FIRST, mode=Mode.PROXY)], version=1),
        lambda store: store.put_networks([], version=1),
        lambda store: store.put_ranges([]),
        lambda store: store.put(make.plan(version=2)),
        lambda store: store.withdraw(make.plan(hostname="other").machine),
    ],
)
def test_every_change_gives_another_version_to_writer_and_readers_alike(plans, reader, change):
    plans.put_networks([FIRST], version=1, ranges=[SLICE])
    plans.put(make.plan(hostname="other"))
    before = [store.version() for store in (plans, reader)]

    change(plans)

    after = [store.version() for store in (plans, reader)]
    assert all(new > old for new, old in zip(after, before, strict=True))


def test_without_a_change_the_version_stays(plans, reader):
    plans.put_networks([FIRST], version=1, ranges=[SLICE])
    before = [store.version() for store in (plans, reader)]

    for store in (plans, reader):
        store.networks(), store.ranges(), store.all(), store.by_mac(make.MAC)

    assert [store.version() for store in (plans, reader)] == before
