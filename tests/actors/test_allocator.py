"""Machines handed out with an external allocator that agrees, refuses, or is away."""

import pytest

from models import queries
from models.commands import allocating, asks, handing_out, holdings
from models.commands.allocating import Wanted
from models.errors import Exhausted, NotReady
from models.kinds import Kind
from models.lifecycle import State
from models.tables import Audit, Errand, Holding, Machine
from models.why import why
from tests.actors.provider_lab import Provided, all_at, chosen_nothing, means
from tests.models import make
from tests.services.provider import answer, done_without_a_word, hang_up

pytestmark = pytest.mark.services


@pytest.fixture
def scene(db, peer):
    yield Provided(all_at(peer.url), ("allocation",))
    chosen_nothing()


def fleet(scene, count):
    ids = []
    for number in range(count):
        nic = make.interface(f"52:54:00:00:07:{number:02x}")
        ids.append(make.machine(scene.site, f"free-{number:02}", [nic], labels={"rack": "4"}))
    Machine.update(state="available", commissioned_at=Machine.created_at).where(
        Machine.id.in_(ids)
    ).execute()
    return ids


def handed_out(scene, count):
    wanted = Wanted(site_id=scene.site, count=count, labels={"rack": "4"})
    return allocating.allocate(make.ADMIN, wanted)


def states(ids):
    return [queries.machine(each).state for each in ids]


def said(machine):
    view = queries.machine(machine)
    words = handing_out.words(machine, view.state)
    return why(view, (), (), view.updated_at, allocator=words)


def test_the_allocator_is_told_of_each_machine_and_then_they_may_be_used(scene, peer):
    ids = fleet(scene, 2)

    assert handed_out(scene, 2) == ids
    assert states(ids) == [State.ALLOCATED] * 2
    assert said(ids[0]).waiting
    assert peer.seen == []  # no request of the API waits for it
    scene.run_errands()

    assert [each.body for each in peer.seen] == [
        {"machine": str(each), "labels": {"rack": "4"}} for each in ids
    ]
    assert {each.request_id for each in peer.seen} == {"r-1"}
    assert len({each.key for each in peer.seen}) == 2
    assert not said(ids[0]).waiting
    assert {row.state for row in Holding.select()} == {"held"}


def test_nothing_is_installed_before_the_allocator_has_agreed(scene):
    (machine,) = fleet(scene, 1)
    handed_out(scene, 1)

    def install():
        asks.provision(make.ADMIN, machine, image_ref=scene.image, profile_ref=scene.profile)

    with pytest.raises(NotReady, match="has not agreed yet"):
        install()
    scene.run_errands()
    install()


def test_one_refusal_gives_all_machines_back_and_says_why(scene, peer):
    ids = fleet(scene, 3)
    peer.machines[str(ids[1])] = "somebody else's"

    handed_out(scene, 3)
    scene.run_errands()

    assert states(ids) == [State.AVAILABLE] * 3
    assert peer.machines == {str(ids[1]): "somebody else's"}
    assert peer.asked() == ["POST /allocate", "POST /allocate", "POST /release"]
    assert "that machine is allocated" in said(ids[2]).sentence
    rows = Audit.select().where(Audit.action == "machine.deallocate")
    assert {(row.actor, row.request_id) for row in rows} == {("engine", "r-1")}
    assert all("did not agree" in row.reason for row in rows)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (answer(403, b'{"detail": "quota\\u0000spent"}'), "quota spent"),
        (answer(401), "does not accept the token"),
        (answer(404), "is at another URL"),
        (answer(307, Location="http://169.254.169.254/x"), "another host"),
    ],
    ids=["quota", "token", "elsewhere", "metadata"],
)
def test_whatever_refuses_gives_the_machine_back_in_its_words(scene, peer, fault, words):
    (machine,) = fleet(scene, 1)
    peer.faults.append(fault)

    handed_out(scene, 1)
    scene.run_errands()

    assert states([machine]) == [State.AVAILABLE]
    assert words in said(machine).sentence
    assert handed_out(scene, 1) == [machine]


@pytest.mark.parametrize(
    "fault",
    [hang_up, done_without_a_word, answer(503), answer(200, b"<html>"), answer(200, b"[" * 99_999)],
    ids=["away", "done without a word", "503", "no JSON", "deep"],
)
def test_an_outage_is_told_and_the_same_is_asked_again_under_the_same_keys(scene, peer, fault):
    ids = fleet(scene, 2)
    peer.faults.append(fault)
    handed_out(scene, 2)

    (first,) = scene.run_errands()

    assert (first.done, first.retryable) == (False, True)
    assert "tried 1 times" in said(ids[0]).sentence
    assert states(ids) == [State.ALLOCATED] * 2
    scene.rested()
    scene.run_errands()
    assert set(peer.machines) == set(map(str, ids))
    assert len({each.key for each in peer.seen}) == 2
    assert {row.state for row in Holding.select()} == {"held"}


def test_a_machine_that_is_given_back_is_told_and_is_free_when_the_allocator_has_heard(scene, peer):
    (machine,) = fleet(scene, 1)
    handed_out(scene, 1)
    scene.run_errands()
    asks.moved(make.ADMIN, machine, Kind.DEALLOCATE)
    peer.faults += [answer(503), answer(401)]

    for _ in range(2):
        holdings.sweep()
        scene.run_errands()
        scene.rested()
        with pytest.raises(Exhausted):
            handed_out(scene, 1)
    scene.run_errands()

    assert peer.machines == {}
    assert handed_out(scene, 1) == [machine]


def test_what_the_allocator_has_forgotten_is_given_back_all_the_same(scene, peer):
    (machine,) = fleet(scene, 1)
    handed_out(scene, 1)
    scene.run_errands()
    peer.machines.clear()
    asks.moved(make.ADMIN, machine, Kind.DEALLOCATE)
    holdings.sweep()

    scene.run_errands()

    assert [row.state for row in Holding.select()] == ["gone"]


def test_what_was_given_without_a_word_until_time_was_over_is_released(scene, peer):
    ids = fleet(scene, 2)
    peer.machines[str(ids[1])] = "somebody else's"
    peer.faults.append(done_without_a_word)
    handed_out(scene, 2)
    Errand.update(tries=1).execute()

    scene.run_errands()

    assert states(ids) == [State.AVAILABLE] * 2
    assert peer.machines == {str(ids[1]): "somebody else's"}
    assert {row.state for row in Holding.select()} == {"gone"}


def test_a_machine_given_back_while_the_allocator_is_asked_is_released_in_the_end(scene, peer):
    (machine,) = fleet(scene, 1)
    handed_out(scene, 1)
    asks.moved(make.ADMIN, machine, Kind.DEALLOCATE)

    with pytest.raises(Exhausted):
        handed_out(scene, 1)
    scene.run_errands()
    holdings.sweep()
    scene.run_errands()

    assert peer.asked() == ["POST /allocate", "POST /release"]
    assert (peer.machines, states([machine])) == ({}, [State.AVAILABLE])


def test_a_control_process_without_the_allocator_gives_machines_back_and_names_the_variable(db):
    scene = Provided(means(), ("allocation",))
    (machine,) = fleet(scene, 1)

    handed_out(scene, 1)
    scene.run_errands(most=1)
    chosen_nothing()

    assert states([machine]) == [State.AVAILABLE]
    (row,) = Holding.select()
    assert "SPROUT_ALLOCATION_PROVIDER" in row.detail


def test_builtin_asks_nobody(db):
    chosen_nothing()
    scene = make.Scene()
    fleet(scene, 1)

    handed_out(scene, 1)

    assert (Errand.select().count(), Holding.select().count()) == (0, 0)
