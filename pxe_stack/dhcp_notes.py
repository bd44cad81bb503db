"""What DHCP writes down: rows of timelines, discoveries, and counts of all that is worth no row.

Each decision is a row or a counted reason.  Rows come in one transaction for each batch of packets,
and their rate is limited: a flood makes numbers grow, not files.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from models.observations import Observation, Seen, Source
from pxe_stack.canary_mark import is_canary
from pxe_stack.dhcp_reply import Ignored, Why
from pxe_stack.directory import Known
from pxe_stack.packets import ANY, Kind, Option, Reply, Request
from pxe_stack.tally import Tally

FLUSH_S: Final = 10.0
log = structlog.get_logger()

SAME_S: Final = 1.0
"""An answer that is given again within this time is counted, and makes no other row."""
DISCOVERY_S: Final = 60.0
"""How often one unknown machine is reported at most."""
MOST_DISCOVERED: Final = 4096
"""Unknown machines that are watched at once; a flood of more of them is counted."""

_ANSWERED: Final = {
    Kind.OFFER: Seen.DHCP_OFFERED,
    Kind.ACK: Seen.DHCP_ACKED,
    Kind.NAK: Seen.DHCP_REFUSED,
}
_DISCOVERED: Final = Seen.MACHINE_DISCOVERED.value
_IGNORED: Final = {why: f"{Seen.DHCP_IGNORED.value} {why.value}" for why in Why}
_STRANGERS: Final = {kind: f"{seen.value} stranger" for kind, seen in _ANSWERED.items()}


class Paper(Protocol):
    """Where notes go."""

    def append_all(self, seen: Sequence[Observation]) -> None: ...
    def count(self, counts: Mapping[str, int]) -> None: ...
    def flush(self) -> None: ...


class Notes:
    """The observations of one batch of packets, for *journal*."""

    def __init__(self, journal: Paper) -> None:
        self._journal = journal
        self._rows: list[Observation] = []
        self._flushed = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._said = [0] * (max(Kind) + 1)
        self._answers = Tally(window_s=SAME_S, most_keys=8192)
        self._found = Tally(window_s=DISCOVERY_S, most_keys=MOST_DISCOVERED)
        self._unsent = Tally()
        self._ignored = Tally()

    def malformed(self, why: str) -> None:
        held = self._silent(Why.MALFORMED, None, None)
        if held is None:
            return
        data = {"why": Why.MALFORMED.value, "detail": why, **held}
        self._rows.append(_row(Seen.DHCP_IGNORED, time.time(), None, None, data))

    def ignored(self, request: Request, known: Known | None, decided: Ignored) -> None:
        if known is None and is_canary(request.mac):
            self._counts[f"dhcp-ignored canary {decided.why.value}"] += 1
            return
        if decided.why is Why.ANOTHERS_ADDRESS:
            self._heard(request, known, decided.detail)
            return
        held = self._silent(decided.why, request.mac, known)
        if held is None:
            return
        data = {**_asked(request), "why": decided.why.value, "detail": decided.detail, **held}
        row = _row(Seen.DHCP_IGNORED, time.time(), known, request.mac, data)
        self._rows.append(row)

    def _silent(self, why: Why, mac: str | None, known: Known | None) -> dict[str, int] | None:
        """Count a packet that got no answer.  None: it makes no row; else what the row says of it.

        The journal counts rows of this kind itself, so here are counted those that make none.
        """
        label = _IGNORED[why]
        run = None if known is None else known.plan.run
        held = self._ignored.take((mac, run, why.value), label, time.monotonic())
        if held is None:
            return None
        self._ignored.counts[label] -= 1
        return {"held_back": held} if held else {}

    def _heard(self, request: Request, known: Known | None, address: str) -> None:
        server = request.address(Option.SERVER_ID) or ""
        data = {**_asked(request), "address": address, "server": server}
        self._rows.append(_row(Seen.DHCP_HEARD, time.time(), known, request.mac, data))

    def answered(self, request: Request, known: Known | None, reply: Reply, begun: float) -> None:
        """Note *reply*, which left at this moment; *begun* is of the clock perf_counter."""
        if known is None:  # strangers come in any number, and have no timeline
            self.said(reply.kind)
            return
        kind = _ANSWERED[reply.kind]
        key = (kind, request.mac, reply.yiaddr, reply.file)
        now = time.perf_counter()
        if self._answers.take(key, kind.value, now) is None:
            return
        ms = round((now - begun) * 1000, 3)
        data = {**_asked(request), **_told(request, reply), "ms": ms}
        self._rows.append(_row(kind, time.time(), known, request.mac, data))

    def said(self, kind: Kind) -> None:
        """Count what a stranger was answered."""
        self._said[kind] += 1

    def unsent(self, to: str, exc: OSError, count: int) -> None:
        """Count replies that could not leave; the first of each kind in a minute is logged."""
        reason = exc.strerror or "unknown"
        now = time.monotonic()
        for _ in range(count):
            if self._unsent.take(reason, "dhcp unsent", now) is not None:
                log.warning("dhcp.unsent", to=to, reason=reason)

    def is_new(self, mac: str) -> bool:
        """Count that a machine asks to boot which nobody knows; whether that is to be reported."""
        return self._found.take(mac, _DISCOVERED, time.monotonic()) is not None

    def discovered(self, request: Request, address: str) -> None:
        """Note that a machine which nobody knows asks to boot, and what *address* it was offered.

        ANY: none.
        """
        kind = Seen.MACHINE_DISCOVERED
        arch = request.options.get(Option.ARCHITECTURE, b"")[:2]
        data = {
            "mac": request.mac,
            "uuid": machine_id(request),
            "arch": int.from_bytes(arch, "big") if len(arch) == 2 else None,
            "vendor_class": request.text(Option.VENDOR_CLASS)[:64],
            "relay": "" if request.giaddr == ANY else request.giaddr,
            "address": "" if address == ANY else address,
        }
        self._rows.append(_row(kind, time.time(), None, request.mac, data))

    def write(self) -> None:
        """Hand the rows of this batch to the journal."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._journal.append_all(rows)

    def flush_now_and_then(self) -> None:
        """Write the counts down when the last time is FLUSH_S ago."""
        now = time.monotonic()
        if now - self._flushed >= FLUSH_S:
            self._flushed = now
            self.flush()

    def flush(self) -> None:
        """Write down the counts too: what strangers did since, and what was held back."""
        for tally in (self._answers, self._found, self._unsent, self._ignored):
            self._journal.count(tally.counts)
            tally.counts.clear()
        self._counts.update({label: self._said[kind] for kind, label in _STRANGERS.items()})
        self._said = [0] * len(self._said)
        self._journal.count(+self._counts)
        self._counts.clear()
        self._journal.flush()


def machine_id(request: Request) -> str | None:
    """Return the SMBIOS UUID in option 97 (RFC 4578 §2.3), None without a usable one.

    Firmware sends it as SMBIOS holds it: the first three fields are little-endian.
    """
    value = request.options.get(Option.MACHINE_ID, b"")
    if len(value) != 17 or value[0] != 0 or len(set(value[1:])) == 1:
        return None
    return str(UUID(bytes_le=value[1:]))


def masked(url: str) -> str:
    """Return *url* without the token in it."""
    head, mark, tail = url.partition("/boot/")
    run, _, rest = tail.partition("/")
    return f"{head}{mark}{run}/***/{rest.partition('/')[2]}" if mark else url


def _asked(request: Request) -> dict[str, Any]:
    return {"xid": f"{request.xid:08x}", "asked": request.kind.name.lower()}


def _told(request: Request, reply: Reply) -> dict[str, Any]:
    arch = request.options.get(Option.ARCHITECTURE, b"")[:2]
    return {
        "address": reply.yiaddr,
        "to": reply.to[0],
        "file": masked(reply.boot_file),
        "arch": int.from_bytes(arch, "big") if arch else None,
        "vendor_class": request.text(Option.VENDOR_CLASS)[:64],
        "user_class": request.text(Option.USER_CLASS)[:64],
    }


def _row(
    kind: Seen, at: float, known: Known | None, mac: str | None, data: dict[str, Any]
) -> Observation:
    plan = None if known is None else known.plan
    return Observation(
        kind=kind,
        source=Source.DHCP,
        at=at,
        mac=mac,
        machine=None if plan is None else plan.machine,
        run=None if plan is None else plan.run,
        data=data,
    )
