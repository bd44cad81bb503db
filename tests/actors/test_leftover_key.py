"""The key of a rebuild that did not join, taken from its host and from the file of the cluster."""

import pytest

from actors.drivers import leftover_key, ssh
from actors.drivers.deadline import Deadline
from actors.drivers.errors import HostKeyChanged, NotLetIn, Unreachable, Unsuccessful
from actors.drivers.join import Way
from actors.drivers.leftover_key import Leaving
from actors.drivers.ssh_keys import Fresh
from tests.actors.join_lab import MEMBER, SITE, Lab, lets_in, loopback

pytestmark = pytest.mark.services


class Gone(Exception):
    """The join's process died."""


def leaving(lab, **more):
    given = {
        "name": "node-2",
        "host": lab.host.host,
        "key": lab.run.login("root"),
        "member": lambda: Way(host=lab.member.host, login=SITE.login("root")),
        "pause": lab.pause,
    }
    return Leaving(**given | more)


def leave(what, dial=loopback):
    leftover_key.leave(what, dial, Deadline.after(300))


def only_the_member(address, port, seconds):
    if address != MEMBER:
        raise Unreachable("it is off")
    return loopback(address, port, seconds)


@pytest.fixture
def merged(pve_world):
    """A host that joined and died before its key was removed: the cluster shares the key."""
    lab = Lab(pve_world, linked=False)

    def cut(words):
        if "key" in words:
            raise Gone

    with pytest.raises(Gone):
        lab.join(tell=cut)
    assert lab.run.public.split()[1] in lab.member.root_keys()
    return lab


def test_a_host_that_never_joined_lets_the_key_in_no_more(pve_lab):
    leave(leaving(pve_lab))

    assert not lets_in(pve_lab.host, pve_lab.run)
    assert f"{SITE.public} site" in pve_lab.member.root_keys()


def test_it_may_be_repeated_and_needs_no_member(pve_lab):
    for _ in range(2):
        leave(leaving(pve_lab, member=lambda: None))

    assert not lets_in(pve_lab.host, pve_lab.run)


def test_what_the_cluster_shares_is_rid_of_it_too(merged):
    leave(leaving(merged))

    assert merged.run.public.split()[1] not in merged.member.root_keys()
    assert not lets_in(merged.host, merged.run)
    assert not lets_in(merged.member, merged.run)


def test_a_host_that_is_off_is_told_and_the_cluster_is_rid_of_the_key_all_the_same(merged):
    with pytest.raises(Unreachable):
        leave(leaving(merged), only_the_member)

    assert merged.run.public.split()[1] not in merged.member.root_keys()


def test_a_member_that_does_not_let_us_in_is_told_and_the_host_is_rid_of_the_key(pve_lab):
    stranger = Way(host=pve_lab.member.host, login=Fresh.made().login("root"))

    with pytest.raises(NotLetIn):
        leave(leaving(pve_lab, member=lambda: stranger))

    assert not lets_in(pve_lab.host, pve_lab.run)


def test_a_host_that_is_another_by_now_is_not_spoken_to(pve_lab):
    other = pve_lab.host.host
    other = ssh.Host(address=other.address, keys=pve_lab.member.host.keys, port=other.port)

    with pytest.raises(HostKeyChanged):
        leave(leaving(pve_lab, host=other))

    assert pve_lab.run.public in pve_lab.host.root_keys()


def test_a_file_that_cannot_be_written_is_told_with_its_node(pve_lab):
    (pve_lab.host.pve / "priv/authorized_keys.sprout").mkdir()

    with pytest.raises(Unsuccessful, match="removing the key of this rebuild from node-2 failed"):
        leave(leaving(pve_lab))
