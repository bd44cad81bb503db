"""A host's join over SSH, against Debian's sshd and stand-ins of pvesh and pvecm."""

import threading

import pytest

from actors.drivers import clusters, join, ssh
from actors.drivers.deadline import Deadline
from actors.drivers.errors import (
    HostKeyChanged,
    LeaseLost,
    NotLetIn,
    Refused,
    TookTooLong,
    Unsuccessful,
)
from actors.drivers.join import Plan, Way
from actors.drivers.ssh_keys import Fresh
from config.secrets import Secret
from models import joining
from tests.actors.test_ssh import loopback
from tests.services import pve

pytestmark = pytest.mark.services

SITE = Fresh.made()
"""What the site logs in to members by."""

MEMBER, HOST = "127.0.0.61", "127.0.0.62"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with pve.world(tmp_path_factory.mktemp("pve") / "world") as made:
        yield made


@pytest.fixture
def world(nodes):
    nodes.forget()
    return nodes


class Lab:
    """A cluster of one node, a host that is to join it, and the key of the host's run."""

    def __init__(self, world, *, linked=True):
        self.world, self.run, self.told = world, Fresh.made(), []
        self.member = world.clustered("node-1", MEMBER, f"{SITE.public} site")
        self.host = world.node("node-2", HOST, f"{self.run.public} run", linked=linked)

    def pause(self, seconds):
        threading.Event().wait(seconds)

    def plan(self, **more):
        return Plan(
            **{
                "want": joining.wanted("node-2", member=MEMBER),
                "host": Way(host=self.host.host, login=self.run.login("root")),
                "member": Way(host=self.member.host, login=SITE.login("root")),
                "key": self.run.public,
                "password": Secret(pve.PASSWORD),
                "pause": self.pause,
                "tell": self.told.append,
            }
            | more
        )

    def join(self, **more):
        return join.join(self.plan(**more), loopback, Deadline.after(100))

    def refused(self, **more):
        """Try; return the reason."""
        with pytest.raises(Refused) as caught:
            self.join(**more)
        return str(caught.value)

    def joined(self):
        return "node-2" in self.world.cluster()["nodes"]


@pytest.fixture
def lab(world):
    return Lab(world)


def lets_in(node, key):
    way = key.login("root")
    try:
        with ssh.session(node.host, way, loopback, Deadline.after(60)):
            return True
    except NotLetIn:
        return False


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
    found = lab.join()

    seen = (lab.world.folder / "processes").read_bytes()
    assert b"pvesh" in seen
    assert pve.PASSWORD.encode() not in seen
    assert pve.PASSWORD not in f"{found}{lab.told}{lab.host.sshd.log()}{lab.member.sshd.log()}"


def test_a_key_that_a_join_merged_into_the_shared_file_is_taken_out_there(world):
    lab = Lab(world, linked=False)

    lab.join()

    assert lab.run.public.split()[1] not in lab.member.root_keys()
    assert not lets_in(lab.member, lab.run)
    assert lab.world.cluster()["nodes"]["node-2"]["online"]


def test_a_host_joins_by_ssh_where_there_is_no_password(lab):
    found = lab.join(password=None)

    assert found["moves"] == ["join"]
    assert lab.joined()
    assert not lets_in(lab.member, lab.run)


def test_the_first_node_creates_its_cluster(world):
    run = Fresh.made()
    first = world.node("node-1", MEMBER, f"{run.public} run")
    plan = Plan(
        want=joining.wanted("node-1", cluster="lab"),
        host=Way(host=first.host, login=run.login("root")),
        member=None,
        key=run.public,
        pause=lambda seconds: threading.Event().wait(seconds) and None,
    )

    found = join.join(plan, loopback, Deadline.after(100))

    assert (found["cluster"], found["moves"]) == ("lab", ["create"])
    assert found["fingerprint"] == world.cluster()["nodes"]["node-1"]["fp"]
    assert not lets_in(first, run)


def test_the_entry_that_a_host_left_before_it_was_rebuilt_is_removed_first(lab):
    lab.world.change("lab", "old-friend", online=True)
    lab.world.change("lab", "node-2", online=False)

    found = lab.join()

    assert found["moves"] == ["delnode", "join"]
    assert found["nodes"] == ["node-1", "node-2", "old-friend"]


def test_a_join_may_be_repeated_when_nobody_heard_that_it_went_well(lab):
    first = lab.join()

    again = lab.join()

    assert again == first | {"moves": []}


def test_a_join_that_was_cut_off_before_the_key_was_removed_is_taken_up_again(world):
    lab = Lab(world, linked=False)

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


def test_a_password_that_looks_like_an_option_is_one_no_more(lab):
    (lab.world.folder / "password").write_text("--force=1")

    assert lab.join(password=Secret("--force=1"))["moves"] == ["join"]
