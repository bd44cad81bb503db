"""Machines that nobody entered: told of once each, bounded, accepted once."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from models import queries
from models.commands import adopting, discoveries, events, reports
from models.commands.adopting import Adoption
from models.database import borrowed
from models.discoveries import Sighting, Verdict, architecture, hostname
from models.errors import IllegalTransition, Invalid, NotFound, Taken
from models.messages import Kind
from models.observations import Observation, Seen, Source
from models.paging import Ask
from models.tables import Audit, Discovery, DomainEvent, Machine
from models.tables import Observation as Row
from tests.models import make

STRANGER = "52:54:00:99:00:01"
TOLD = {
    "uuid": "4c4c4544-0042-3510-8054-b4c04f4a4d32",
    "arch": 7,
    "vendor_class": "PXEClient:Arch:00007:UNDI:003016",
    "relay": "10.9.0.1",
    "address": "10.77.0.100",
}


def sighting(mac=STRANGER, at=None, **data):
    return Observation(
        kind=Seen.MACHINE_DISCOVERED,
        source=Source.DHCP,
        at=time.time() if at is None else at,
        mac=mac,
        data={"mac": mac, **TOLD, **data},
    )


# --- what a stranger says ---


def test_a_sighting_is_read_whole():
    read = Sighting.of(sighting(at=7.0))

    assert read == Sighting(
        mac=STRANGER,
        at=7.0,
        smbios_uuid=UUID(TOLD["uuid"]),
        arch=7,
        vendor_class=TOLD["vendor_class"],
        relay="10.9.0.1",
        address="10.77.0.100",
    )


@pytest.mark.parametrize(
    "mac", [None, "", "no", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "x" * 99]
)
def test_who_has_no_mac_of_an_interface_is_nobody(mac):
    assert Sighting.of(sighting(mac=mac)) is None


@pytest.mark.parametrize(
    ("field", "value", "left"),
    [
        ("uuid", "not one", None),
        ("uuid", None, None),
        ("arch", "7", None),
        ("arch", True, None),
        ("arch", 1 << 16, None),
        ("arch", -1, None),
        ("vendor_class", "a\x00b\x1b[31m", "ab[31m"),
        ("vendor_class", "x" * 999, "x" * 64),
        ("vendor_class", ["x"], "['x']"),
        ("relay", "", None),
        ("relay", "::1", None),
        ("address", {"a": 1}, None),
    ],
)
def test_what_makes_no_sense_is_left_out(field, value, left):
    read = Sighting.of(sighting(**{field: value}))

    assert getattr(read, "smbios_uuid" if field == "uuid" else field) == left


@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "x86_64"), (7, "x86_64"), (16, "x86_64"), (11, "arm64"), (19, "arm64"), (27, None)],
)
def test_the_architecture_follows_from_the_code(code, word):
    assert architecture(code) == word


def test_a_host_name_to_begin_with_is_of_the_mac():
    assert hostname(STRANGER) == "node-525400990001"


# --- kept once each ---


@pytest.fixture
def scene(db):
    return make.Scene()


class Teller:
    """An agent that tells of strangers."""

    def __init__(self, agent):
        self.agent = agent

    def tell(self, *seen):
        """Send the sightings in one message; return it, to be sent again."""
        rows = []
        for each in seen:
            self.agent.seq += 1
            rows.append({"seq": self.agent.seq, **each.encode()})
        body = {"incarnation": self.agent.incarnation, "reports": rows}
        message = self.agent.envelope(Kind.OBSERVATIONS, body)
        reports.receive(message, make.render)
        return message


@pytest.fixture
def teller(scene):
    return Teller(scene.agent)


def only():
    (view,) = discoveries.listed()
    return view


def told():
    return [(row.kind, row.data["mac"]) for row in DomainEvent.select().order_by(DomainEvent.id)]


@pytest.mark.services
def test_a_stranger_is_kept_with_all_that_it_says(scene, teller):
    teller.tell(sighting())

    view = only()
    assert (view.mac, view.state, view.times) == (STRANGER, Verdict.NEW, 1)
    assert (str(view.smbios_uuid), view.arch, view.architecture) == (TOLD["uuid"], 7, "x86_64")
    assert (view.relay, view.address) == ("10.9.0.1", "10.77.0.100")
    assert (view.site_id, view.site_slug, view.agent_id) == (
        scene.site,
        "ams-1",
        scene.agent.id,
    )
    assert told() == [("found", STRANGER)]


@pytest.mark.services
def test_a_stranger_that_comes_again_is_the_same(teller):
    began = time.time() - 100
    for n in range(3):
        teller.tell(sighting(at=began + n, address=f"10.77.0.{100 + n}"))

    view = only()
    assert (view.times, view.address) == (3, "10.77.0.102")
    assert (view.last_seen - view.first_seen).total_seconds() == pytest.approx(2)
    assert told() == [("found", STRANGER)]


@pytest.mark.services
def test_what_comes_late_changes_nothing_that_is_newer(teller):
    began = time.time() - 100
    teller.tell(sighting(at=began, address="10.77.0.100"))

    teller.tell(sighting(at=began - 50, address="10.77.0.55", arch=11))

    view = only()
    assert (view.times, view.address, view.arch) == (2, "10.77.0.100", 7)
    assert view.first_seen.timestamp() == pytest.approx(began - 50)
    assert view.last_seen.timestamp() == pytest.approx(began)


@pytest.mark.services
def test_a_message_that_comes_twice_counts_once(teller):
    message = teller.tell(sighting(), sighting(mac="52:54:00:99:00:02"))

    reports.receive(message, make.render)

    assert sorted(view.times for view in discoveries.listed()) == [1, 1]


@pytest.mark.services
def test_a_clock_that_is_far_ahead_is_cut_to_ours(teller):
    teller.tell(sighting(at=time.time() + 10**6))

    assert only().last_seen < datetime.now(UTC) + timedelta(seconds=301)


@pytest.mark.services
def test_a_machine_of_the_site_is_no_discovery(scene, teller):
    teller.tell(sighting(mac=make.MAC), sighting(mac=make.MAC.upper().replace(":", "-")))

    assert discoveries.listed() == []
    assert Seen.MACHINE_DISCOVERED in [row.kind for row in queries.timeline(scene.machine)]


@pytest.mark.services
def test_a_machine_of_another_site_is_a_stranger_here(scene):
    other = make.Agent(make.site("ber-1"))

    Teller(other).tell(sighting(mac=make.MAC))

    assert only().site_slug == "ber-1"
    with pytest.raises(Taken) as caught:
        adopting.accept(make.ADA, only().id, Adoption(hostname="node-77"))
    assert caught.value.field == ""


@pytest.mark.services
def test_what_is_malformed_is_kept_as_a_row_and_is_nobody(teller):
    teller.tell(sighting(mac="ff:ff:ff:ff:ff:ff"), sighting(mac=None), sighting(arch=[], relay={}))

    assert only().mac == STRANGER
    assert Row.select().where(Row.kind == Seen.MACHINE_DISCOVERED.value).count() == 3


@pytest.mark.services
def test_a_flood_of_strangers_is_bounded_and_counted_and_told_to_nobody(teller, monkeypatch):
    monkeypatch.setattr(discoveries, "MOST", 20)
    began = time.time() - 1000
    teller.tell(*(sighting(f"52:54:00:98:00:{n:02x}", began + n) for n in range(20)))
    discoveries.ignore(make.ADA, discoveries.listed()[-1].id)
    before = len(told())

    for start in range(0, 200, 50):
        macs = [f"52:54:01:00:00:{n:02x}" for n in range(start, start + 50)]
        teller.tell(*(sighting(mac, began + 100 + start) for mac in macs))

    left = discoveries.listed(ask=Ask(limit=500))
    assert len(left) == 20
    assert discoveries.counts()["dropped"] == 200
    assert [view.mac for view in left if view.state is Verdict.IGNORED] == ["52:54:00:98:00:00"]
    assert {view.last_seen.timestamp() > began + 249 for view in left if view.state is Verdict.NEW}
    assert len(told()) == before


@pytest.mark.services
def test_agents_that_tell_of_the_same_strangers_at_once_wait_for_nobody_in_a_circle(scene):
    tellers = [Teller(make.Agent(scene.site)) for _ in range(4)]
    macs = [f"52:54:00:97:00:{n:02x}" for n in range(40)]

    def tell(number):
        with borrowed():
            order = macs if number % 2 else macs[::-1]
            for _ in range(3):
                tellers[number].tell(*(sighting(mac) for mac in order))

    with ThreadPoolExecutor(4) as callers:
        done = [callers.submit(tell, number) for number in range(4)]
        assert [each.exception() for each in done] == [None] * 4

    assert {view.times for view in discoveries.listed()} == {12}
    assert len(told()) == 40


@pytest.mark.services
def test_each_word_of_a_stranger_is_forgotten_in_time_and_its_sum_is_not(scene, teller):
    teller.tell(sighting(), sighting(), sighting(mac=make.MAC))
    Row.update(received_at=datetime.now(UTC) - timedelta(days=2)).execute()
    teller.tell(sighting())

    assert discoveries.prune() == 2

    assert only().times == 3
    assert Row.select().where(Row.kind == Seen.MACHINE_DISCOVERED.value).count() == 2


# --- accepted once ---


@pytest.fixture
def found(teller):
    teller.tell(sighting())
    return only().id


@pytest.mark.services
def test_an_accepted_stranger_is_a_machine_with_the_interface_that_it_booted_from(scene, found):
    machine_id = adopting.accept(
        make.ADA, found, Adoption(hostname="Node-77", labels={"rack": "7"})
    )

    machine = queries.machine(machine_id)
    assert (machine.hostname, machine.architecture, machine.state) == (
        "node-77",
        "x86_64",
        "registered",
    )
    (nic,) = machine.interfaces
    assert (nic.mac, nic.pxe_enabled, machine.site_id) == (STRANGER, True, scene.site)
    view = discoveries.one(found)
    assert (view.state, view.machine_id, view.decided_by) == (Verdict.ACCEPTED, machine_id, "ada")
    actions = [row.action for row in Audit.select().order_by(Audit.id)]
    assert actions[-2:] == ["machine.create", "discovery.accept"]
    assert told()[-1] == ("accepted", STRANGER)


@pytest.mark.services
def test_accepting_twice_makes_one_machine(found):
    adopting.accept(make.ADA, found, Adoption(hostname="node-77"))

    with pytest.raises(IllegalTransition, match="machine node-77 already"):
        adopting.accept(make.ADA, found, Adoption(hostname="node-78"))

    assert Machine.select().count() == 2


@pytest.mark.services
def test_of_two_accepts_at_once_one_makes_the_machine(found):
    def accept(name):
        with borrowed():
            return adopting.accept(make.ADA, found, Adoption(hostname=name))

    with ThreadPoolExecutor(2) as callers:
        done = [callers.submit(accept, name) for name in ("node-77", "node-78")]
        failed = [each.exception() for each in done if each.exception()]

    assert [type(each) for each in failed] == [IllegalTransition]
    assert Machine.select().count() == 2


@pytest.mark.services
def test_a_mac_that_meanwhile_became_a_machine_is_accepted_by_that(scene, found):
    machine = make.machine(scene.site, "by-hand", [make.interface(STRANGER)])

    assert discoveries.one(found).machine_id == machine
    with pytest.raises(IllegalTransition, match="machine by-hand already"):
        adopting.accept(make.ADA, found, Adoption(hostname="node-77"))


@pytest.mark.services
def test_a_stranger_that_becomes_a_machine_while_it_is_told_of_is_never_both(scene, teller):
    macs = [f"52:54:00:96:00:{n:02x}" for n in range(20)]

    def tell():
        with borrowed():
            for mac in macs:
                teller.tell(sighting(mac))

    def record():
        with borrowed():
            for n, mac in enumerate(macs):
                make.machine(scene.site, f"m-{n}", [make.interface(mac)])

    with ThreadPoolExecutor(2) as callers:
        assert [callers.submit(each).exception() for each in (tell, record)] == [None, None]

    assert {view.state for view in discoveries.listed()} <= {Verdict.ACCEPTED}


@pytest.mark.services
def test_a_late_sighting_of_an_accepted_machine_is_a_row_of_its_timeline(teller, found):
    machine = adopting.accept(make.ADA, found, Adoption(hostname="node-77"))

    teller.tell(sighting())

    assert (discoveries.one(found).state, discoveries.one(found).times) == (Verdict.ACCEPTED, 1)
    assert Seen.MACHINE_DISCOVERED in [row.kind for row in queries.timeline(machine)]


@pytest.mark.services
@pytest.mark.parametrize(
    ("said", "error", "field"),
    [
        (Adoption(hostname="node-01"), Taken, "/hostname"),
        (Adoption(hostname="-no-"), Invalid, "/hostname"),
    ],
)
def test_an_acceptance_that_cannot_be_leaves_the_discovery_new(found, said, error, field):
    with pytest.raises(error) as caught:
        adopting.accept(make.ADA, found, said)

    assert caught.value.field == field
    assert discoveries.one(found).state is Verdict.NEW


@pytest.mark.services
def test_who_does_not_say_its_architecture_is_asked_for_it(teller):
    teller.tell(sighting(arch=None))

    with pytest.raises(Invalid) as caught:
        adopting.accept(make.ADA, only().id, Adoption(hostname="node-77"))
    assert caught.value.field == "/architecture"

    said = Adoption(hostname="node-77", architecture="arm64")
    assert queries.machine(adopting.accept(make.ADA, only().id, said)).architecture == "arm64"


@pytest.mark.services
def test_who_is_ignored_stays_so_when_it_comes_again_and_may_still_be_accepted(teller, found):
    discoveries.ignore(make.ADA, found, reason="a visitor")
    discoveries.ignore(make.ADA, found)
    teller.tell(sighting())

    assert (only().state, only().times, only().decided_by) == (Verdict.IGNORED, 2, "ada")
    assert Audit.select().where(Audit.action == "discovery.ignore").count() == 1
    assert told()[1:] == [("ignored", STRANGER)]
    adopting.accept(make.ADA, found, Adoption(hostname="node-77"))
    with pytest.raises(IllegalTransition):
        discoveries.ignore(make.ADA, found)


@pytest.mark.services
def test_what_was_forgotten_or_never_was_cannot_be_accepted(found):
    Discovery.delete().execute()

    for gone in (found, uuid4()):
        with pytest.raises(NotFound):
            adopting.accept(make.ADA, gone, Adoption(hostname="node-77"))
        with pytest.raises(NotFound):
            discoveries.ignore(make.ADA, gone)


@pytest.mark.services
def test_events_of_a_discovery_are_published_in_order_under_a_key_of_their_own(found):
    adopting.accept(make.ADA, found, Adoption(hostname="node-77"))
    sent = []

    assert events.publish(sent.extend) == len(sent)

    own = [each for each in sent if each.about == "discovery"]
    assert [each.routing_key for each in own] == [
        "site.ams-1.discovery.found",
        "site.ams-1.discovery.accepted",
    ]
    first = own[0].cloud_event()
    assert first["id"] == f"{found}/1"
    assert first["source"] == f"/sites/ams-1/discoveries/{found}"
    assert (first["type"], first["subject"]) == ("sprout.discovery.found", STRANGER)
    assert [each.seq for each in own] == [1, 2]
    assert own[1].data["machineId"]
