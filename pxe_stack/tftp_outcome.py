"""How TFTP requests end: closed sets of reasons, since each is a counter's label."""

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Told in the timeline, at most once a minute for each client."""

    MALFORMED = "malformed"
    BAD_MODE = "no-such-mode"
    BAD_OPTIONS = "bad-options"
    READ_ONLY = "read-only"
    NO_SUCH_FILE = "no-such-file"
    UNREADABLE = "unreadable"
    CLIENT_ERROR = "client-error"
    CLIENT_GONE = "client-gone"
    SUPERSEDED = "superseded"
    NO_ANSWER = "no-answer"
    TOO_SLOW = "too-slow"
    CANNOT_SEND = "cannot-send"
    FAILED = "failed"
    STOPPING = "server-stops"


class Counted(StrEnum):
    """Counted only: each may come with every packet of a flood."""

    REPEATED = "repeated"
    TOO_MANY = "too-many"
    FULL = "full"
    BROADCAST = "broadcast"
    STRAY = "stray"
    """A DATA, ACK or OACK that belongs to no transfer here."""
    IGNORED = "ignored"
    """An ERROR, which nobody answers, or what is no packet of TFTP."""
    PROBED = "probed"
    EVICTED = "evicted"
    UNANSWERABLE = "unanswerable"
    ERROR_HELD_BACK = "error-held-back"
    CANARY = "canary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a request ended: *why* is None for a file that came whole.  Times in seconds."""

    client: str
    name: str
    size: int = 0
    blocks: int = 0
    seconds: float = 0.0
    blksize: int = 0
    window: int = 0
    resent: int = 0
    why: Why | None = None
    detail: str = ""
