"""Networks: what may be, what may change, and that the agents of a site are told of it."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from models import queries
from models.bootnet import BootNetwork, Mode
from models.commands import agents, networks, site_networks
from models.database import borrowed
from models.errors import Exhausted, IllegalTransition, Invalid, NotFound, Stale, Taken
from models.messages import Kind
from models.tables import Agent, Audit, Range, Site
from tests.models import make

pytestmark = pytest.mark.services

POOL = {"pool_start": "10.77.0.100", "pool_end": "10.77.0.199"}
FULL = {**POOL, "dhcp_mode": "full"}
OTHER = {
    "name": "other",
    "cidr": "10.78.0.0/24",
    "range_start": "10.78.0.9",
    "range_end": "10.78.0.9",
}
MANY_ROUTES = [(f"10.{n >> 8}.{n & 255}.0/24", "10.77.0.2") for n in range(4096)]


@pytest.fixture
def scene(db):
    return make.Scene()


@pytest.fixture
def network(scene):
    return queries.network(scene.network)


def change(network, **changes):
    networks.update_network(make.ADA, network.id, changes, version=network.version)
    return queries.network(network.id)


def told(agent):
    """What an agent was told of networks, oldest first."""
    return [body for body in agent.heard(Kind.PLAN) if "networks" in body]


def hold(agent, version):
    agent.beat(networks_version=version)


def long_ago(agent):
    Agent.update(networks_told_at=None).where(Agent.id == agent.id).execute()


# --- what may be ---


def test_a_network_as_it_was_before_answers_known_machines_alone(scene, network):
    assert (network.dhcp_mode, network.lease_s, network.routes) == ("reserved", 3600, ())
    assert site_networks.of_site(scene.site)[0].mode is Mode.RESERVED


BAD = {
    "no such mode": ({"dhcp_mode": "half"}, "/dhcpMode"),
    "full without a pool": ({"dhcp_mode": "full"}, "/poolStart"),
    "proxy with a pool": ({**POOL, "dhcp_mode": "proxy"}, "/poolStart"),
    "strangers without a proxy": ({"strangers_boot": True}, "/strangersBoot"),
    "pool over the range": ({**FULL, "pool_start": "10.77.0.99"}, "/poolStart"),
    "pool outside": ({**FULL, "pool_end": "10.78.0.1"}, "/poolEnd"),
    "half a pool": ({"pool_start": "10.77.0.100"}, "/poolEnd"),
    "gateway in the pool": ({**FULL, "gateway": "10.77.0.150"}, "/poolStart"),
    "lease too short": ({"lease_s": 59}, "/leaseS"),
    "lease too long": ({"lease_s": 86_401}, "/leaseS"),
    "odd time server": ({"ntp": ["10.77.0.1", "pool.ntp.org"]}, "/ntp/1"),
    "odd search domain": ({"search": ["ok.example", "-no-"]}, "/search/1"),
    "odd domain": ({"domain": "two words"}, "/domain"),
    "route over a stranger": ({"routes": [("10.9.0.0/16", "10.78.0.1")]}, "/routes/0/via"),
    "route over the broadcast": ({"routes": [("10.9.0.0/16", "10.77.0.255")]}, "/routes/0/via"),
    "route to a host address": ({"routes": [("10.9.0.1/16", "10.77.0.2")]}, "/routes/0/to"),
    "a route twice": (
        {"routes": [("10.9.0.0/16", "10.77.0.2"), ("10.9.0.0/16", "10.77.0.3")]},
        "/routes/1/to",
    ),
    "two default routes": (
        {"gateway": "10.77.0.1", "routes": [("0.0.0.0/0", "10.77.0.2")]},
        "/routes/0/to",
    ),
}


@pytest.mark.parametrize(("changes", "field"), BAD.values(), ids=BAD)
def test_a_network_that_cannot_be_is_neither_made_nor_changed_into(db, changes, field):
    site = make.site()
    with pytest.raises(Invalid) as made:
        make.network(site, **changes)
    plain = queries.network(make.network(site))

    with pytest.raises(Invalid) as changed:
        change(plain, **changes)

    assert (made.value.field, changed.value.field) == (field, field)
    assert queries.network(plain.id) == plain


def test_a_change_stands_in_the_audit_and_raises_the_version(network):
    after = change(network, **FULL, lease_s=7200)

    assert (after.version, after.lease_s, after.dhcp_mode) == (2, 7200, "full")
    row = Audit.get(Audit.action == "network.update")
    assert row.data == {
        "before": {"dhcpMode": "reserved", "leaseS": 3600, "poolStart": None, "poolEnd": None},
        "after": {"leaseS": 7200, "dhcpMode": "full"}
        | {"poolStart": "10.77.0.100", "poolEnd": "10.77.0.199"},
    }


def test_a_change_to_what_it_is_already_changes_nothing(network):
    after = change(network, lease_s=network.lease_s)

    assert after == network
    assert not Audit.select().where(Audit.action == "network.update").exists()


def test_what_was_changed_meanwhile_is_not_overwritten(network):
    change(network, lease_s=7200)

    with pytest.raises(IllegalTransition, match="version 2"):
        change(network, lease_s=60)

    assert queries.network(network.id).lease_s == 7200


def test_of_two_changes_at_once_one_is_made(network):
    def try_it(lease_s):
        with borrowed():
            return change(network, lease_s=lease_s)

    with ThreadPoolExecutor(2) as callers:
        done = [callers.submit(try_it, seconds) for seconds in (600, 700)]
        failed = [each.exception() for each in done if each.exception()]

    assert [type(each) for each in failed] == [Stale]
    assert queries.network(network.id).version == 2


def test_a_network_that_is_none_cannot_be_changed(scene):
    with pytest.raises(NotFound):
        networks.update_network(make.ADA, scene.site, {}, version=1)


def test_a_name_of_another_is_taken(scene, network):
    make.network(scene.site, **OTHER)

    with pytest.raises(Taken) as caught:
        change(network, name="other")

    assert caught.value.field == "/name"


def test_a_pool_that_agents_lease_from_stays(scene, network):
    leased = change(network, **FULL)
    assert Range.select().exists()

    with pytest.raises(IllegalTransition) as caught:
        change(leased, pool_end="10.77.0.150")

    assert caught.value.field == "/poolStart"
    assert change(leased, dhcp_mode="reserved").dhcp_mode == "reserved"


def test_a_pool_that_nobody_leases_from_may_change(network):
    first = change(network, **POOL)

    assert change(first, pool_end="10.77.0.150").pool_end == "10.77.0.150"


def test_a_range_holds_every_address_that_was_given(scene, network):
    scene.provision()

    with pytest.raises(IllegalTransition) as caught:
        change(network, range_start="10.77.0.11")

    assert caught.value.field == "/rangeStart"
    assert change(network, range_end="10.77.0.10").range_end == "10.77.0.10"


def test_networks_that_fit_no_message_are_refused(network):
    with pytest.raises(Exhausted, match="131072 bytes"):
        change(network, routes=MANY_ROUTES)


# --- that agents are told ---


def test_a_registration_brings_networks_and_ranges(scene, network):
    change(network, **FULL, search=["a.example"], routes=[("10.9.0.0/16", "10.77.0.2")])

    late = make.Agent(scene.site)

    [body] = told(late)
    [value] = [BootNetwork.decode(each) for each in body["networks"]]
    assert (value,) == site_networks.of_site(scene.site)
    assert value.mode is Mode.FULL
    assert body["networks_version"] == site_networks.version(scene.site)
    assert {each["network"] for each in body["ranges"]} == {str(network.id)}


def test_a_change_is_sent_at_once_to_every_live_agent(scene, network):
    other, gone = make.Agent(scene.site), make.Agent(scene.site)
    gone.silent(60)
    before = {agent: len(told(agent)) for agent in (scene.agent, other, gone)}

    change(network, dhcp_mode="proxy", strangers_boot=True)

    news = {agent: told(agent)[count:] for agent, count in before.items()}
    assert [len(each) for each in news.values()] == [1, 1, 0]
    [body] = news[other]
    assert body["networks"][0]["mode"] == "proxy"
    assert body["networks"][0]["strangers_boot"] is True


def test_a_new_network_is_sent_too(scene):
    make.network(scene.site, **OTHER)

    assert {each["name"] for each in told(scene.agent)[-1]["networks"]} == {
        "provisioning",
        "other",
    }


def test_versions_grow_also_when_the_clock_was_set_back(scene, network):
    Site.update(networks_version=2**60).execute()

    change(network, lease_s=600)

    assert site_networks.version(scene.site) == 2**60 + 1


def test_control_knows_which_agents_hold_the_newest_networks(scene, network):
    def current():
        return [agent.networks_current for agent in queries.agents(scene.site)]

    assert current() == [False]
    hold(scene.agent, site_networks.version(scene.site))
    assert current() == [True]

    change(network, lease_s=600)

    assert current() == [False]


def test_an_agent_that_missed_a_change_is_told_again_and_not_with_every_beat(scene):
    before = len(told(scene.agent))
    hold(scene.agent, 1)
    assert len(told(scene.agent)) == before  # what its registration brought is under way

    long_ago(scene.agent)
    hold(scene.agent, 1)
    hold(scene.agent, 1)

    assert len(told(scene.agent)) == before + 1


def test_an_agent_that_holds_the_newest_is_told_nothing(scene):
    long_ago(scene.agent)
    before = len(told(scene.agent))

    hold(scene.agent, site_networks.version(scene.site))

    assert len(told(scene.agent)) == before


@pytest.mark.parametrize("said", [None, "7", -1, 2**63, 1.5])
def test_what_is_no_version_is_passed_over(scene, said):
    long_ago(scene.agent)
    before = len(told(scene.agent))

    hold(scene.agent, said)

    assert len(told(scene.agent)) == before


def test_a_restored_database_goes_beyond_what_agents_have_seen(scene):
    ahead = site_networks.version(scene.site) + 10**9
    long_ago(scene.agent)

    hold(scene.agent, ahead)

    assert told(scene.agent)[-1]["networks_version"] > ahead


def test_changes_and_registrations_at_once_wait_for_nobody_in_a_circle(scene, network):
    change(network, **FULL)
    others = [make.Agent(scene.site) for _ in range(3)]

    def register(agent):
        with borrowed():
            agent.register()

    def rename(number):
        with borrowed():
            while True:
                now = queries.network(network.id)
                try:
                    return change(now, name=f"n-{number}")
                except IllegalTransition:
                    continue

    with ThreadPoolExecutor(6) as callers:
        work = [partial(register, each) for each in others * 4] + [
            partial(rename, number) for number in range(6)
        ]
        done = [callers.submit(each) for each in work]
        assert [each.exception() for each in done] == [None] * len(done)

    rows = sorted((row.first, row.agent_id) for row in Range.select())
    assert len({first for first, _ in rows}) == len(rows)
    assert agents.live(scene.site)
