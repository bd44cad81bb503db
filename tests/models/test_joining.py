"""What is done next for a host to be in its cluster, and what forbids it."""

import pytest

from models import joining
from models.errors import Invalid
from models.joining import CannotJoin, Cluster, Move, Node, Standing

PRINT = ":".join(["AB"] * 32)
OTHER = ":".join(["CD"] * 32)
FREE = Standing()
WANT = joining.wanted("node-2", cluster="lab", member="10.0.0.1", pin=PRINT)
FIRST = joining.wanted("node-1", cluster="lab")
NODE_1 = Node(name="node-1", address="10.0.0.1", online=True, fingerprint=PRINT)
STALE = Node(name="node-2", address="10.0.0.2")
HERE = Node(name="node-2", address="10.0.0.2", online=True)


def lab(*more, name="lab", quorate=True, local="node-1"):
    return Cluster(name=name, quorate=quorate, local=local, nodes=(NODE_1, *more))


@pytest.mark.parametrize(
    ("want", "host", "member", "move"),
    [
        pytest.param(FIRST, FREE, None, Move.CREATE, id="the first node makes the cluster"),
        pytest.param(FIRST, Standing(guests=2), None, Move.CREATE, id="guests bar no creation"),
        pytest.param(FIRST, Standing(cluster=lab()), None, Move.DONE, id="it was made before"),
        pytest.param(
            FIRST, Standing(cluster=lab(quorate=False)), None, Move.WAIT, id="it is young"
        ),
        pytest.param(WANT, FREE, lab(), Move.JOIN, id="a free host joins"),
        pytest.param(WANT, FREE, lab(STALE), Move.DELNODE, id="its old entry goes first"),
        pytest.param(WANT, Standing(cluster=lab(HERE)), lab(HERE), Move.DONE, id="joined before"),
        pytest.param(WANT, Standing(cluster=lab(HERE)), lab(STALE), Move.WAIT, id="not seen yet"),
        pytest.param(WANT, Standing(cluster=lab(HERE)), lab(), Move.WAIT, id="not listed yet"),
        pytest.param(
            WANT,
            Standing(cluster=lab(HERE, quorate=False)),
            lab(HERE),
            Move.WAIT,
            id="it sees no quorum yet",
        ),
        pytest.param(
            WANT,
            Standing(cluster=lab(HERE), guests=3, auth_key=True, corosync_conf=True, corosync=True),
            lab(HERE),
            Move.DONE,
            id="what a member has bars nothing",
        ),
    ],
)
def test_the_next_move_follows_from_what_is_seen(want, host, member, move):
    assert joining.decide(want, host, member) is move


@pytest.mark.parametrize(
    ("host", "member", "words"),
    [
        (Standing(guests=1), lab(), "node-2 has 1 guest$"),
        (Standing(guests=7), lab(), "node-2 has 7 guests$"),
        (Standing(auth_key=True), lab(), "authentication key"),
        (Standing(corosync_conf=True), lab(), "corosync.conf"),
        (Standing(corosync=True), lab(), "runs corosync"),
        (Standing(auth_key=True, guests=1), lab(STALE), "authentication key.*, has 1 guest"),
        (FREE, None, "10.0.0.1 is in no cluster"),
        (FREE, lab(quorate=False), "the cluster lab has no quorum"),
        (FREE, lab(name="den"), "in the cluster den, not in lab"),
        (FREE, lab(HERE), "another node called node-2 is online"),
        (Standing(cluster=lab(name="den")), lab(), "in the cluster den already, and not in lab"),
    ],
)
def test_what_forbids_a_join_is_told(host, member, words):
    with pytest.raises(CannotJoin, match=words):
        joining.decide(WANT, host, member)


def test_nothing_is_deleted_from_a_cluster_that_a_host_may_not_join():
    with pytest.raises(CannotJoin, match="guest"):
        joining.decide(WANT, Standing(guests=1), lab(STALE))


def test_a_name_is_another_node_s_in_whatever_case():
    theirs = Node(name="NODE-2", online=True)

    with pytest.raises(CannotJoin, match="another node called NODE-2"):
        joining.decide(WANT, FREE, lab(theirs))


@pytest.mark.parametrize(
    ("pin", "shown", "found"),
    [(PRINT, PRINT, PRINT), (PRINT.lower(), PRINT, PRINT), (PRINT, "", PRINT), ("", OTHER, OTHER)],
)
def test_a_join_is_pinned_to_one_certificate(pin, shown, found):
    want = joining.wanted("node-2", member="10.0.0.1", pin=pin)
    node = Node(name="node-1", online=True, fingerprint=shown)

    member = Cluster(name="lab", quorate=True, local="node-1", nodes=(node,))

    assert joining.pinned(want, member) == found


@pytest.mark.parametrize(
    ("pin", "shown", "words"),
    [(PRINT, OTHER, f"is {OTHER}, and {PRINT} is pinned"), ("", "", "does not tell")],
)
def test_without_the_certificate_that_is_meant_nothing_is_joined(pin, shown, words):
    want = joining.wanted("node-2", member="10.0.0.1", pin=pin)
    node = Node(name="node-1", online=True, fingerprint=shown)
    member = Cluster(name="lab", quorate=True, local="node-1", nodes=(node,))

    with pytest.raises(CannotJoin, match=words):
        joining.decide(want, FREE, member)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"node": "node_2", "member": "10.0.0.1"}, "/node"),
        ({"node": "-x", "member": "10.0.0.1"}, "/node"),
        ({"node": "n.example", "member": "10.0.0.1"}, "/node"),
        ({"node": "n\n", "member": "10.0.0.1"}, "/node"),
        ({"node": "n"}, "/cluster"),
        ({"node": "n", "cluster": "a" * 16}, "/cluster"),
        ({"node": "n", "cluster": "--help"}, "/cluster"),
        ({"node": "n", "member": "10.0.0.1", "pin": "AB:CD"}, "/fingerprint"),
    ],
)
def test_what_is_to_be_is_refused_at_the_field_that_is_wrong(given, field):
    with pytest.raises(Invalid) as caught:
        joining.wanted(**given)

    assert caught.value.field == field


STATUS = [
    {"type": "cluster", "id": "cluster", "name": "lab", "nodes": 2, "quorate": 1, "version": 3},
    {"type": "node", "name": "node-1", "ip": "10.0.0.1", "local": 1, "online": 1, "nodeid": 1},
    {"type": "node", "name": "node-2", "local": 0, "online": 0, "nodeid": 2},
]
INFO = {
    "preferred_node": "node-1",
    "config_digest": "0" * 40,
    "nodelist": [
        {"name": "node-1", "pve_addr": "10.0.0.1", "pve_fp": PRINT, "nodeid": "1"},
        {"name": "node-2", "pve_addr": "10.0.0.2", "pve_fp": OTHER.lower(), "nodeid": "2"},
    ],
}


def test_a_cluster_is_read_from_both_of_its_documents():
    found = joining.cluster(STATUS, INFO)

    assert found == Cluster(
        name="lab",
        quorate=True,
        local="node-1",
        nodes=(
            NODE_1,
            Node(name="node-2", address="10.0.0.2", online=False, fingerprint=OTHER),
        ),
    )


def test_a_node_of_its_own_is_in_no_cluster():
    assert joining.cluster([{"type": "node", "name": "node-1", "local": 1, "online": 1}]) is None


@pytest.mark.parametrize("status", [None, {}, "x", 7, [{}] * 257])
def test_what_is_no_status_is_refused(status):
    with pytest.raises(Invalid):
        joining.cluster(status)


@pytest.mark.parametrize(
    "row",
    [None, 7, "x", {"type": "node"}, {"type": "node", "name": 7}, {"type": "node", "name": "\x1b"}],
)
def test_rows_that_make_no_sense_are_left_out(row):
    assert joining.cluster([*STATUS, row], INFO) == joining.cluster(STATUS, INFO)


@pytest.mark.parametrize("shown", [None, 7, "", "AB", PRINT + ":AB", "<b>", "ZZ" + PRINT[2:]])
def test_what_is_no_fingerprint_is_none(shown):
    info = {"nodelist": [{"name": "node-1", "pve_fp": shown}]}

    found = joining.cluster(STATUS, info)

    assert found is not None
    assert found.nodes[0].fingerprint == ""


@pytest.mark.parametrize(("said", "so"), [(1, True), ("1", True), (True, True), (0, False)])
def test_yes_is_what_perl_says(said, so):
    assert joining.cluster([STATUS[0] | {"quorate": said}, *STATUS[1:]]).quorate is so


@pytest.mark.parametrize("said", ["0", None, "yes", 2, 1.5, [], {}])
def test_anything_else_is_no(said):
    assert not joining.cluster([STATUS[0] | {"quorate": said}, *STATUS[1:]]).quorate


def test_guests_are_counted():
    assert joining.guests({"version": 5, "ids": {"100": {}, "101": {}}}) == 2


@pytest.mark.parametrize("told", [None, [], {}, {"ids": []}, {"ids": None}])
def test_a_list_of_guests_that_is_none_is_refused(told):
    with pytest.raises(Invalid):
        joining.guests(told)
