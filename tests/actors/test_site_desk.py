import os
from dataclasses import replace
from ipaddress import IPv4Address
from uuid import uuid4

import pytest

from actors.site.artifacts import Artifacts
from actors.site.desk import Desk, Snapshot
from actors.site.store import AgentStore
from models.bootplan import Action
from pxe_stack import moment
from pxe_stack.store import Range
from tests.actors.site_lab import Folder, a_plan, an_artifact

SERVED, REFUSED, OUTDATED = "plan-served", "plan-refused", "plan-outdated"


class Lab:
    """A desk over real stores; `restart` is another life of the agent on the same files."""

    def __init__(self, path):
        self.root = path / "artifacts"
        self.root.mkdir()
        self.site = Folder(path / "site")
        self.restart()

    def restart(self):
        self.store = AgentStore(self.site.path)
        shelf = Artifacts(self.root, self.store, self.site.plans)
        self.desk = Desk(
            self.store, self.site.plans, self.site.journal, shelf, frozenset({"dhcp", "http"})
        )

    def serving(self, *services):
        for service in services:
            self.site.journal.mark_ready(service, os.getpid())

    def receive(self, *plans, whole=None, links=None, at=0.0):
        self.desk.receive(plans, whole=whole, links=links, at=at)
        return self.desk.settle_all()


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.store.close()
    made.site.close()


def test_a_plan_is_acknowledged_with_version_and_digest(lab):
    lab.serving("dhcp", "http")
    plan = a_plan(lab.store.agent, an_artifact(lab.root, "disk", b"content"))

    lab.receive(plan)

    assert lab.site.seen() == [(SERVED, {"version": 1, "digest": plan.digest})]
    assert lab.site.plans.by_mac(plan.mac).plan == plan


def test_a_plan_is_stored_at_once_and_acknowledged_when_all_serve(lab):
    lab.serving("dhcp")
    plan = a_plan(lab.store.agent)

    assert lab.receive(plan) is True
    assert (lab.site.kinds(), lab.site.plans.by_mac(plan.mac).plan) == ([], plan)

    lab.serving("http")
    assert lab.desk.settle_all() is False
    assert lab.site.kinds() == [SERVED]


def test_a_plan_that_waited_is_acknowledged_after_a_restart(lab):
    lab.receive(a_plan(lab.store.agent))
    lab.restart()
    lab.serving("dhcp", "http")

    lab.desk.settle_all()

    assert lab.site.kinds() == [SERVED]


def test_the_time_of_a_plan_runs_from_when_it_came_not_from_when_it_was_settled(lab):
    plan = a_plan(lab.store.agent)
    before = moment.now()
    lab.desk.receive([plan])
    came = moment.now()

    lab.restart()
    lab.desk.settle_all()

    held = lab.site.plans.by_machine(plan.machine)
    assert before.running <= held.since.running <= came.running


def test_a_plan_whose_artifact_is_missing_is_refused_and_not_served(lab):
    lab.serving("dhcp", "http")
    file = an_artifact(lab.root, "disk", b"content")
    (lab.root / "disk").unlink()
    plan = a_plan(lab.store.agent, file)

    lab.receive(plan)

    [(kind, data)] = lab.site.seen()
    assert (kind, data["version"]) == (REFUSED, 1)
    assert "disk" in data["reason"]
    assert lab.site.plans.by_mac(plan.mac) is None


def test_a_plan_with_a_wrong_checksum_is_refused(lab):
    lab.serving("dhcp", "http")
    file = replace(an_artifact(lab.root, "disk", b"content"), sha256="0" * 64)

    lab.receive(a_plan(lab.store.agent, file))

    assert lab.site.kinds() == [REFUSED]


def test_anothers_plan_is_stored_without_its_artifacts_and_unsaid(lab):
    lab.serving("dhcp", "http")
    plan = a_plan(uuid4(), replace(an_artifact(lab.root, "disk", b"content"), path="elsewhere"))

    lab.receive(plan)

    assert lab.site.kinds() == []
    assert lab.site.plans.by_mac(plan.mac).plan == plan


def test_a_lower_version_is_dropped_and_told_of(lab):
    lab.serving("dhcp", "http")
    plan = a_plan(lab.store.agent, version=5)
    lab.receive(plan)

    lab.receive(replace(plan, version=4, hostname="old"))

    assert lab.site.kinds() == [SERVED, OUTDATED]
    assert lab.site.plans.by_mac(plan.mac).plan.hostname == "node1"


def test_the_same_version_again_is_acknowledged_again(lab):
    lab.serving("dhcp", "http")
    plan = a_plan(lab.store.agent)

    lab.receive(plan)
    lab.receive(plan)

    assert lab.site.kinds() == [SERVED, SERVED]


def test_a_withdrawal_is_a_version_and_is_acknowledged(lab):
    lab.serving("dhcp", "http")
    plan = a_plan(lab.store.agent)
    lab.receive(plan)

    lab.receive(replace(plan, version=2, action=Action.LOCAL))

    assert [data["version"] for _, data in lab.site.seen()] == [1, 2]
    assert lab.site.plans.by_mac(plan.mac).plan.action is Action.LOCAL


def test_a_snapshot_ends_the_plans_that_it_does_not_hold(lab):
    lab.serving("dhcp", "http")
    gone, kept = a_plan(uuid4()), a_plan(uuid4(), mac="52:54:00:aa:bb:02")
    lab.receive(gone, kept)

    lab.receive(kept, whole=Snapshot("s", 0, 1))

    assert lab.site.plans.all() == (kept,)


def test_plans_end_only_when_every_part_of_a_snapshot_has_come(lab):
    lab.serving("dhcp", "http")
    gone, one = a_plan(uuid4()), a_plan(uuid4(), mac="52:54:00:aa:bb:02")
    two = a_plan(uuid4(), mac="52:54:00:aa:bb:03")
    lab.receive(gone)

    lab.receive(two, whole=Snapshot("s", 1, 2))
    held = {plan.machine for plan in lab.site.plans.all()}
    lab.receive(one, whole=Snapshot("s", 0, 2))

    assert held == {gone.machine, two.machine}
    assert {plan.machine for plan in lab.site.plans.all()} == {one.machine, two.machine}


def test_two_snapshots_whose_parts_come_in_turn_are_both_whole(lab):
    lab.serving("dhcp", "http")
    gone, kept = a_plan(uuid4()), a_plan(uuid4(), mac="52:54:00:aa:bb:02")
    for whole in (Snapshot("s", 0, 2), Snapshot("t", 0, 2), Snapshot("s", 1, 2)):
        lab.receive(gone, kept, whole=whole)

    lab.receive(kept, whole=Snapshot("t", 1, 2))
    assert {plan.machine for plan in lab.site.plans.all()} == {gone.machine, kept.machine}
    lab.receive(kept, whole=Snapshot("u", 0, 1))

    assert lab.site.plans.all() == (kept,)


@pytest.mark.parametrize("made", [10.0, 20.0], ids=["before", "in-the-same-millisecond"])
def test_a_snapshot_that_was_overtaken_by_a_plan_does_not_end_it(lab, made):
    lab.serving("dhcp", "http")
    plan = a_plan(uuid4())
    lab.receive(plan, at=20.0)

    lab.receive(whole=Snapshot("made before", 0, 1, at=made), at=made)
    kept = lab.site.plans.all()
    lab.receive(whole=Snapshot("made after", 0, 1, at=30.0), at=30.0)

    assert (kept, lab.site.plans.all()) == ((plan,), ())


def test_a_plan_that_an_older_snapshot_lacks_comes_back_with_the_next(lab):
    lab.serving("dhcp", "http")
    plan = a_plan(lab.store.agent)
    lab.receive(plan)
    lab.receive(whole=Snapshot("older", 0, 1))
    assert lab.site.plans.all() == ()

    lab.receive(plan, whole=Snapshot("newer", 0, 1))

    assert lab.site.plans.all() == (plan,)


def test_a_snapshot_brings_the_ranges_that_this_agent_leases_from(lab):
    old, new = (Range(uuid4(), IPv4Address("10.0.0.1"), IPv4Address("10.0.0.9")) for _ in range(2))

    lab.receive(whole=Snapshot("s", 0, 1, (old,)))
    lab.receive(whole=Snapshot("t", 0, 1, (new,)))

    assert lab.site.plans.ranges() == (new,)


def test_a_plan_without_authority_is_told_of_once(lab):
    lab.serving("dhcp", "http")
    plan = replace(a_plan(lab.store.agent), action=Action.LOCAL, owner=None, run=None)

    lab.receive(plan)
    lab.receive(plan)

    assert lab.site.seen() == [("plan-withdrawn", {"version": 1})]


def test_of_two_versions_that_wait_the_higher_is_settled(lab):
    plan = a_plan(lab.store.agent)
    lab.desk.receive([replace(plan, version=3)])
    lab.desk.receive([replace(plan, version=2)])
    lab.serving("dhcp", "http")

    lab.desk.settle_all()

    assert [data["version"] for _, data in lab.site.seen()] == [3]


def test_a_plan_of_the_same_version_and_other_content_is_told_of_and_not_acknowledged(lab):
    lab.serving("dhcp", "http")
    served = a_plan(lab.store.agent, version=3)
    other = replace(served, run=uuid4())

    lab.receive(served)
    lab.receive(other)

    assert lab.site.seen() == [
        (SERVED, {"version": 3, "digest": served.digest}),
        (OUTDATED, {"version": 3, "held": 3, "held_digest": served.digest}),
    ]
    assert lab.site.plans.by_machine(served.machine).plan == served


def test_a_plan_below_one_that_a_snapshot_ended_is_told_of(lab):
    plan = a_plan(lab.store.agent, version=9)
    lab.serving("dhcp", "http")
    lab.receive(plan)
    lab.receive(whole=Snapshot("s", 0, 1))

    lab.receive(replace(plan, version=2, run=uuid4()))

    assert lab.site.seen()[-1] == (OUTDATED, {"version": 2, "held": 9, "held_digest": ""})
