"""Provision and release at external providers: those that keep to the contract, and others."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.control import errands as runner
from actors.control import provisions
from actors.drivers import contract, reach
from actors.drivers.deadline import Deadline
from actors.drivers.errors import LeaseLost
from models import database as pool
from models import queries
from models.commands import addresses, approvals, asks, errands, holdings, outcomes, walks
from models.errands import Ended
from models.errors import NotReady, Taken
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.observations import Seen
from models.tables import Allocation, Errand, Holding, Machine, Observation, Workflow
from tests.actors.lane import until
from tests.actors.provider_lab import DOMAIN, Provided, all_at, chosen_nothing, external, means
from tests.models import make
from tests.services.provider import TOKEN, answer, done_without_a_word, hang_up

pytestmark = pytest.mark.services

NAME = f"node-01.{DOMAIN}"
GIVEN = "10.77.0.99"


@pytest.fixture
def scene(db, peer):
    yield Provided(all_at(peer.url))
    chosen_nothing()


def step(flow):
    return queries.workflow(flow).step.name


def detail(flow):
    return queries.workflow(flow).detail


def active(scene):
    flow = scene.provision()
    scene.run_errands()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)
    return flow


def approved(scene, action):
    new = approvals.NewApproval(machine_id=scene.machine, action=action, decision="approved")
    return approvals.create_approval(make.ADMIN, new)


def released(scene):
    approval = approved(scene, "release")
    flow = asks.release(make.ADMIN, scene.machine, wipe="none", approval_id=approval)
    walks.advance(flow, make.render)
    scene.agent.finish(flow, {"power": "off"})
    scene.agent.finish(flow)
    scene.run_errands()
    return flow


def switched_off(scene, flow):
    """Have what failed switched off, as nobody knows whether it still writes its disk."""
    [after] = Workflow.select().where(Workflow.parent_id == flow)
    walks.advance(after.id, make.render)
    scene.agent.finish(after.id, {"power": "off"})
    scene.agent.finish(after.id)


def freed(scene):
    """Let the agent hold nothing more, so that the address can be given back."""
    scene.agent.beat(digest="")
    Allocation.update(state="released", released_at=Allocation.created_at).execute()
    holdings.sweep()
    return scene.run_errands()


def test_provisioning_asks_for_address_reservation_and_name_before_the_boot_intent(scene, peer):
    flow = scene.provision()
    assert step(flow) == "address-given"

    scene.run_errands()

    assert peer.asked() == [
        "POST /allocations",
        f"PUT /reservations/{make.MAC}",
        f"PUT /records/{NAME}",
    ]
    assert step(flow) == "plan-served"
    assert peer.reservations[make.MAC] == {
        "address": GIVEN,
        "hostname": NAME,
        "network": "10.77.0.0/24",
    }
    assert peer.records[NAME]["address"] == GIVEN
    (row,) = Allocation.select()
    assert (row.address, row.external_id, row.provider.split(" at ")[0]) == (
        GIVEN,
        "a-0",
        "contract",
    )
    assert {h.capability: (h.state, bool(h.provider)) for h in Holding.select()} == {
        "ipam": ("held", True),
        "dhcp": ("held", True),
        "dns": ("held", True),
    }


def test_every_exchange_names_the_request_that_it_is_for_and_a_key_of_its_own(scene, peer):
    scene.provision()
    scene.run_errands()

    assert {each.request_id for each in peer.seen} == {"r-1"}
    assert len({each.key for each in peer.seen}) == 3


def test_release_removes_name_and_reservation_and_gives_the_address_back_when_it_is_free(
    scene, peer
):
    active(scene)
    flow = released(scene)

    assert (peer.records, peer.reservations) == ({}, {})
    assert len(peer.allocations) == 1  # an agent may still serve it
    assert queries.workflow(flow).progress is Progress.SUCCEEDED
    assert scene.view.state is State.AVAILABLE
    freed(scene)
    assert peer.allocations == {}
    assert {row.state for row in Holding.select()} == {"gone"}
    assert peer.asked("DELETE") == [
        f"DELETE /records/{NAME}",
        f"DELETE /reservations/{make.MAC}",
        "DELETE /allocations/a-0",
    ]


def test_a_machine_that_is_wiped_keeps_what_it_boots_by_until_its_disks_are_wiped(scene, peer):
    active(scene)
    approval = approved(scene, "release")
    flow = asks.release(make.ADMIN, scene.machine, approval_id=approval)
    walks.advance(flow, make.render)

    scene.run_errands()

    assert step(flow) == "plan-served"
    assert (list(peer.reservations), list(peer.records)) == ([make.MAC], [NAME])


def test_reprovisioning_keeps_the_address_and_says_the_rest_again(scene, peer):
    active(scene)
    peer.seen.clear()

    approval = approved(scene, "reprovision")
    flow = asks.reprovision(make.ADMIN, scene.machine, approval_id=approval)
    walks.advance(flow, make.render)
    scene.run_errands()

    assert peer.asked() == [f"PUT /reservations/{make.MAC}", f"PUT /records/{NAME}"]
    assert step(flow) == "plan-served"


def test_what_was_done_without_an_answer_is_asked_for_under_the_same_key_and_done_once(scene, peer):
    peer.faults.append(done_without_a_word)
    flow = scene.provision()

    (first,) = scene.run_errands()
    assert (first.done, first.retryable) == (False, True)
    make.due_now(flow)
    scene.run_errands()

    allocating = [each.key for each in peer.seen if each.path == "/allocations"]
    assert (len(allocating), len(set(allocating)), len(peer.allocations)) == (2, 1, 1)
    assert step(flow) == "plan-served"


def test_a_name_that_is_somebody_elses_fails_before_power_and_what_was_held_is_undone(scene, peer):
    peer.records[NAME] = {"foreign": True}
    flow = scene.provision()

    scene.run_errands()

    assert scene.view.state is State.FAILED
    assert "somebody else's" in detail(flow)
    assert not [row for row in Observation.select() if row.kind == Seen.TASK_STARTED.value]
    assert peer.reservations == {}
    freed(scene)
    assert peer.allocations == {}
    assert peer.asked("DELETE") == [f"DELETE /reservations/{make.MAC}", "DELETE /allocations/a-0"]


def test_an_address_whose_id_was_never_heard_is_given_back_all_the_same(scene, peer):
    peer.faults += [done_without_a_word] + [hang_up] * 3
    flow = scene.provision()
    for _ in range(3):
        scene.run_errands()
        make.due_now(flow)
    scene.run_errands(most=1)
    assert scene.view.state is State.FAILED
    assert len(peer.allocations) == 1

    scene.run_errands()

    assert peer.allocations == {}
    assert [row.state for row in Holding.select()] == ["gone"]


def test_a_failure_after_power_keeps_what_the_machine_may_use_until_it_is_released(scene, peer):
    flow = scene.provision()
    scene.run_errands()
    scene.powered(flow)
    scene.boots(Seen.INSTALL_FAILED)

    scene.run_errands()

    assert scene.view.state is State.FAILED
    assert (len(peer.records), len(peer.reservations), len(peer.allocations)) == (1, 1, 1)


def test_undoing_goes_on_until_the_provider_is_back(scene, peer):
    flow = scene.provision()
    scene.run_errands()
    scene.powered(flow)
    scene.boots(Seen.INSTALL_FAILED)
    switched_off(scene, flow)
    approval = approved(scene, "retire")
    asks.moved(make.ADMIN, scene.machine, Kind.RETIRE, approval_id=approval)
    peer.faults += [answer(503), answer(401), hang_up]

    for _ in range(4):
        scene.run_errands()
        scene.rested()

    assert (peer.records, peer.reservations) == ({}, {})
    states = {row.capability: row.state for row in Holding.select()}
    assert (states["dns"], states["dhcp"]) == ("gone", "gone")


def test_a_reprovisioning_that_fails_before_power_undoes_nothing_that_stood_before(scene, peer):
    active(scene)
    approval = approved(scene, "reprovision")
    flow = asks.reprovision(make.ADMIN, scene.machine, approval_id=approval)
    walks.advance(flow, make.render)
    peer.records[NAME] = {"foreign": True}

    scene.run_errands()

    assert "somebody else's" in detail(flow)
    assert (len(peer.reservations), len(peer.allocations), list(peer.records)) == (1, 1, [NAME])


def test_a_second_cancel_leaves_a_running_host_what_it_is_known_by(scene, peer):
    active(scene)
    approval = approved(scene, "reprovision")
    again = asks.reprovision(make.ADMIN, scene.machine, approval_id=approval)
    walks.advance(again, make.render)
    asks.cancel(make.ADMIN, again)
    asks.cancel(make.ADMIN, scene.provision())

    scene.rested()
    scene.run_errands()

    assert (list(peer.records), list(peer.reservations)) == ([NAME], [make.MAC])
    assert not Holding.select().where(Holding.state.in_(["leaving", "gone"])).exists()


def test_what_is_asked_for_again_while_it_is_undone_is_undone_with_who_asked(scene, peer):
    flow = scene.provision()
    scene.run_errands()
    for _ in range(2):
        asks.cancel(make.ADMIN, flow)
        flow = scene.provision()
    asks.cancel(make.ADMIN, flow)

    scene.rested()
    scene.run_errands()

    assert (peer.records, peer.reservations) == ({}, {})


def commissioned(scene):
    flow = asks.commission(make.ADA, scene.machine)
    walks.advance(flow, make.render)
    scene.agent.finish(flow, {"memory_mib": 1024, "disks": [make.DISK]})
    scene.run_errands()
    return flow


def test_hardware_is_tested_by_the_provider_and_what_it_found_is_kept(db, peer):
    scene = Provided(all_at(peer.url), ("hardware_testing",))
    peer.results = [{"name": "burn-in", "outcome": "pass", "subject": "CPU 0", "detail": "8 h"}]

    commissioned(scene)
    chosen_nothing()

    assert scene.view.state is State.AVAILABLE
    (row,) = scene.view.facts["tests"]
    assert (row["name"], row["provider"].split(" at ")[0]) == ("burn-in", "contract")
    assert peer.asked() == ["POST /runs"]


def test_hardware_that_fails_its_test_fails_the_machine_with_the_evidence(db, peer):
    scene = Provided(all_at(peer.url), ("hardware_testing",))
    peer.results = [{"name": "disk", "outcome": "fail", "subject": "S1", "detail": "bad blocks"}]

    flow = commissioned(scene)
    chosen_nothing()

    assert scene.view.state is State.FAILED
    assert "bad blocks" in detail(flow)


def test_tests_that_make_no_sense_are_tried_again_and_never_taken_for_passed(db, peer):
    scene = Provided(all_at(peer.url), ("hardware_testing",))
    peer.results = [{"name": "", "outcome": "splendid"}]

    flow = commissioned(scene)
    chosen_nothing()

    assert step(flow) == "tested"
    assert "without a name or an outcome" in detail(flow)


HUGE = b'{"id": "' + b"x" * (2 << 20) + b'"}'
HOSTILE = {
    "huge": (answer(200, HUGE), "an answer of over"),
    "no JSON": (answer(200, b"<html>"), "no JSON"),
    "deep": (answer(200, b"[" * 100_000), "no JSON"),
    "a list": (answer(200, b"[]"), "no JSON object"),
    "no id": (answer(200, b'{"address": "10.77.0.12"}'), "without 'id'"),
    "a NUL": (answer(200, b'{"id": "a\\u0000", "address": "10.77.0.12"}'), "without 'id'"),
    "numbers": (answer(200, b'{"id": 7, "address": 8}'), "without 'id'"),
    "metadata": (answer(307, Location="http://169.254.169.254/x"), "another host"),
    "another port": (answer(307, Location="http://127.0.0.1:1/x"), "another service"),
    "a script": (answer(307, Location="file:///etc/passwd"), "not file"),
    "unauthorised": (answer(401), "does not accept the token"),
    "elsewhere": (answer(404), "is at another URL"),
    "full": (answer(409, b'{"detail": "the network\\u0000is full"}'), "the network is full"),
    "away": (answer(503), "answers 503"),
    "gone": (hang_up, "cannot be asked"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_refused_or_tried_again_and_no_hardware_is_touched(scene, peer, name):
    fault, words = HOSTILE[name]
    peer.faults += [fault] * 4
    flow = scene.provision()

    (ended,) = scene.run_errands(most=1)

    assert words in ended.reason
    assert TOKEN not in ended.reason
    assert not Allocation.select().exists()
    assert step(flow) == "address-given"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.78.0.5", "is no host address of 10.77.0.0/24"),
        ("10.77.0.255", "is no host address of 10.77.0.0/24"),
        ("169.254.169.254", "is no host address"),
        ("not an address", "is not an IPv4 address"),
        ("::1", "is not an IPv4 address"),
        ("10.77.0.50", "which another machine has"),
    ],
)
def test_an_address_that_cannot_be_the_machines_fails_it_and_is_left_where_it_is(
    scene, peer, address, words
):
    other = make.machine(scene.site, "other", interfaces=[make.interface("52:54:00:00:00:02")])
    taken(scene, other, "10.77.0.50")
    peer.faults.append(answer(201, json.dumps({"id": "a-9", "address": address}).encode()))
    flow = scene.provision()

    scene.run_errands()

    assert scene.view.state is State.FAILED
    assert words in detail(flow)
    assert peer.asked() == ["POST /allocations"]
    assert [row.state for row in Holding.select()] == ["left"]


def taken(scene, machine, address):
    row = queries.machine(machine)
    Allocation.create(
        network_id=scene.network,
        machine_id=machine,
        interface_id=row.interfaces[0].id,
        address=address,
        mac=row.interfaces[0].mac,
        state="active",
        provider="builtin",
    )


def test_without_its_secret_nothing_is_sent_and_the_words_name_the_variable(db, peer):
    scene = Provided(means(external("ipam", peer.url, token="env:MISSING")), ("ipam",))
    flow = scene.provision()

    scene.run_errands()
    chosen_nothing()

    assert peer.seen == []
    assert "SPROUT_IPAM_EXTERNAL_TOKEN: env:MISSING" in detail(flow)


def test_a_control_process_without_the_provider_says_which_variable_is_not_set(db):
    scene = Provided(means(), ("dns",))
    flow = scene.provision()

    scene.run_errands()
    chosen_nothing()

    assert "SPROUT_DNS_PROVIDER" in detail(flow)


def test_builtin_asks_nobody(db, peer):
    chosen_nothing()
    scene = make.Scene()

    flow = scene.provision()

    assert step(flow) == "plan-served"
    assert (Errand.select().count(), Holding.select().count()) == (0, 0)


def test_the_purpose_of_providers_never_reaches_a_metadata_service():
    with pytest.raises(reach.NotAllowed, match="metadata"):
        reach.provider().judge(reach.IPv4Address("169.254.169.254"))


def test_free_addresses_of_before_are_still_freed(db):
    assert addresses.free_addresses() == 0


def second(scene, site=None, hostname="node-01", mac="52:54:00:00:00:77"):
    """Another machine, with the first one's network and agent unless it is at another *site*."""
    return make.machine(site or scene.site, hostname, [make.interface(mac)])


@pytest.mark.parametrize(
    ("capability", "name"), [("dns", NAME), ("dhcp", make.MAC)], ids=["a name", "a MAC"]
)
def test_what_a_provider_holds_for_one_machine_is_not_asked_for_another(
    scene, peer, capability, name
):
    active(scene)
    other = Machine.get_by_id(second(scene, make.site("fra-1")))
    flow = Workflow.get()

    with pytest.raises(Taken, match=f"provider holds {name} for"), pool.database.atomic():
        holdings.wanted(capability, other, flow, "k", name=name, params={})

    Holding.update(state="gone", gone_at=Holding.created_at).execute()
    with pool.database.atomic():
        assert holdings.wanted(capability, other, flow, "k", name=name, params={}).state == "asked"


def test_what_is_undone_of_a_machine_in_one_errand_bears_a_key_for_each_request(scene, peer):
    active(scene)
    old = Holding.get(Holding.capability == "dhcp")
    told = {**old.params, "mac": "52:54:00:00:00:66"}
    holdings.kept(
        holdings.wanted(
            "dhcp",
            Machine.get_by_id(scene.machine),
            Workflow.get(),
            "k",
            name=told["mac"],
            params=told,
        ),
        {},
    )

    flow = released(scene)

    assert queries.workflow(flow).progress is Progress.SUCCEEDED
    dropped = [each.key for each in peer.seen if each.method == "DELETE"]
    assert len(dropped) == len(set(dropped)) == 3


def test_what_is_cancelled_while_it_is_asked_for_is_undone_when_nobody_can_be_at_it(scene, peer):
    flow = scene.provision()
    for _ in range(2):
        scene.run_errands(most=1)
    held = errands.take(runner.DOERS)  # the name, which comes late

    asks.cancel(make.ADA, flow)
    scene.run_errands()
    assert peer.reservations == {}
    assert Holding.get(Holding.capability == "dns").state == "leaving"
    scene._done(held)
    assert list(peer.records) == [NAME]

    scene.rested()
    scene.run_errands()
    assert peer.records == {}
    assert Holding.get(Holding.capability == "dns").state == "gone"


def test_an_errand_that_is_anothers_by_now_sends_nothing_more(scene, peer):
    scene.provision()
    held = errands.take(runner.DOERS)
    job = runner.Job(held, Deadline.after(60), math.inf)
    job.lost.set()

    with pytest.raises(LeaseLost):
        contract.allocate(
            provisions.peer(scene.means.externals["ipam"], scene.means.resolvers),
            provisions.asked(job),
            held.params,
        )
    assert peer.seen == []


def _undoing(scene):
    """A machine whose name is being given back; returns what asks for it anew."""
    active(scene)
    released(scene)
    held = Holding.get(Holding.capability == "dns")
    Holding.update(state="leaving", gone_at=None).where(Holding.id == held.id).execute()
    errands.ask(
        holdings.REMOVES["dns"], held.id, f"{held.id}/again", params={"items": []}, deadline_s=60
    )

    def again():
        with pool.borrowed(), pool.database.atomic():
            return holdings.wanted(
                "dns",
                Machine.get_by_id(scene.machine),
                Workflow.get(),
                "k",
                name=held.name,
                params={},
            ).state

    return held, again


def waited_for():
    """Whether another transaction waits for this one to end."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND transactionid = %s::xid"
    own = pool.database.execute_sql("SELECT pg_current_xact_id()::xid::text").fetchone()[0]
    return pool.database.execute_sql(waiting, (own,)).fetchone() is not None


def test_a_name_is_not_asked_for_anew_by_who_read_just_before_its_undoing_was_taken(scene):
    held, again = _undoing(scene)

    with ThreadPoolExecutor(1) as thread:
        with pool.database.atomic():
            taken = errands.take(runner.DOERS)
            asked = thread.submit(again)
            until(lambda: waited_for() or asked.done(), seconds=30.0)
        with pytest.raises(NotReady, match="is being undone"):
            asked.result(30.0)

    assert taken.subject == held.id
    assert Errand.get_by_id(taken.id).state == "running"
    assert Holding.get_by_id(held.id).state == "leaving"


def test_an_undoing_that_ends_as_the_name_is_asked_for_anew_leaves_the_new_one_alone(scene):
    held, again = _undoing(scene)
    taken = errands.take(runner.DOERS)

    with ThreadPoolExecutor(1) as thread:
        with pool.database.atomic():
            outcomes.settle(taken, Ended(done=True), make.render)
            asked = thread.submit(again)
            until(lambda: waited_for() or asked.done(), seconds=30.0)
        assert asked.result(30.0) == "asked"

    rows = Holding.select().where(Holding.name == held.name).order_by(Holding.created_at)
    assert [row.state for row in rows] == ["gone", "asked"]


def test_an_undoing_that_waits_is_dropped_when_the_name_is_asked_for_anew(scene):
    held, again = _undoing(scene)

    assert again() == "asked"

    assert errands.take(runner.DOERS) is None
    assert Holding.get_by_id(held.id).state == "asked"
