"""What leaves, and when: nothing that promises a lease before that lies on the disk."""

import socket
from itertools import islice

import pytest

from pxe_stack import sockets
from pxe_stack.dhcp_notes import Notes
from pxe_stack.dhcp_outbox import Letter, Outbox
from pxe_stack.journal import JOURNAL, JournalStore
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Lease, Leases, Share
from pxe_stack.packets import Kind

HERE = "127.0.0.1"
SO_RCVBUFFORCE = 33
"""socket(7); Python has no name for it."""

LEASE = Lease(0x0A4D0064, b"\1client", 2e9)


class Post:
    """An outbox, and the relay that hears what leaves it."""

    def __init__(self, folder):
        self.folder = folder
        self.journal = JournalStore(folder / JOURNAL)
        self.lasting = LeaseStore(folder, Share())
        self.leases = Leases()
        self.outbox = Outbox(
            self.lasting, self.leases, Notes(self.journal), address=HERE, interface="lo"
        )
        self.voice = sockets.udp(HERE, 0)
        self.relay = sockets.udp(HERE, 0)

    def put(self, kind, data, *, relayed=True):
        self.outbox.put(Letter(kind, data, self.relay.getsockname(), relayed))

    def sent(self):
        """Send what waits, and return what the relay heard."""
        self.outbox.send(self.voice)
        heard = []
        while True:
            try:
                heard.append(self.relay.recv(2048))
            except BlockingIOError:
                return heard

    def close(self):
        for each in (self.voice, self.relay, self.journal):
            each.close()


@pytest.fixture
def post(tmp_path):
    made = Post(tmp_path)
    yield made
    made.lasting.close()
    made.close()


def test_replies_of_one_length_to_one_relay_arrive_each_by_itself(post):
    given = [b"%03d" % n + bytes(297) for n in range(200)]
    for data in given:
        post.put(Kind.OFFER, data)

    assert post.sent() == given


@pytest.mark.services
def test_what_goes_to_clients_leaves_one_by_one(post):
    """A client may listen below UDP, where several packets that are not cut yet are one."""
    port = post.relay.getsockname()[1].to_bytes(2, "big")
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as below:
        # All that loopback carries comes here, other tests' packets too: room for ours beside them.
        below.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        below.bind(("lo", 0))
        below.settimeout(60)
        for n in range(3):
            post.put(Kind.OFFER, b"%03d" % n + bytes(297), relayed=False)
        post.outbox.send(post.voice)
        heard = iter(lambda: below.recv(65536), None)
        sizes = [len(each) for each in islice((one for one in heard if one[22:24] == port), 3)]

    assert sizes == [20 + 8 + 300] * 3


def test_replies_of_many_lengths_arrive_whole(post):
    given = {bytes((n,)) * (300 + n) for n in range(100)} | {b"long" * 400, b"last" * 400}
    for data in given:
        post.put(Kind.OFFER, data)

    assert set(post.sent()) == given


def test_an_ack_leaves_when_the_leases_are_written(post):
    post.put(Kind.ACK, b"ack")
    post.outbox.keep([LEASE])

    assert post.sent() == [b"ack"]
    assert list(LeaseStore(post.folder, Share()).read()) == [LEASE]


def test_no_ack_leaves_when_a_lease_cannot_be_written_and_the_lease_is_forgotten(post):
    post.leases.load([LEASE])
    post.put(Kind.ACK, b"ack")
    post.put(Kind.OFFER, b"offer")
    post.outbox.keep([LEASE])
    with post.lasting._db.writing() as connection:
        connection.execute("ALTER TABLE leases RENAME TO elsewhere")
        connection.execute("CREATE TABLE leases (address, client, expires, state, made)")

    assert post.sent() == [b"offer"]
    assert len(post.leases) == 0


def test_what_cannot_leave_is_counted_and_holds_up_nothing(post):
    unreachable = Letter(Kind.OFFER, b"lost", ("240.0.0.1", 67), relayed=True)
    for _ in range(3):
        post.outbox.put(unreachable)
    post.put(Kind.OFFER, b"offer")

    assert post.sent() == [b"offer"]
    post.outbox._notes.flush()
    assert post.journal.counters()["dhcp unsent"] == 3
    assert post.journal.counters()["dhcp-offered stranger"] == 1


def test_segments_that_a_kernel_does_not_know_are_sent_one_by_one(post):
    class Old(socket.socket):
        def sendmsg(self, data, ancillary=(), *rest):
            if len(ancillary) > 1:
                raise OSError(22, "Invalid argument")
            return super().sendmsg(data, ancillary, *rest)

    post.voice.close()
    post.voice = Old(socket.AF_INET, socket.SOCK_DGRAM)
    for data in (b"one", b"two"):
        post.put(Kind.OFFER, data)

    assert post.sent() == [b"one", b"two"]
