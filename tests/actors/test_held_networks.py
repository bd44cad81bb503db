"""Networks of an external provider: taken in, kept in step, and refused one by one."""

import json
import signal
import threading

import pytest

from actors.drivers.errors import LeaseLost
from models import queries
from models.commands import asks, held_networks, networks, providing, watching
from models.database import borrowed
from models.errors import IllegalTransition, NotReady
from models.tables import Allocation, Audit, Errand, Network
from tests.actors.control_process import ControlProcess
from tests.actors.lane import until
from tests.actors.provider_lab import DOMAIN, Provided, all_at, chosen_nothing
from tests.actors.test_errands_whole import lease_over
from tests.models import make
from tests.services.provider import TOKEN, answer, hang_up

pytestmark = pytest.mark.services

HERE = {"id": "n-1", "site": "ams-1", "name": "provisioning", "cidr": "10.77.0.0/24"}
NEW = {"id": "n-2", "site": "ams-1", "name": "rack-2", "cidr": "10.78.0.0/24"}
ENDS = {"gateway": "10.78.0.1", "first": "10.78.0.20", "last": "10.78.0.40"}


@pytest.fixture
def scene(db, peer):
    yield Provided(all_at(peer.url), ("network",))
    chosen_nothing()


def synced(scene, *rows, peer=None):
    """Have the provider hold *rows*, and ask it."""
    if peer is not None:
        peer.networks[:] = rows
    Errand.delete().where(Errand.name == "network-sync").execute()
    watching.look(["network"])
    return [each for each in scene.run_errands() if "known" in each.result or not each.done]


def result():
    return Errand.get(Errand.name == "network-sync").result


def row(name="rack-2"):
    return Network.get(Network.name == name)


def test_a_network_of_the_provider_becomes_the_sites_and_its_own_is_taken_over(scene, peer):
    synced(scene, HERE, NEW | ENDS, {"id": "n-3", "cidr": "10.79.0.0/24"}, peer=peer)

    new = row()
    assert (new.cidr, new.gateway, new.range_start, new.range_end) == (
        "10.78.0.0/24",
        "10.78.0.1",
        "10.78.0.20",
        "10.78.0.40",
    )
    own = row("provisioning")
    assert (own.id, own.external_id, own.range_start) == (scene.network, "n-1", "10.77.0.10")
    assert (result()["known"], result()["ignored"], Network.select().count()) == (2, 1, 2)
    assert {each.actor for each in Audit.select().where(Audit.object_id == str(new.id))} == {
        "network-provider"
    }


def test_what_changes_there_changes_here_and_the_rest_stays_as_it_was_set_here(scene, peer):
    synced(scene, NEW | ENDS, peer=peer)
    networks.update_network(
        make.ADA, row().id, {"lease_s": 600, "dns": ["10.78.0.1"]}, version=None
    )
    before = row().version

    synced(scene, NEW | ENDS, peer=peer)
    assert row().version == before
    synced(scene, NEW | ENDS | {"name": "rack-two", "last": "10.78.0.50"}, peer=peer)

    changed = row("rack-two")
    assert (changed.range_end, changed.lease_s, changed.dns) == ("10.78.0.50", 600, ["10.78.0.1"])


def test_the_range_is_what_the_gateway_leaves_where_none_is_said(scene, peer):
    synced(scene, NEW | {"gateway": "10.78.0.254"}, peer=peer)

    assert (row().range_start, row().range_end) == ("10.78.0.1", "10.78.0.253")


BAD = {
    "host bits": ({"cidr": "10.78.0.1/24"}, "host bits set"),
    "wider": ({"cidr": "10.77.0.0/16"}, "overlaps 10.77.0.0/24"),
    "overlaps": ({"cidr": "10.77.0.128/25"}, "overlaps 10.77.0.0/24"),
    "not a CIDR": ({"cidr": "ten"}, "is not an IPv4 network"),
    "IPv6": ({"cidr": "2001:db8::/64"}, "is not an IPv4 network"),
    "a number": ({"cidr": 7}, "is not an IPv4 network"),
    "everything": ({"cidr": "0.0.0.0/0"}, "no machines can be in"),
    "loopback": ({"cidr": "127.0.0.0/8"}, "no machines can be in"),
    "link-local": ({"cidr": "169.254.0.0/16"}, "no machines can be in"),
    "multicast": ({"cidr": "224.0.0.0/8"}, "no machines can be in"),
    "one host": ({"cidr": "10.78.0.1/32"}, "no machines can be in"),
    "range elsewhere": ({"first": "10.9.0.1", "last": "10.9.0.9"}, "is not a host address of"),
    "range backwards": ({"first": "10.78.0.9", "last": "10.78.0.3"}, "before it starts"),
    "gateway elsewhere": ({"gateway": "10.9.0.1"}, "is not a host address of"),
    "gateway": ({"gateway": "me"}, "is not an IPv4 address"),
    "name": ({"name": "provisioning"}, "has this name"),
    "no such site": ({"site": "ams-9"}, "no site ams-9"),
    "no id": ({"id": None}, "has no id"),
    "a NUL": ({"id": "n\u0000"}, "has no id"),
    "id twice": ({"id": "n-9"}, "has the id n-9 too"),
    "CIDR twice": ({"cidr": "10.99.0.0/24"}, "has 10.99.0.0/24 too"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_that_cannot_be_is_refused_by_itself_and_told(scene, peer, name):
    bad, words = BAD[name]
    good = {"id": "n-9", "site": "ams-1", "name": "good", "cidr": "10.99.0.0/24"}

    synced(scene, good, NEW | bad, peer=peer)

    assert {each.name for each in Network.select()} == {"provisioning", "good"}
    ((_, _, why),) = watching.left()
    assert words in why


def test_a_network_never_moves_under_the_machines_that_have_addresses_on_it(scene, peer):
    synced(scene, HERE, peer=peer)
    machine = queries.machine(scene.machine)
    Allocation.create(
        network_id=scene.network,
        machine_id=machine.id,
        interface_id=machine.interfaces[0].id,
        address="10.77.0.50",
        mac=make.MAC,
        state="active",
    )

    for bad in ({"cidr": "10.79.0.0/24"}, {"first": "10.77.0.60", "last": "10.77.0.70"}):
        synced(scene, HERE | bad, peer=peer)
        assert result()["refused"] == 1
        assert (row("provisioning").cidr, row("provisioning").range_start) == (
            "10.77.0.0/24",
            "10.77.0.10",
        )


def test_what_is_gone_there_is_kept_and_not_provisioned_on_until_it_is_back(scene, peer):
    synced(scene, HERE, peer=peer)
    synced(scene, peer=peer)

    for network in (None, scene.network):
        with pytest.raises(NotReady, match=r"0 provisioning networks|no longer has network"):
            asks.provision(
                make.ADA,
                scene.machine,
                image_ref=scene.image,
                profile_ref=scene.profile,
                network_id=network,
            )
    assert "gone there" in watching.left()[0][2]
    synced(scene, HERE, peer=peer)
    assert scene.provision()


def test_operators_change_what_is_said_here_alone(scene, peer):
    synced(scene, NEW, peer=peer)
    new = networks.NewNetwork(
        site_id=scene.site, name="x", cidr="10.80.0.0/24", range_start="10.80.0.9",
        range_end="10.80.0.9",
    )  # fmt: skip

    with pytest.raises(IllegalTransition, match="held by the external provider"):
        networks.create_network(make.ADA, new)
    with pytest.raises(IllegalTransition, match="name of network rack-2 is held"):
        networks.update_network(make.ADA, row().id, {"name": "y"}, version=None)
    with pytest.raises(IllegalTransition, match="held by the external provider"):
        networks.delete_network(make.ADA, row().id, version=None)
    synced(scene, peer=peer)
    networks.delete_network(make.ADA, row().id, version=None)


def test_with_builtin_again_a_network_is_ours_from_its_next_change_on(scene, peer):
    synced(scene, NEW, peer=peer)
    chosen_nothing()

    networks.update_network(make.ADA, row().id, {"name": "y"}, version=None)

    assert (row("y").provider, row("y").external_id) == ("builtin", None)


MANY = json.dumps({"items": [{"id": f"n-{n}"} for n in range(2001)]}).encode()
HOSTILE = {
    "away": (hang_up, "cannot be asked"),
    "503": (answer(503), "answers 503"),
    "huge": (answer(200, b'{"items": ["' + b"x" * (2 << 20) + b'"]}'), "an answer of over"),
    "many": (answer(200, MANY), "answers 2001 networks"),
    "no items": (answer(200, b"{}"), "without a list of items"),
    "deep": (answer(200, b"[" * 99_999), "no JSON"),
    "metadata": (answer(307, Location="http://169.254.169.254/x"), "another host"),
    "unauthorised": (answer(401), "does not accept the token"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_answer_that_is_none_changes_nothing_and_is_told(scene, peer, name):
    fault, words = HOSTILE[name]
    synced(scene, HERE, NEW, peer=peer)
    peer.faults += [fault] * 9
    Errand.update(tries=1).execute()

    Errand.delete().execute()
    watching.look(["network"])
    Errand.update(tries=1).execute()
    scene.run_errands()

    assert words in watching.left()[0][2]
    assert [each.gone_at for each in Network.select()] == [None, None]


def test_who_is_no_longer_to_do_it_stops_between_two_networks_and_the_next_goes_on(scene, peer):
    rows = [NEW | {"id": f"n-{n}", "name": f"r-{n}", "cidr": f"10.9{n}.0.0/24"} for n in range(4)]
    left = [None, None]

    def hold():
        if not left:
            raise LeaseLost("the errand is another's by now")
        left.pop()

    fields = dict.fromkeys(("gateway", "first", "last"), "")
    with pytest.raises(LeaseLost):
        held_networks.take_in("contract at there", [fields | each for each in rows], hold)
    assert Network.select().count() == 3

    synced(scene, *rows, peer=peer)
    assert (result()["known"], Network.select().count()) == (4, 5)


def test_a_control_process_takes_them_in_at_its_start_and_another_where_it_was_killed(
    tmp_path, database_url, rabbitmq_server, peer
):
    killed = threading.Event()
    peer.networks[:] = [NEW]
    peer.faults += [lambda _: killed.wait(30)] * 2  # its health and the networks, as they come
    with borrowed():
        make.site()
    control = [
        ControlProcess(
            tmp_path,
            database_url,
            rabbitmq_server.url,
            SPROUT_NETWORK_PROVIDER="external",
            SPROUT_NETWORK_EXTERNAL_URL=peer.url,
            SPROUT_NETWORK_EXTERNAL_TOKEN="env:T",
            SPROUT_SECRET_T=TOKEN,
            SPROUT_PROVISIONING_DOMAIN=DOMAIN,
        )
        for _ in range(2)
    ]
    try:
        control[0].start()
        until(lambda: "GET /networks" in peer.asked("GET"))
        control[0].end(signal.SIGKILL)
        killed.set()
        lease_over()
        control[1].start()
        until(_taken_in)
    finally:
        killed.set()
        for each in control:
            if each.lives:
                each.end(signal.SIGKILL)


def _taken_in():
    with borrowed():
        return Network.select().where(Network.external_id == "n-2").exists()


def test_builtin_asks_nobody(db):
    watching.look(providing.capabilities())

    assert not Errand.select().exists()
