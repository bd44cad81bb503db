"""One TFTP download as a state machine, sans I/O (RFC 1350, 2347, 2348, 2349, 7440).

Block numbers are counted without bound here and cut to 16 bits on the wire, so that a file of any
size can be sent.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

SMALLEST_BLOCK: Final = 8
LARGEST_BLOCK: Final = 1468
"""What fits in one Ethernet frame: 1500 less 20 (IP), 8 (UDP) and 4 (TFTP).  RFC 2348 allows more,
and lets us answer with less."""
PLAIN_BLOCK: Final = 512
LARGEST_WINDOW: Final = 64
TRIES: Final = 6
FIRST_TIMEOUT_S: Final = 1.0
LONGEST_TIMEOUT_S: Final = 8.0
REPEAT_AFTER_S: Final = 0.02
"""A repeated ACK sooner than this after a window was sent is an echo of the same gap."""

_HEADER: Final = struct.Struct("!HH")
_DATA: Final = 3


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

    Only what was asked is answered; an unusable value is left out, as RFC 2347 has it for
    options that the server does not take.
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


@dataclass(slots=True)
class Transfer:
    """Where one download stands: *acked* blocks of *total* are confirmed.  Times in seconds."""

    data: memoryview
    agreed: Agreed
    begun: float
    sent_at: float = 0.0
    confirmed: bool = False
    acked: int = 0
    in_flight: int = 0
    tries: int = 0
    resent: int = 0

    @property
    def total(self) -> int:
        """How many blocks the file has: the last is short, and may be empty."""
        return len(self.data) // self.agreed.blksize + 1

    @property
    def done(self) -> bool:
        return self.acked >= self.total

    @property
    def awaits_oack(self) -> bool:
        """Whether the client has yet to confirm the options, by an ACK of block 0."""
        return bool(self.agreed.answer) and not self.confirmed

    @property
    def due(self) -> float:
        """When to send again, if nothing comes."""
        if self.agreed.timeout_s is not None:
            return self.sent_at + self.agreed.timeout_s
        return self.sent_at + min(FIRST_TIMEOUT_S * (1 << self.tries), LONGEST_TIMEOUT_S)

    def window(self, now: float) -> Iterator[tuple[bytes, memoryview]]:
        """Yield header and payload of each block of the window that follows what is acked."""
        size, first = self.agreed.blksize, self.acked
        last = min(first + self.agreed.window, self.total)
        self.in_flight, self.sent_at = last - first, now
        for block in range(first, last):
            header = _HEADER.pack(_DATA, (block + 1) & 0xFFFF)
            yield header, self.data[block * size : (block + 1) * size]

    def on_ack(self, block: int, now: float) -> bool:
        """Take an ACK of the 16-bit *block*; whether to send the window that follows."""
        step = (block - self.acked) & 0xFFFF
        if self.awaits_oack:
            self.confirmed = step == 0
            return self.confirmed
        if step > self.in_flight:
            return False  # of a block that was never sent, or long ago
        if step == 0:
            # With a window of one, answering would double every later packet (RFC 1123 §4.2.3.1).
            return self.agreed.window > 1 and now - self.sent_at > REPEAT_AFTER_S
        self.acked += step
        self.in_flight -= step
        self.tries = 0
        return not self.done

    def on_silence(self) -> bool:
        """Count a try without an answer; whether to go on."""
        self.tries += 1
        self.resent += 1
        return self.tries < TRIES
