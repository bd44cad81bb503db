"""Control processes on RabbitMQ and PostgreSQL, killed while a provider does what they asked."""

import signal
import threading
from collections import Counter

import pytest

from models import queries
from models.commands import allocating, asks, providing
from models.database import borrowed
from models.kinds import Kind
from models.tables import Holding
from tests.actors.control_process import ControlProcess, lease_over
from tests.actors.lane import until
from tests.models import make
from tests.services.provider import TOKEN

pytestmark = pytest.mark.services

RECORD = "/records/node-01.prov.example"


@pytest.fixture
def controls(tmp_path, database_url, rabbitmq_server, peer):
    """Return a function that starts a control process whose DNS and allocator are at *peer*."""
    started = []

    def start():
        made = ControlProcess(
            tmp_path,
            database_url,
            rabbitmq_server.url,
            SPROUT_DNS_PROVIDER="external",
            SPROUT_DNS_EXTERNAL_URL=peer.url,
            SPROUT_DNS_EXTERNAL_TOKEN="env:T",
            SPROUT_ALLOCATION_PROVIDER="external",
            SPROUT_ALLOCATION_EXTERNAL_URL=peer.url,
            SPROUT_ALLOCATION_EXTERNAL_TOKEN="env:T",
            SPROUT_SECRET_T=TOKEN,
            SPROUT_PROVISIONING_DOMAIN="prov.example",
        )
        made.start()
        started.append(made)
        return made

    yield start
    for each in started:
        if each.lives:
            each.end(signal.SIGKILL)


def provisioning():
    with borrowed():
        scene = make.Scene()
        providing.choose({"dns"}, "prov.example")
        flow = asks.provision(
            make.ADA, scene.machine, image_ref=scene.image, profile_ref=scene.profile
        )
        providing.choose((), "provisioning.sprout.local")
    return flow


def step(flow):
    with borrowed():
        found = queries.workflow(flow).step
    return None if found is None else found.name


def asked(peer):
    return [each for each in peer.seen if each.path == RECORD]


@pytest.mark.parametrize("done", [True, False], ids=["done", "not done"])
def test_what_a_killed_process_asked_for_is_asked_again_by_another_under_the_same_key(
    controls, peer, done
):
    killed = threading.Event()

    def hangs(handler):
        if handler.path == RECORD and done:
            handler.work()
        killed.wait(60)

    flow = provisioning()
    peer.faults += [hangs] * 3  # its health, twice, and the record, in whatever order
    first = controls()
    until(lambda: asked(peer))
    first.end(signal.SIGKILL)
    killed.set()
    peer.faults.clear()
    lease_over()
    controls()
    until(lambda: step(flow) == "plan-served")

    keys = {each.key for each in asked(peer)}
    assert (len(keys), len(asked(peer))) == (1, 2)
    assert list(peer.records) == ["node-01.prov.example"]


def test_an_order_of_machines_goes_on_where_a_killed_process_left_it(controls, peer):
    killed = threading.Event()
    with borrowed():
        scene = make.Scene()
        providing.choose({"allocation"}, "prov.example")
        nics = [make.interface(f"52:54:00:00:07:0{n}") for n in range(2)]
        ids = [make.machine(scene.site, f"free-{n}", [nics[n]]) for n in range(2)]
        asks.moved(make.ADMIN, scene.machine, Kind.RETIRE)
        wanted = allocating.Wanted(site_id=scene.site, count=2)
        assert set(allocating.allocate(make.ADMIN, wanted)) == set(ids)
        providing.choose((), "provisioning.sprout.local")

    def dies_at_the_second(handler):
        if handler.path == "/allocate" and len(peer.machines) == 1:
            handler.work()
            killed.wait(30)
        else:
            handler.send(*handler.work())

    peer.faults += [dies_at_the_second] * 4
    first = controls()
    until(lambda: len(peer.machines) == 2)
    first.end(signal.SIGKILL)
    killed.set()
    peer.faults.clear()
    lease_over()
    controls()
    until(lambda: handed_out() == {"held": 2})

    told = [each for each in peer.seen if each.path == "/allocate"]
    assert (len(told), len({each.key for each in told})) == (4, 2)
    assert set(peer.machines) == set(map(str, ids))


def handed_out():
    with borrowed():
        return Counter(row.state for row in Holding.select())


def test_a_process_that_ends_in_good_order_writes_no_token_to_its_log(controls, peer):
    flow = provisioning()
    control = controls()
    until(lambda: step(flow) == "plan-served")

    assert control.end() == 0

    text = control.log.read_text()
    assert "errand.ended" in text
    assert TOKEN not in text
