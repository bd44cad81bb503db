"""TFTP beside tftpd-hpa, atftpd and dnsmasq: one wire, one client, medians of rounds in turn.

Bounds, as throughput to the peer's: 1 MB to one client block by block >= 0.8 of tftpd-hpa; to 50
clients in windows of 16 >= 1.3 of atftpd (tftpd-hpa has no windows); 1,000 clients at once all
served, with hardly a packet sent again, in no more than tftpd-hpa's time on the same core.
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from tests.bench.first_light import say
from tests.bench.tftp_load import Order, Result
from tests.bench.tftp_peers import ATFTPD, DNSMASQ, HPA, OURS, Peer, running
from tests.pxe_stack import lab as labs
from tests.pxe_stack.lab import ROOT, Lab

NAME, SIZE = "snponly.efi", 1_048_000
WHOLE_BLOCKS = {"blksize": "1468"}
OF_HPA, OF_ATFTPD, AT_ONCE = 0.8, 1.3, 1_000
MOST_REPEATED = 0.01
"""Of all packets: more is the beginning of a storm."""


@dataclass(frozen=True)
class Case:
    """*rounds* times, *clients* at once get the file from each of *peers*, on *cores*."""

    title: str
    clients: int
    options: Mapping[str, str]
    peers: Sequence[str]
    rounds: int
    cores: frozenset[int]


TWO_CORES, ONE_CORE = frozenset({0, 1}), frozenset({0})
IN_WINDOWS = WHOLE_BLOCKS | {"windowsize": "16"}
ONE = Case("1 client, window 1", 1, WHOLE_BLOCKS, (OURS, HPA, ATFTPD, DNSMASQ), 9, TWO_CORES)
FIFTY = Case("50 clients, window 16", 50, IN_WINDOWS, (OURS, ATFTPD), 9, TWO_CORES)
ALL = Case(f"{AT_ONCE} clients, window 1", AT_ONCE, WHOLE_BLOCKS, (OURS, HPA), 1, ONE_CORE)
ALL_IN_WINDOWS = Case(f"{AT_ONCE} clients, window 16", AT_ONCE, IN_WINDOWS, (OURS,), 1, ONE_CORE)


def measure(folder: Path) -> bool:
    """Print the figures; whether every bound holds."""
    labs.sweep()
    files = folder / "files"
    files.mkdir(parents=True)
    (files / NAME).write_bytes(random.Random(1350).randbytes(SIZE))
    with labs.lab(folder, 90) as lab:
        _address_clients(lab)
        with running(lab, files) as peers:
            return _figures(lab, peers)


def _figures(lab: Lab, peers: Mapping[str, Peer]) -> bool:
    _memory(lab, peers[OURS])
    one, fifty, everyone = (_taken(lab, peers, case) for case in (ONE, FIFTY, ALL))
    bounds = (
        _bound("1 client, of tftpd-hpa", _rate(one, HPA), OF_HPA),
        _bound("50 clients in windows, of atftpd", _rate(fifty, ATFTPD), OF_ATFTPD),
        _bound(f"{AT_ONCE} clients, of tftpd-hpa", _rate(everyone, HPA), 1.0),
        _whole(everyone[OURS]),
        _whole(_taken(lab, peers, ALL_IN_WINDOWS)[OURS]),
    )
    return all(bounds)


def _taken(lab: Lab, peers: Mapping[str, Peer], case: Case) -> dict[str, list[Result]]:
    """Return the results of each peer, taken in turn, and print them."""
    results: dict[str, list[Result]] = {name: [] for name in case.peers}
    for _ in range(case.rounds):
        for name in case.peers:
            peers[name].pin(set(case.cores))
            results[name].append(_round(lab, peers[name], case))
    say(f"tftp: {case.title}, {SIZE / 1e6:.1f} MB each, {case.rounds} rounds, in turn")
    for name, taken in results.items():
        failed, again = sum(each.failed for each in taken), sum(map(_again, taken))
        ms = 1000 * median(map(_seconds, taken))
        say(f"  {name:<12}{ms:9.1f} ms  {failed} failed, {again} packets again")
    return results


def _seconds(result: Result) -> float:
    return result.ended - result.began


def _again(result: Result) -> int:
    return result.repeated + result.resent


def _rate(results: Mapping[str, list[Result]], peer: str) -> float:
    """Return our throughput as a share of that of *peer*: the median of each round's."""
    rounds = zip(results[peer], results[OURS], strict=True)
    return median(_seconds(theirs) / _seconds(ours) for theirs, ours in rounds)


def _bound(what: str, share: float, least: float) -> bool:
    good = share >= least
    say(f"  {what:<36}{share:6.2f}  (>= {least})  {'ok' if good else 'BROKEN'}")
    return good


def _whole(results: Sequence[Result]) -> bool:
    failed = sum(each.failed for each in results)
    again = sum(map(_again, results))
    share = again / (sum(each.complete for each in results) * (SIZE // 1468 + 1))
    good = not failed and share <= MOST_REPEATED
    mark = "ok" if good else "BROKEN"
    say(f"  {'all served, packets sent again':<36}{share:6.1%}  (<= {MOST_REPEATED:.0%})  {mark}")
    return good


def _round(lab: Lab, peer: Peer, case: Case) -> Result:
    """Have *case* done once by two processes, on the cores that the servers leave."""
    halves = [case.clients - case.clients // 2, case.clients // 2]
    with ExitStack() as stack:
        loads = [
            stack.enter_context(_load(lab, core, _order(peer, clients, case.options, core)))
            for core, clients in zip((2, 3), halves, strict=True)
            if clients
        ]
        for load in loads:
            _tell(load)
        return _joined([Result(**json.loads(load.stdout.readline())) for load in loads])


def _order(peer: Peer, clients: int, options: Mapping[str, str], core: int) -> Order:
    return Order(
        server=peer.address,
        name=NAME,
        size=SIZE,
        clients=clients,
        first=f"10.78.{core * 16}.1",
        options=dict(options),
    )


@contextmanager
def _load(lab: Lab, core: int, order: Order) -> Iterator[subprocess.Popen[str]]:
    """A process on *core* that has its sockets, and begins when it is told."""
    command = [
        *("ip", "netns", "exec", lab.clients, "taskset", "--cpu-list", str(core), sys.executable),
        *("-m", "tests.bench.tftp_load", json.dumps(asdict(order))),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as load:
        try:
            assert load.stdout.readline() == "ready\n"
            yield load
        finally:
            load.kill()


def _tell(load: subprocess.Popen[str]) -> None:
    load.stdin.write("go\n")
    load.stdin.flush()


def _joined(results: Sequence[Result]) -> Result:
    return Result(
        complete=sum(each.complete for each in results),
        failed=sum(each.failed for each in results),
        began=min(each.began for each in results),
        ended=max(each.ended for each in results),
        resent=sum(each.resent for each in results),
        repeated=sum(each.repeated for each in results),
    )


def _memory(lab: Lab, ours: Peer) -> None:
    """Print what an open transfer costs, the kernel's part left out."""
    before = ours.private_bytes()
    order = replace(_order(ours, AT_ONCE, WHOLE_BLOCKS, 2), hold=True)
    with _load(lab, 2, order) as load:
        _tell(load)
        load.stdout.readline()
        each = (ours.private_bytes() - before) / AT_ONCE
    say(f"tftp: an open transfer has {each / 1024:.1f} KiB, beside its sockets in the kernel")


def _address_clients(lab: Lab) -> None:
    """Give the clients a network of addresses behind one: the servers have one neighbour."""
    lab.give_address()
    labs.ip("-n", lab.clients, "route", "add", "local", "10.78.0.0/16", "dev", "lo")
    labs.ip("-n", lab.servers, "route", "add", "10.78.0.0/16", "via", "10.77.0.21")
