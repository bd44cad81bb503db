"""Many hosts of Proxmox VE rebuilt at once: all beside each other, but the joins of a cluster."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from models.database import borrowed
from models.tables import RunKey
from tests.flows import hosts as lab
from tests.flows.hosts import Host

# A join is a dozen commands over SSH, and each has to be over before the next.
pytestmark = [pytest.mark.machines, pytest.mark.timeout(1800)]


@pytest.fixture
def fleet(tmp_path, postgres, database_url):
    with lab.running(tmp_path, database_url, postgres.local(database_url)) as made:
        yield made


def each(does, hosts):
    """Have all of *hosts* do it at once; return when all have."""
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(does, hosts))


def installed(fleet, count):
    """Have *count* hosts be rebuilt as far as their first boot; return the keys of their runs."""
    fleet.register(count)
    each(fleet.rebuild, fleet.hosts)
    fleet.all_are("pxe_ready", "netbooted")
    each(Host.boots, fleet.hosts)
    fleet.all_are("installing")
    with borrowed():
        keys = [row.private_key.splitlines()[2] for row in RunKey.select()]
    each(Host.installs, fleet.hosts)
    fleet.all_are("installed")
    return keys


def overlapping(moves):
    """Return what began while another was under way."""
    under_way, found = set(), []
    for what, name in moves:
        if what == "begin" and under_way - {name}:
            found.append((name, *under_way))
        (under_way.add if what == "begin" else under_way.discard)(name)
    return found


def assert_all_joined(fleet, keys):
    """Each host is of one cluster and known outside, and its run's key is nowhere."""
    names = {host.name for host in fleet.hosts}
    told = {seen.body["hostname"] for seen in fleet.service.seen if seen.method == "PUT"}
    heeded = "".join(host.node.root_keys() for host in fleet.hosts)

    assert [len(set(keys)), len({host.key for host in fleet.hosts})] == [len(names)] * 2
    assert (set(fleet.world.cluster()["nodes"]), told) == (names, names)
    assert overlapping(fleet.world.moves()) == []
    assert [host.name for host in fleet.hosts if host.key in heeded] == []
    assert lab.stored(*keys, *(host.key for host in fleet.hosts)) == []


def test_twenty_hosts_are_rebuilt_beside_each_other_and_join_one_by_one(fleet):
    keys = installed(fleet, 20)

    each(Host.phones_home, fleet.hosts)
    fleet.all_are("ready")

    assert len(fleet.begun_joins()) == len(fleet.world.moves()) / 2 == 20
    assert_all_joined(fleet, keys)


def test_hosts_become_ready_though_control_is_killed_while_one_joins(fleet):
    keys = installed(fleet, 6)
    (fleet.world.folder / "hangs").touch()

    each(Host.phones_home, fleet.hosts)
    fleet.kill_control_in_a_join()
    fleet.control()
    fleet.all_are("ready")

    begun = fleet.begun_joins()
    assert (len(begun), len(set(begun))) == (7, 6)
    assert_all_joined(fleet, keys)
