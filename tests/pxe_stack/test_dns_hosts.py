"""Which names there are, as the site's own files say it."""

import sqlite3
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

import pytest

from models.bootnet import BootNetwork
from pxe_stack.dns_hosts import REST_S, Found, Keeper, LeasedHosts, PlannedHosts
from pxe_stack.dns_limits import FAR, MOST_BUCKETS, NEAR, Limiter, Verdict
from pxe_stack.dns_zone import Host
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Lease, Share, State
from pxe_stack.store import PLANS, PlanStore
from tests.pxe_stack import make
from tests.pxe_stack.dns_make import DOMAIN, OWN

NUMBER = int(IPv4Address("10.77.0.150"))


class Source:
    """A source of names in a test's hands."""

    def __init__(self):
        self.found = Found()
        self.news = True

    def changed(self):
        news, self.news = self.news, False
        return news

    def read(self):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def says(self, found):
        self.found, self.news = found, True


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def keeper(source):
    return Keeper(DOMAIN, OWN, [source])


class TestKeeper:
    def test_the_zone_is_the_same_until_it_says_another_thing(self, keeper, source):
        first = keeper.zone(0.0)
        source.news = True

        assert keeper.zone(10.0) is first

    def test_a_change_is_there_after_a_rest_at_most(self, keeper, source):
        first = keeper.zone(0.0)
        source.says(Found([Host("node-01", "10.77.0.21")]))

        assert keeper.zone(REST_S / 2) is first
        assert b"node-01" in keeper.zone(REST_S).addresses
        assert keeper.zone(REST_S).serial > first.serial

    def test_what_cannot_be_read_now_is_read_again(self, keeper, source):
        keeper.zone(0.0)
        source.says(sqlite3.OperationalError("locked"))
        with pytest.raises(sqlite3.OperationalError):
            keeper.zone(1.0)
        source.found = Found([Host("node-01", "10.77.0.21")])

        assert b"node-01" in keeper.zone(2.0).addresses


class TestPlans:
    @pytest.fixture
    def plans(self, tmp_path):
        made = PlanStore(tmp_path / PLANS)
        yield made
        made.close()

    def test_names_and_networks_are_those_of_plans_and_of_what_control_told(self, tmp_path, plans):
        hosts = PlannedHosts(tmp_path)
        plans.put(make.plan())
        plans.put(make.another(300))
        told = BootNetwork(network=UUID(int=1), name="n", cidr=IPv4Network("10.99.0.0/24"))
        plans.put_networks([told])

        assert hosts.changed()
        found = hosts.read()
        assert {host.name for host in found.hosts} == {"node-01", "node-300"}
        assert set(map(str, found.networks)) == {"10.77.0.0/24", "10.77.0.0/16", "10.99.0.0/24"}
        plans.withdraw(make.plan().machine)
        assert hosts.changed()
        assert not hosts.changed()
        assert [host.name for host in hosts.read().hosts] == ["node-300"]
        hosts.close()


class TestLeases:
    @pytest.fixture
    def stores(self, tmp_path):
        made = [LeaseStore(tmp_path, Share(number, 2)) for number in range(2)]
        yield made
        for store in made:
            store.close()

    def test_an_address_has_a_name_as_long_as_it_is_leased(self, tmp_path, stores):
        now = [100.0]
        hosts = LeasedHosts(tmp_path, lambda: now[0])
        stores[1].write([Lease(NUMBER, b"c", 200.0), Lease(NUMBER + 1, b"d", 90.0)])

        assert hosts.changed()
        assert list(hosts.read().hosts) == [Host("ip-10-77-0-150", "10.77.0.150")]
        assert not hosts.changed()
        now[0] = 200.0
        assert hosts.changed()
        assert not list(hosts.read().hosts)
        hosts.close()

    @pytest.mark.parametrize("state", [State.RELEASED, State.DECLINED])
    def test_what_was_given_back_has_none(self, tmp_path, stores, state):
        hosts = LeasedHosts(tmp_path, lambda: 100.0)
        stores[0].write([Lease(NUMBER, b"c", 200.0)])
        assert hosts.changed()
        stores[0].write([Lease(NUMBER, b"c", 200.0, state)])

        assert hosts.changed()
        assert not list(hosts.read().hosts)
        hosts.close()


class TestLimiter:
    def test_who_is_near_is_judged_alone_and_who_is_far_with_its_neighbours(self):
        limiter = Limiter(lambda client: client.startswith("10."))

        near = [limiter.take("10.0.0.1", 0.0) for _ in range(int(NEAR.burst) + 4)]
        far = [limiter.take(f"192.0.2.{n % 256}", 0.0) for n in range(int(FAR.burst) + 4)]

        for taken, rate in ((near, NEAR), (far, FAR)):
            assert taken[: int(rate.burst)] == [Verdict.SEND] * int(rate.burst)
            assert taken[int(rate.burst) :] == [Verdict.SLIP, Verdict.DROP] * 2
        assert limiter.take("10.0.0.2", 0.0) is Verdict.SEND
        assert limiter.take("192.0.3.1", 0.0) is Verdict.SEND
        assert limiter.take("192.0.2.9", 1.0) is Verdict.SEND

    def test_any_number_of_clients_takes_so_much_memory(self):
        limiter = Limiter(lambda _client: True)
        for number in range(MOST_BUCKETS * 2):
            limiter.take(str(IPv4Address(number)), 0.0)

        assert len(limiter) == MOST_BUCKETS
