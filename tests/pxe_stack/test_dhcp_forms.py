"""Answers from forms are the answers of the long way, byte for byte, whoever asks when."""

from random import Random

import pytest

from pxe_stack import dhcp, packets
from pxe_stack.dhcp import Answer, View
from pxe_stack.dhcp_forms import AGAIN_S, MOST, Forms
from pxe_stack.leases import Share
from pxe_stack.packets import COOKIE, Kind, Malformed
from tests.fuzz.dhcp import packet
from tests.pxe_stack.nets import Site, address, far, mac, network, number, whole

SERVER, OTHER = address("10.77.0.1"), address("10.77.0.9")
RELAY = number("10.88.0.1")
VENDORS = (b"PXEClient:Arch:00007:UNDI:003016", b"PXEClient:Arch:00000", b"HTTPClient:Arch:00016")
UUID = (97, b"\0" + bytes(range(16)))


class Twins:
    """Two processes that hear the same: one knows forms, the other goes the long way always."""

    def __init__(self, *networks, **given):
        self.quick = Site(*networks, **given)
        self.plain = Site(*networks, **given)
        self.forms = Forms(self.quick.snapshot)
        self.filled = 0

    def hear(self, raw: bytes, now: float):
        """Let both hear *raw* at *now*, compare what they say and do, and return the reply."""
        said = self.quickly(raw, now)
        assert said == self.slowly(self.plain, raw, now)
        assert self.quick.leases._by_address == self.plain.leases._by_address
        assert self.quick.leases._offered == self.plain.leases._offered
        return said and said[0]

    def quickly(self, raw, now):
        filled = self.forms.fill(raw, self.quick.leases, now)
        if filled is None:
            return self.slowly(self.quick, raw, now, self.forms)
        self.filled += 1
        if filled.change is not None:
            self.quick.leases.apply(filled.change, now)
        return filled.data, filled.to, filled.change

    def slowly(self, site, raw, now, forms=None):
        try:
            request = packets.parse(raw)
        except Malformed:
            return None
        decided = dhcp.answer(request, None, site.snapshot, View(site.leases, now))
        if decided.change is not None:
            site.leases.apply(decided.change, now)
        if not isinstance(decided, Answer):
            return None, None, decided.change
        data = packets.build(decided.reply)
        if forms is not None:
            net = site.snapshot.locate(request)
            forms.learn(raw, request, net, reply=decided.reply, data=data, now=now)
        return data, decided.reply.to, decided.change


def some_packet(rng: Random) -> bytes:
    """Return what a client among a few may send: mostly well, now and then with a byte wrong."""
    n = rng.randrange(1, 9)
    options = [(50, address(f"10.{rng.choice((77, 88))}.0.{rng.randrange(48, 112)}"))]
    options += [(54, rng.choice((SERVER, SERVER, SERVER, OTHER)))]
    options += [(60, rng.choice(VENDORS)), (93, b"\0" + bytes((rng.choice((0, 7, 16)),))), UUID]
    options += [(61, rng.choice((b"\xffclient" + bytes((n,)), b"", b"\1" + bytes(6))))]
    options += [(57, rng.choice((b"\x05\xc0", b"\x02\x40"))), (55, bytes((1, 3, 6, 15, 66, 67)))]
    options += [(12, b"host%d" % n), (82, b"\1\2ab"), (77, b"iPXE"), (118, address("10.88.0.0"))]
    likely = {50: 0.6, 54: 0.6, 60: 0.7, 93: 0.8, 55: 0.9, 82: 0.05, 77: 0.05, 118: 0.05}
    kept = [each for each in options if rng.random() < likely.get(each[0], 0.3)]
    rng.shuffle(kept) if rng.random() < 0.2 else None
    kept += rng.sample(kept, 1) if kept and rng.random() < 0.05 else []
    raw = packet(
        rng.choice((1, 1, 3, 3, 3, 4, 7, 8)),
        kept,
        n=n,
        ciaddr=number("10.77.0.100") if rng.random() < 0.1 else 0,
        giaddr=RELAY if rng.random() < 0.4 else 0,
        flags=rng.choice((0, 0x8000)),
        secs=rng.randrange(3),
        file=b"\x3d\3abc\xff" if rng.random() < 0.1 else b"",
    )
    if rng.random() < 0.1:
        at = rng.randrange(len(raw))
        raw = raw[:at] + bytes((rng.randrange(256),)) + raw[at + 1 :]
    return raw[: -rng.randrange(1, 9)] if rng.random() < 0.03 else raw


@pytest.mark.parametrize("seed", range(20))
def test_a_form_answers_as_the_long_way_does(seed):
    rng = Random(seed)
    wide = {"pool_first": network().gateway - 206, "pool_last": network().gateway - 140}
    share = Share(seed % 2, 1 + seed % 2)
    twins = Twins(network(**wide), far(), reservations={mac(8): "10.77.0.60"}, share=share)
    known, now = [], 1000.0
    for _ in range(1500):
        raw = rng.choice(known) if known and rng.random() < 0.5 else some_packet(rng)
        known = [*known, raw][-60:]
        xid, who = rng.randbytes(4), bytes.fromhex(mac(rng.randrange(1, 9)).replace(":", ""))
        said = twins.hear(raw[:4] + xid + raw[8:28] + who + raw[34:], now)
        if said and said[242] == Kind.OFFER:
            known.append(packet(3, [(54, SERVER), (50, said[16:20]), UUID], n=who[-1]))
            twins.hear(known[-1], now)
        now += rng.choice((0.0, 0.1, 5.0, 200.0))

    assert twins.filled > 100


@pytest.fixture
def twins():
    return Twins(network(), reservations={mac(3): "10.77.0.60"})


def discover(n, options=(), **fields):
    return packet(1, [(60, VENDORS[0]), (93, b"\0\7"), *options], n=n, **fields)


def after(twins, first, second):
    """Return how many were filled in when *first* was heard, and then *second*."""
    twins.hear(first, 1000.0)
    twins.hear(second, 1000.0)
    return twins.filled


def test_the_second_of_a_kind_is_filled_in(twins):
    assert after(twins, discover(1), discover(2)) == 1


def test_clients_with_values_of_their_own_share_a_form(twins):
    first = discover(1, [(61, b"\xff\1\2\3"), (97, b"\0" + b"a" * 16), (12, b"one")])
    second = discover(2, [(61, b"\xff\4\5\6"), (97, b"\0" + b"b" * 16), (12, b"two")])

    assert after(twins, first, second) == 1


def test_a_machine_with_a_plan_is_never_answered_as_a_stranger(twins):
    assert after(twins, discover(1), discover(3)) == 0


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ([(77, b"iPXE")], {}),  # its script is under its MAC
        ([(175, b"\1")], {}),
        ([(82, b"\1\1x")], {}),  # may name another network, or a port
        ([(52, b"\1")], {}),  # options in other fields
        ([(61, b"")], {}),
        ([(12, b"a"), (12, b"b")], {}),  # joined by readers
        ([], {"ciaddr": number("10.77.0.100")}),
    ],
    ids=str,
)
def test_what_depends_on_more_than_the_client_is_answered_the_long_way(twins, options, fields):
    assert after(twins, discover(1, options, **fields), discover(2, options, **fields)) == 0


def test_a_network_with_another_agent_is_answered_the_long_way():
    """Whose turn it is depends on the client and on how long it has waited."""
    ours = whole(network(pool_last=network().pool_first + 3))
    twins = Twins(network(), ranges=[ours])

    assert after(twins, discover(1, secs=9), discover(2, secs=9)) == 0


def test_who_invents_kinds_of_clients_takes_no_memory(twins):
    for number_of_kind in range(3 * MOST):
        raw = discover(1, [(200, number_of_kind.to_bytes(4, "big"))])
        twins.hear(raw, 1000.0 + number_of_kind * AGAIN_S / (2 * MOST))

    assert sum(len(cut.forms) for cuts in twins.forms._cuts.values() for cut in cuts) <= MOST


def test_what_is_no_dhcp_fits_no_form(twins):
    good = discover(2)
    twins.hear(discover(1), 1000.0)
    for wrong in (b"\2" + good[1:], good.replace(COOKIE, b"\0\0\0\0"), good[:2] + b"\7" + good[3:]):
        twins.hear(wrong, 1000.0)

    assert twins.filled == 0
