"""One TFTP download as a state machine, sans I/O (RFC 1350, 2347, 2348, 2349, 7440).

Blocks are counted without bound here; ACKs carry the lower 16 bits of a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

SMALLEST_BLOCK: Final = 8
LARGEST_BLOCK: Final = 1468
"""What fits in one Ethernet frame: 1500 less 20 (IP), 8 (UDP) and 4 (TFTP).  RFC 2348 allows more,
and lets us answer with less."""
PLAIN_BLOCK: Final = 512
LARGEST_WINDOW: Final = 64

FIRST_TIMEOUT_S: Final = 1.0
LONGEST_TIMEOUT_S: Final = 8.0
TRIES: Final = 6
UNPROVEN_TRIES: Final = 4
"""Sendings to a client that has confirmed nothing: whoever is named there may not have asked."""
IDLE_S: Final = 60.0
"""Silence that ends a transfer, whatever timeout was agreed on."""
WHOLE_S: Final = 900.0
"""The longest that a transfer may take: 64 MiB in plain blocks, at 6 ms for each."""

CREDIT: Final = 8.0
GAP_COST: Final = 1.0
REPEAT_COST: Final = 2.0
WHOLE_EARNS: Final = 1.0
PART_EARNS: Final = 1 / 16
"""To send a window again for an ACK alone takes credit, which windows earn that arrive whole.

A client that answers repeated blocks by repeated ACKs would else have everything sent several times
to the end of the file, for one packet that came late (RFC 1123 §4.2.3.1; seen with atftp).
"""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What client and server agreed on; *answer* is the OACK, empty when none is due.

    *timeout_s* is None unless the client asked for one, in seconds.
    """

    blksize: int = PLAIN_BLOCK
    window: int = 1
    timeout_s: float | None = None
    answer: Mapping[str, str] = field(default_factory=dict)


def agree(asked: Mapping[str, str], size: int) -> Agreed:
    """Answer the options of a request for *size* bytes; *asked* has lower-case names.

    Only what was asked is answered.  An option that is not known, or whose value is none that its
    RFC allows, is left out, "as if it were never requested" (RFC 2347): the client goes on without
    it.  blksize and windowsize may be answered with less; timeout is taken as it is or not at all.
    """
    blksize = _number(asked, "blksize", SMALLEST_BLOCK, 65464)
    window = _number(asked, "windowsize", 1, 65535)
    timeout = _number(asked, "timeout", 1, 255)
    answer: dict[str, str] = {}
    if blksize is not None:
        blksize = min(blksize, LARGEST_BLOCK)
        answer["blksize"] = str(blksize)
    if window is not None:
        window = min(window, LARGEST_WINDOW)
        answer["windowsize"] = str(window)
    if timeout is not None:
        answer["timeout"] = str(timeout)
    if "tsize" in asked:
        answer["tsize"] = str(size)
    return Agreed(blksize or PLAIN_BLOCK, window or 1, timeout, answer)


def _number(asked: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = asked.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    number = int(text)
    return number if least <= number <= most else None


class Next(Enum):
    """What an ACK, or silence, calls for."""

    NOTHING = "nothing"
    SEND = "send"
    DONE = "done"
    GIVE_UP = "give-up"
    TOO_SLOW = "too-slow"


@dataclass(slots=True, kw_only=True)
class Transfer:
    """Where one download stands: *acked* blocks of *total* are confirmed.  Times in seconds."""

    agreed: Agreed
    total: int
    begun: float
    awaits_oack: bool = False
    """Whether the client has yet to confirm the options, by an ACK of block 0."""
    proven: bool = False
    """Whether the client has confirmed anything: until then it may be an invented one."""
    acked: int = 0
    sent_up_to: int = 0
    sent_at: float = 0.0
    due: float = 0.0
    """When to send again, if nothing comes."""
    progress_at: float = 0.0
    round_trip_s: float = IDLE_S
    """The shortest that was seen."""
    credit: float = CREDIT
    tries: int = 0
    resent: int = 0
    """Blocks that were sent once more."""

    def __post_init__(self) -> None:
        self.awaits_oack = bool(self.agreed.answer)
        self.progress_at = self.begun

    @property
    def all_sent(self) -> bool:
        """Whether the last block is on its way."""
        return self.sent_up_to == self.total

    def window(self, now: float) -> tuple[int, int]:
        """Return the first block that is to be sent now, and the end of the window."""
        first, last = self.sent_up_to, min(self.acked + self.agreed.window, self.total)
        self.sent_up_to = last
        self.sent(now)
        return first, last

    def sent(self, now: float) -> None:
        """Count from *now* how long the client has to answer."""
        wait = self.agreed.timeout_s
        if wait is None:
            wait = min(FIRST_TIMEOUT_S * (1 << self.tries), LONGEST_TIMEOUT_S)
        self.sent_at = now
        self.due = min(now + wait, self.progress_at + IDLE_S, self.begun + WHOLE_S)

    def on_ack(self, block: int, now: float) -> Next:
        """Take an ACK of the 16-bit *block*."""
        step = (block - self.acked) & 0xFFFF
        if step == 0:
            return self._on_repeat(now)
        gap = self.sent_up_to - self.acked - step
        if gap < 0:
            return Next.NOTHING  # of a block that was never sent, or long ago
        self.acked += step
        self._progressed(now)
        if gap:
            self._on_gap()
        else:
            self.credit = min(self.credit + WHOLE_EARNS, CREDIT)
        return Next.DONE if self.acked >= self.total else Next.SEND

    def on_silence(self, now: float) -> Next:
        """Count a sending that was not answered when *due*."""
        if now >= self.begun + WHOLE_S:
            return Next.TOO_SLOW
        self.tries += 1
        most = TRIES if self.proven else UNPROVEN_TRIES
        if self.tries >= most or now >= self.progress_at + IDLE_S:
            return Next.GIVE_UP
        self._go_back()
        return Next.SEND

    def _on_gap(self) -> None:
        """Begin the next window where this one was interrupted (RFC 7440 §4), or go on after it.

        A client whose windows end elsewhere than ours interrupts each of them, and misses nothing.
        """
        if self.credit >= GAP_COST:
            self.credit -= GAP_COST
            self._go_back()
        else:
            self.credit += PART_EARNS

    def _on_repeat(self, now: float) -> Next:
        """Take an ACK of the block that was confirmed last: of 0, perhaps for the OACK."""
        if self.awaits_oack:
            self.awaits_oack = False
            self._progressed(now)
            return Next.SEND
        # It tells of a gap (RFC 7440) where it can know of what was sent last; with a window of
        # one it can only be an echo, and answering would double every later packet.
        echo = now - self.sent_at < self.round_trip_s / 2
        if self.agreed.window == 1 or echo or self.credit < REPEAT_COST:
            return Next.NOTHING
        self.credit -= REPEAT_COST
        self._go_back()
        return Next.SEND

    def _go_back(self) -> None:
        self.resent += self.sent_up_to - self.acked
        self.sent_up_to = self.acked

    def _progressed(self, now: float) -> None:
        self.proven = True
        self.round_trip_s = min(self.round_trip_s, now - self.sent_at)
        self.progress_at = now
        self.tries = 0
