"""A host's join over SSH, against Debian's sshd and stand-ins of pvesh and pvecm."""

import threading
from uuid import uuid4

import pytest

from actors.drivers import join
from actors.drivers.deadline import Deadline
from actors.drivers.join import Plan, Way
from actors.drivers.ssh_keys import Fresh
from config.secrets import Secret
from models import joining
from tests.actors.join_lab import MEMBER, SITE, Lab, lets_in
from tests.actors.test_ssh import loopback
from tests.services import pve

pytestmark = pytest.mark.services


@pytest.fixture
def lab(pve_lab):
    return pve_lab


def test_a_host_joins_by_password_and_its_run_s_key_is_useless_everywhere_after_it(lab):
    found = lab.join()

    cluster = lab.world.cluster()
    assert found == {
        "cluster": "lab",
        "node": "node-2",
        "nodes": ["node-1", "node-2"],
        "fingerprint": cluster["nodes"]["node-2"]["fp"],
        "host_key": found["host_key"],
        "moves": ["join"],
        "key_gone": True,
    }
    assert not lets_in(lab.host, lab.run)
    assert not lets_in(lab.member, lab.run)
    assert lab.run.public not in lab.member.root_keys()
    assert f"{SITE.public} site" in lab.member.root_keys()


def test_the_password_is_seen_by_nobody_on_the_host_and_stands_in_no_result(lab):
    # What else runs on this machine may bear the usual one in its settings.
    password = f"{pve.PASSWORD} {uuid4().hex}"
    (lab.world.folder / "password").write_text(password)

    found = lab.join(password=Secret(password))

    seen = (lab.world.folder / "processes").read_bytes()
    assert b"pvesh" in seen
    assert password.encode() not in seen
    assert password not in f"{found}{lab.told}{lab.host.sshd.log()}{lab.member.sshd.log()}"


def test_a_key_that_a_join_merged_into_the_shared_file_is_taken_out_there(pve_world):
    lab = Lab(pve_world, linked=False)

    lab.join()

    assert lab.run.public.split()[1] not in lab.member.root_keys()
    assert not lets_in(lab.member, lab.run)
    assert lab.world.cluster()["nodes"]["node-2"]["online"]


def test_a_host_joins_by_ssh_where_there_is_no_password(lab):
    found = lab.join(password=None)

    assert found["moves"] == ["join"]
    assert lab.joined()
    assert not lets_in(lab.member, lab.run)


def test_the_first_node_creates_its_cluster(pve_world):
    run = Fresh.made()
    first = pve_world.node("node-1", MEMBER, f"{run.public} run")
    plan = Plan(
        want=joining.wanted("node-1", cluster="lab"),
        host=Way(host=first.host, login=run.login("root")),
        member=None,
        key=run.public,
        pause=lambda seconds: threading.Event().wait(seconds) and None,
    )

    found = join.join(plan, loopback, Deadline.after(300))

    assert (found["cluster"], found["moves"]) == ("lab", ["create"])
    assert found["fingerprint"] == pve_world.cluster()["nodes"]["node-1"]["fp"]
    assert not lets_in(first, run)


def test_the_entry_that_a_host_left_before_it_was_rebuilt_is_removed_first(lab):
    lab.world.change("lab", "old-friend", online=True)
    lab.world.change("lab", "node-2", online=False)

    found = lab.join()

    assert found["moves"] == ["delnode", "join"]
    assert found["nodes"] == ["node-1", "node-2", "old-friend"]


def test_an_old_entry_without_a_certificate_is_removed_by_the_pin_alone(lab):
    pin = lab.world.cluster()["nodes"]["node-1"]["fp"]
    lab.world.change("lab", "friend", online=True)
    lab.world.change("lab", "node-2", online=False, fp="")

    found = lab.join(want=joining.wanted("node-2", member=MEMBER, pin=pin))

    assert found["moves"] == ["delnode", "join"]


def test_what_services_tell_while_they_start_is_not_taken_for_what_is(lab):
    (lab.world.folder / "slow").touch()

    assert lab.join()["moves"] == ["join"]


def test_a_join_may_be_repeated_when_nobody_heard_that_it_went_well(lab):
    first = lab.join()

    again = lab.join()

    assert again == first | {"moves": []}


def test_a_join_that_was_cut_off_before_the_key_was_removed_is_taken_up_again(pve_world):
    lab = Lab(pve_world, linked=False)

    class Gone(Exception):
        pass

    def cut(words):
        if "key" in words:
            raise Gone

    with pytest.raises(Gone):
        lab.join(tell=cut)
    assert lab.run.public.split()[1] in lab.member.root_keys()

    assert lab.join()["moves"] == []
    assert not lets_in(lab.member, lab.run)


def test_a_password_that_looks_like_an_option_is_one_no_more(lab):
    (lab.world.folder / "password").write_text("--force=1")

    assert lab.join(password=Secret("--force=1"))["moves"] == ["join"]
