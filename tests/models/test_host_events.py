"""What is told of hosts as it happens: state, operation and activity, of each row of a timeline."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from models.host_events import LAST, Doing, Word, number, row_before, told
from models.kinds import Kind
from models.lifecycle import State
from models.observations import Seen
from models.steps import Trait

HOST, SITE, FLOW = UUID(int=1), UUID(int=2), UUID(int=3)
TRAITS = {"traits": sorted([Trait.PROXMOX, Trait.CLUSTER, Trait.INFRASTRUCTURE])}


def row(kind, data=None, **more):
    made = Doing(
        id=7,
        host_id=HOST,
        hostname="pve-01",
        site="home",
        site_id=SITE,
        operation_id=FLOW,
        verb=Kind.PROVISION,
        params=TRAITS,
        source="control",
        kind=kind,
        at=datetime(2025, 6, 1, 12, tzinfo=UTC),
        applied=True,
        own=True,
        data=data or {},
    )
    return replace(made, **more)


def said(doing):
    return {each.word: each.data for each in told(doing)}


def moved(before, after):
    return row(Seen.STATE_MOVED, {"event": "x", "from": before, "to": after})


@pytest.mark.parametrize(
    ("doing", "state"),
    [
        (moved("registered", "provisioning"), ("registered", "pxe_ready")),
        (moved("active", "provisioning"), ("ready", "pxe_ready")),
        (moved("failed", "provisioning"), ("failed", "pxe_ready")),
        (moved("provisioning", "active"), ("pxe_ready", "ready")),
        (moved("provisioning", "failed"), ("pxe_ready", "failed")),
        (moved("active", "releasing"), ("ready", "registered")),
        (moved("failed", "available"), ("failed", "registered")),
        (row(Seen.PHASE_MOVED, {"from": "pxe_ready", "to": "pxe_booted"}), None),
        (row(Seen.PHASE_MOVED, {"from": "installed", "to": "first_boot"}), None),
        (row(Seen.STEP_BEGUN, {"step": "joined", "try": 1}), ("first_boot", "joining")),
    ],
)
def test_a_move_of_a_host_is_told_with_where_it_came_from(doing, state):
    before, after = state or (doing.data["from"], doing.data["to"])

    found = said(doing)[Word.STATE]
    assert (found["from"], found["state"]) == (before, after)


@pytest.mark.parametrize(
    "doing",
    [
        moved("active", "maintenance"),
        moved("maintenance", "active"),
        moved("registered", "maintenance"),
        moved("available", "allocated"),
        moved("registered", "commissioning"),
        row(Seen.PHASE_MOVED, {"from": "pxe_ready", "to": "installing"}, verb=Kind.COMMISSION),
        row(Seen.STEP_BEGUN, {"step": "joined", "try": 2}),
        row(Seen.STEP_BEGUN, {"step": "registered", "try": 1}),
        row(Seen.STEP_BEGUN, {"step": "netbooted", "try": 1}),
        row(Seen.STEP_BEGUN, {"step": "of-tomorrow", "try": 1}),
        row(Seen.STEP_BEGUN, {}),
        row(Seen.STEP_BEGUN, {"step": "joined", "try": 1}, verb=None),
        moved("registered", "of-tomorrow"),
        row(Seen.STATE_MOVED),
        row(Seen.PHASE_MOVED),
    ],
)
def test_what_leaves_a_host_where_it_stands_tells_no_state(doing):
    assert Word.STATE not in said(doing)
    assert Word.ACTIVITY in said(doing)


def test_a_host_whose_cluster_is_not_ours_joins_when_it_is_registered():
    alone = {"traits": sorted([Trait.PROXMOX, Trait.INFRASTRUCTURE])}
    doing = row(Seen.STEP_BEGUN, {"step": "registered", "try": 1}, params=alone)

    assert said(doing)[Word.STATE]["state"] == "joining"


@pytest.mark.parametrize(
    ("kind", "data", "operation"),
    [
        (Seen.ASKED, {"verb": "provision", "reason": "new"}, ("running", None, "")),
        (Seen.STEP_BEGUN, {"step": "powered", "try": 1}, ("running", "powered", "")),
        (Seen.STEP_FAILED, {"step": "powered", "reason": "no"}, ("running", "powered", "no")),
        (Seen.STEP_DONE, {"workflow": "provision"}, ("succeeded", None, "")),
        (Seen.GAVE_UP, {"reason": "no sign"}, ("failed", None, "no sign")),
        (Seen.CANCELLED, {"by": "ada", "reason": ""}, ("cancelled", None, "")),
    ],
)
def test_how_an_operation_goes_is_told(kind, data, operation):
    found = said(row(kind, data))[Word.OPERATION]

    assert (found["state"], found["step"], found["detail"]) == operation
    assert found["kind"] == "provision"


def test_what_is_of_no_operation_tells_of_none():
    found = said(row(Seen.GAVE_UP, {"reason": "x"}, operation_id=None, verb=None))

    assert set(found) == {Word.ACTIVITY}
    assert found[Word.ACTIVITY]["operation_id"] is None


def test_whatever_is_seen_is_an_activity_with_its_operation():
    found = said(row(Seen.ANSWER_SERVED, {"bytes": 8}, source="http", applied=False))

    assert found == {
        Word.ACTIVITY: {
            "host_id": str(HOST),
            "hostname": "pve-01",
            "site": "home",
            "operation_id": str(FLOW),
            "at": "2025-06-01T12:00:00Z",
            "source": "http",
            "kind": "answer-served",
            "applied": False,
            "data": {"bytes": 8},
        }
    }


@pytest.mark.parametrize("kind", list(Seen))
def test_an_agent_s_word_moves_no_host_and_no_operation(kind):
    data = {"from": "registered", "to": State.ACTIVE, "step": "joined", "try": 1, "workflow": "x"}

    assert set(said(row(kind, data, own=False))) == {Word.ACTIVITY}


def test_each_word_has_a_number_of_its_own_and_resumes_with_the_next():
    words = list(told(moved("registered", "provisioning")))

    numbers = [each.id for each in words]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == number(7)
    assert [row_before(each) for each in numbers] == [6, 7]
    assert row_before(number(7, 0)) == 6
    assert row_before(0) < 0
    assert row_before(number(8) - LAST) == 7
