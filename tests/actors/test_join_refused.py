"""Joins that come to nothing: each is told why, and leaves nothing that is taken for done."""

import threading

import pytest

from actors.drivers import clusters, join, ssh
from actors.drivers.errors import (
    Garbled,
    HostKeyChanged,
    LeaseLost,
    TookTooLong,
    Unsuccessful,
)
from actors.drivers.join import Way
from config.secrets import Secret
from models import joining
from tests.actors.join_lab import HOST, MEMBER
from tests.services import pve

pytestmark = pytest.mark.services


@pytest.fixture
def lab(pve_lab):
    return pve_lab


def test_a_node_that_makes_no_sense_for_long_is_told(lab, monkeypatch):
    monkeypatch.setattr(join, "SETTLE_S", 0.0)
    (lab.host.pve / ".vmlist").write_text("no JSON")

    with pytest.raises(Garbled, match=r"node-2: cat /etc/pve/\.vmlist says no JSON"):
        lab.join()


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (lambda lab: (lab.host.pve / ".vmlist").write_text('{"ids": {"100": {}}}'), "1 guest"),
        (lambda lab: (lab.host.pve / "corosync.conf").touch(), "corosync.conf"),
        (lambda lab: lab.host.have(corosync=True), "runs corosync"),
        (lambda lab: lab.world.change("lab", "node-9", online=False), "no quorum"),
        (lambda lab: lab.world.change("lab", "node-2", online=True), "another node called node-2"),
        (lambda lab: lab.member.have(cluster=""), "127.0.0.61 is in no cluster"),
    ],
)
def test_a_join_that_would_be_refused_is_not_tried_and_why_is_told(lab, spoilt, words):
    spoilt(lab)

    assert words in lab.refused()

    assert not (lab.world.folder / "processes").exists()


def test_an_authentication_key_that_lies_about_forbids_a_join(lab):
    (lab.host.folder / "etc/corosync").mkdir()
    (lab.host.folder / "etc/corosync/authkey").touch()

    assert "authentication key" in lab.refused()


def test_what_the_cluster_answers_is_the_reason_without_the_password_in_it(lab):
    (lab.world.folder / "password").write_text("another")

    reason = lab.refused()

    assert "joining the cluster came to nothing" in reason
    assert "authentication failure for '***'" in reason
    assert pve.PASSWORD not in reason


def test_a_certificate_that_is_not_the_pinned_one_is_joined_by_nobody(lab):
    pin = ":".join(["AB"] * 32)

    reason = lab.refused(want=joining.wanted("node-2", member=MEMBER, pin=pin))

    assert f"{pin} is pinned" in reason
    assert not lab.joined()


def test_a_join_that_hangs_is_ended_and_says_so(lab):
    (lab.world.folder / "hangs").touch()

    with pytest.raises(TookTooLong, match="joining the cluster hangs"):
        lab.join(limit_s=1)

    assert not lab.joined()


def test_a_join_that_is_cancelled_ends_on_the_host(lab):
    (lab.world.folder / "hangs").touch()

    def cancelled(seconds):
        if (lab.world.folder / "hanging").exists():
            raise LeaseLost("the run was cancelled")
        threading.Event().wait(seconds)

    with pytest.raises(LeaseLost, match="cancelled"):
        lab.join(pause=cancelled)

    assert not lab.joined()


def test_a_host_that_no_node_comes_to_see_is_not_taken_for_joined(lab, monkeypatch):
    monkeypatch.setattr(join, "SETTLE_S", 1.0)
    (lab.world.folder / "unseen").touch()

    assert "no quorum sees it" in lab.refused()


def test_a_changed_host_key_ends_it_before_anything_is_said(lab, tmp_path):
    other = ssh.Host(address=HOST, keys=lab.member.host.keys, port=lab.host.sshd.port)

    with pytest.raises(HostKeyChanged):
        lab.join(host=Way(host=other, login=lab.run.login("root")))


def test_a_key_that_comes_back_is_told_where_it_is(lab, monkeypatch):
    monkeypatch.setattr(join, "LOOK_S", 0.0)
    monkeypatch.setattr("actors.drivers.clusters.Node.forget", lambda _node, _key: None)
    line = f"{lab.run.public} left"
    shared = lab.member.pve / "priv/authorized_keys"
    shared.write_text(f"{shared.read_text()}{line}\n")

    with pytest.raises(Unsuccessful, match=r"cannot be removed: it is in /etc/pve/priv/auth"):
        lab.join()


def test_a_key_that_lets_in_all_the_same_is_no_key_that_is_gone(lab, monkeypatch):
    monkeypatch.setattr("actors.drivers.clusters.KEY_FILES", (clusters.SHARED_KEYS,))
    more = lab.host.folder / "root/.ssh/authorized_keys2"
    more.write_text(f"{lab.run.public} forgotten\n")

    with pytest.raises(Unsuccessful, match=r"is removed, and 127\.0\.0\.62 lets it in"):
        lab.join()


@pytest.mark.parametrize("password", ["x" * 129, "two\nlines", "a\0b"])
def test_a_password_that_the_cluster_could_not_take_is_refused_unsaid(lab, password):
    reason = lab.refused(password=Secret(password))

    assert password not in reason
    assert not lab.told
