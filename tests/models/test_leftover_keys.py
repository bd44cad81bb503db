"""The key of a rebuild that ends badly once its host was up: kept until it was tried, no longer."""

from uuid import uuid4

import pytest

from models.commands import asks, errands, leftover_keys, moves, outcomes, providing
from models.errands import Errand as Name
from models.observations import Seen
from models.steps import Trait
from models.tables import Errand, Machine, Observation, RunKey, Workflow
from tests.actors.provider_lab import chosen_nothing
from tests.models import make
from tests.models.test_proxmox import Host
from tests.pxe_stack import web

pytestmark = pytest.mark.services


@pytest.fixture
def host(db, tmp_path):
    providing.choose((), "prov.example", hosts={Trait.CLUSTER})
    with web.serving(tmp_path) as site:
        yield Host(site)
    chosen_nothing()


def joining(host):
    """Come so far that the host lets its key in."""
    flow = host.rebuild()
    host.installer.install(host.boot())
    host.relay()
    host.home()
    return flow


def open_errand():
    return Errand.get(Errand.name == Name.RUN_KEY_REMOVE.value)


def told(kind):
    return [row.data for row in Observation.select().where(Observation.kind == kind.value)]


def test_a_cancellation_after_the_first_boot_has_the_key_removed_and_tells_no_secret(host):
    flow = joining(host)
    private = RunKey.get().private_key

    asks.cancel(make.ADA, flow)

    errand = open_errand()
    assert (errand.subject, errand.workflow_id) == (host.plan.run, None)
    assert errand.params["host"]["address"] == host.plan.addressing.address
    assert private not in str(errand.params)
    assert RunKey.select().count() == 1


def test_a_host_that_cannot_be_reached_in_time_is_named_and_the_key_is_gone_from_here(host):
    flow = joining(host)
    asks.cancel(make.ADA, flow)
    Errand.update(deadline_at=moves.now()).where(Errand.finished_at.is_null()).execute()

    [late] = outcomes.overdue()
    outcomes.expire(late, make.render)

    [left] = told(Seen.KEY_LEFT)
    assert left == {"node": "pve1", "reason": "it was not done in time"}
    assert RunKey.select().count() == 0
    detail = Workflow.get_by_id(flow).detail
    assert detail.endswith("; the key of this rebuild may be on pve1 yet: it was not done in time")


def test_a_join_that_may_still_be_under_way_is_let_end_before_the_key_is_removed(host):
    flow = joining(host)
    assert errands.take({Name.CLUSTER_JOIN}) is not None

    asks.cancel(make.ADA, flow)

    assert errands.take({Name.RUN_KEY_REMOVE}) is None
    Errand.update(wake_at=moves.now()).where(Errand.finished_at.is_null()).execute()
    assert errands.take({Name.RUN_KEY_REMOVE}) is not None


def test_a_host_without_a_host_key_that_is_known_is_not_looked_for(host):
    flow = joining(host)
    Machine.update(ssh_host_keys=[]).execute()

    asks.cancel(make.ADA, flow)

    [left] = told(Seen.KEY_LEFT)
    assert "no host key" in left["reason"]
    assert RunKey.select().count() == 0
    assert not Errand.select().where(Errand.name == Name.RUN_KEY_REMOVE.value).exists()


def test_what_is_told_is_of_the_run_whose_key_it_was_and_not_of_a_newer_one(host):
    flow = joining(host)
    old = host.plan.run
    asks.cancel(make.ADA, flow)
    Machine.update(run_id=None).execute()

    held = errands.take({Name.RUN_KEY_REMOVE})
    outcomes.settle(held, outcomes.Ended(done=True), make.render)

    [row] = Observation.select().where(Observation.kind == Seen.KEY_REMOVED.value)
    assert (row.run_id, row.workflow_id) == (old, flow)


def test_of_a_host_that_was_deleted_meanwhile_nothing_is_told(db):
    leftover_keys.ended(uuid4(), outcomes.Ended(done=True))

    assert Observation.select().count() == 0


def test_a_host_that_has_joined_has_no_key_any_more_whatever_ends_badly_after_it(host):
    providing.choose((), "prov.example", hosts={Trait.CLUSTER, Trait.INFRASTRUCTURE})
    flow = joining(host)
    held = errands.take({Name.CLUSTER_JOIN})
    outcomes.settle(held, outcomes.Ended(done=True, result={"cluster": "lab"}), make.render)

    asks.cancel(make.ADA, flow)

    assert Workflow.get_by_id(flow).state == "cancelled"
    assert RunKey.select().count() == 0
    assert not Errand.select().where(Errand.name == Name.RUN_KEY_REMOVE.value).exists()
