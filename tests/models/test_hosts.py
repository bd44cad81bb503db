"""The life of a host: one table, and a view of it over machine and workflow."""

from itertools import product

import pytest

from models.answering import Hardware, Ours, composed
from models.commands.hosts import ANSWER
from models.errors import IllegalTransition, NotReady
from models.hosts import (
    ACTIVE,
    TRANSITIONS,
    Candidate,
    Move,
    chosen_image,
    chosen_site,
    next_state,
    state_of,
)
from models.kinds import Kind
from models.lifecycle import State
from models.observations import Seen
from models.phases import ORDER, Phase
from models.steps import Decision, Party, Task, assign, decide, expect
from models.workflows import table_of

LEGAL = sorted(TRANSITIONS.items())
ILLEGAL = sorted(set(product(Phase, Move)) - TRANSITIONS.keys())
JOIN = (
    expect("phoned-home", Seen.PHONED_HOME, "it to phone home", 60, party=Party.MACHINE),
    decide("turn", Decision.FIND_ABLE, "its turn"),
    assign("joined", Task.REMOTE_TASK, "the cluster to take it in"),
    decide("active", Decision.FINISH, "the machine becomes active"),
)


@pytest.mark.parametrize(("move", "after"), LEGAL)
def test_every_move_in_the_table_is_made(move, after):
    assert next_state(*move) is after


@pytest.mark.parametrize("move", ILLEGAL, ids="+".join)
def test_every_other_move_is_refused_with_what_can_be_done(move):
    with pytest.raises(IllegalTransition) as caught:
        next_state(*move)

    can = "cancel" if move[0] in ACTIVE else "rebuild"
    assert caught.value.hint == f"From {move[0]} it can: {can}."


def test_a_rebuild_walks_all_states_in_their_order():
    walked = [Phase.REGISTERED]
    for move in list(Move)[:7]:
        walked.append(next_state(walked[-1], move))

    assert tuple(walked) == ORDER


def test_whatever_is_active_can_be_cancelled_and_can_give_up():
    assert {s for s, m in TRANSITIONS if m is Move.GAVE_UP} == ACTIVE
    assert set(Phase) - ACTIVE == {s for s, m in TRANSITIONS if m is Move.REBUILD}


@pytest.mark.parametrize(
    ("state", "phase", "seen"),
    [
        (State.REGISTERED, Phase.REGISTERED, Phase.REGISTERED),
        (State.COMMISSIONING, Phase.REGISTERED, Phase.REGISTERED),
        (State.AVAILABLE, Phase.READY, Phase.REGISTERED),
        (State.ALLOCATED, Phase.REGISTERED, Phase.REGISTERED),
        (State.RELEASING, Phase.READY, Phase.REGISTERED),
        (State.RETIRED, Phase.FAILED, Phase.REGISTERED),
        (State.ACTIVE, Phase.READY, Phase.READY),
        (State.FAILED, Phase.FAILED, Phase.FAILED),
        (State.FAILED, Phase.REGISTERED, Phase.FAILED),
        (State.MAINTENANCE, Phase.READY, Phase.READY),
        (State.MAINTENANCE, Phase.REGISTERED, Phase.REGISTERED),
        *((State.PROVISIONING, phase, phase) for phase in sorted(ACTIVE)),
        (State.PROVISIONING, Phase.FAILED, Phase.PXE_READY),
        (State.PROVISIONING, Phase.READY, Phase.PXE_READY),
    ],
)
def test_where_a_host_stands_follows_from_its_machine(state, phase, seen):
    assert state_of(state, phase) is seen


@pytest.mark.parametrize(
    ("index", "seen"),
    [(0, Phase.FIRST_BOOT), (1, Phase.FIRST_BOOT), (2, Phase.JOINING), (3, Phase.JOINING)],
)
def test_a_host_joins_when_something_is_begun_on_it_after_it_phoned_home(index, seen):
    assert state_of(State.PROVISIONING, Phase.FIRST_BOOT, JOIN, index) is seen


def test_what_has_no_join_ends_without_one():
    steps = table_of(Kind.PROVISION).steps

    for index in range(len(steps) + 1):
        found = state_of(State.PROVISIONING, Phase.FIRST_BOOT, steps, index)
        assert found is Phase.FIRST_BOOT


def test_the_default_image_is_taken_else_the_only_one():
    one, two = Candidate(ref="a", is_default=False), Candidate(ref="b", is_default=True)

    assert chosen_image([one, two]) == "b"
    assert chosen_image([one]) == "a"


@pytest.mark.parametrize("count", [0, 2])
def test_of_no_image_or_of_many_without_a_default_none_is_taken(count):
    images = [Candidate(ref=f"i{n}", is_default=False) for n in range(count)]

    with pytest.raises(NotReady, match="Proxmox image") as caught:
        chosen_image(images)

    assert caught.value.hint


def test_the_configured_site_is_taken_else_the_only_one():
    assert chosen_site("home", ["ams-1", "home"]) == "home"
    assert chosen_site("", ["ams-1"]) == "ams-1"


@pytest.mark.parametrize("slugs", [[], ["ams-1", "home"]])
def test_of_no_site_or_of_many_none_is_taken(slugs):
    with pytest.raises(NotReady, match=f"{len(slugs)} sites") as caught:
        chosen_site("", slugs)

    assert caught.value.hint


def test_what_hosts_are_told_until_somebody_changes_it_is_a_good_answer():
    ours = Ours(
        fqdn="pve-01.provisioning.sprout.local",
        ssh_key="ssh-ed25519 AAAA of this rebuild",
        password_hash="$6$salt$hash",
        installed_url="http://10.0.0.1/api/hosts/1/installed",
        first_boot_url="http://10.0.0.1/api/hosts/1/first-boot-script",
    )

    answer = composed(ANSWER, Hardware(boot_disk="/dev/nvme0n1"), ours)

    assert answer.disk_setup.disk_list == ["/dev/nvme0n1"]
