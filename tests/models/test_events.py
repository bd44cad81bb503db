"""Domain events: as CloudEvents, in order per machine, at least once."""

import json
import threading
from datetime import UTC, datetime
from uuid import UUID

import pytest

from models import database as pool
from models.commands import asks, events
from models.events import SHARDS, DomainEvent, shard
from models.observations import Seen
from models.tables import DomainEvent as Row
from tests.models import make

MACHINE = UUID("018f6f45-3e4f-7051-8263-748596071829")

GOLDEN = {
    "specversion": "1.0",
    "id": "018f6f45-3e4f-7051-8263-748596071829/4",
    "source": "/sites/ams-1/machines/018f6f45-3e4f-7051-8263-748596071829",
    "type": "sprout.machine.provisioned",
    "subject": "node-01",
    "time": "2025-06-01T12:00:00Z",
    "datacontenttype": "application/json",
    "sequence": "000000000004",
    "sproutrequestid": "r-1",
    "data": {"to": "active"},
}


@pytest.fixture
def scene(db):
    return make.Scene()


def test_an_event_is_a_cloud_event_with_a_key_to_choose_it_by():
    event = DomainEvent(
        id=9,
        subject_id=MACHINE,
        subject="node-01",
        site="ams-1",
        seq=4,
        kind="provisioned",
        at=datetime(2025, 6, 1, 12, tzinfo=UTC),
        request_id="r-1",
        data={"to": "active"},
    )

    assert event.cloud_event() == GOLDEN
    assert event.routing_key == "site.ams-1.machine.provisioned"


def test_a_machines_events_lie_in_one_shard():
    assert shard(MACHINE) == shard(MACHINE) < SHARDS


@pytest.mark.services
def test_a_provisioning_is_told_from_its_beginning_to_its_end(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)

    told = events.since(0, limit=100)

    assert [each.seq for each in told] == list(range(1, len(told) + 1))
    kinds = [each.kind for each in told if each.kind != "phase"]
    assert kinds == ["provision", "workflow-begun", "provisioned", "workflow-ended"]
    phases = [each.data["to"] for each in told if each.kind == "phase"]
    assert phases == ["pxe_booted", "installing", "installed", "first_boot"]


@pytest.mark.services
def test_what_is_rolled_back_is_not_told(scene):
    before = events.newest()

    with pool.database.atomic() as transaction:
        asks.cancel(make.ADA, scene.provision())
        transaction.rollback()

    assert events.newest() == before


@pytest.mark.services
def test_an_event_is_published_once_when_all_is_well_and_again_when_it_is_not(scene):
    scene.provision()
    sent = []

    def fail(batch):
        sent.extend(batch)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        events.publish(fail)
    events.publish(sent.extend)
    events.publish(sent.extend)

    assert len(sent) == 2 * Row.select().count()


@pytest.mark.services
def test_relays_side_by_side_keep_the_order_of_each_machine(scene):
    others = [
        make.machine(scene.site, f"node-{n}", [make.interface(f"52:54:00:00:01:{n:02x}")])
        for n in range(10, 16)
    ]
    for _ in range(4):
        for machine in [scene.machine, *others]:
            asks.cancel(make.ADA, asks.commission(make.ADA, machine))
    sent, lock = [], threading.Lock()

    def send(batch):
        with lock:
            sent.extend(batch)

    def relay():
        with pool.borrowed():
            events.publish(send)

    threads = [threading.Thread(target=relay) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for machine in [scene.machine, *others]:
        numbers = [each.seq for each in sent if each.subject_id == machine]
        assert numbers == sorted(set(numbers))
    assert len(sent) == Row.select().count()


@pytest.mark.services
def test_no_event_bears_a_secret(scene):
    scene.powered(scene.provision())

    told = json.dumps([each.cloud_event() for each in events.since(0, limit=100)])

    assert "secret_ref" not in told
    assert "env:" not in told
