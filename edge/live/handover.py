"""How the edge passes a caller's connection on to the events process, over a Unix socket.

    edge                                      events
    the ask, and the connection  ──────▶      is there room?
                                 ◀──────      ROOM, or why there is none
    lets go of the connection
    GO                           ──────▶      writes the head of the answer, then streams

Only one of the two ever writes to the connection: an edge that hears nothing in time, or dies in
between, never says GO, and the events process then drops its copy unwritten.  A message is whole or
not there (SOCK_SEQPACKET), and descriptors travel beside it (SCM_RIGHTS): unix(7).
"""

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

ANSWER_S: Final = 2.0
"""Seconds within which the events process says whether there is room."""

ROOM: Final = b"room"
GO: Final = b"go"
FIGURES: Final = b"figures"
"""Asks for counters, as JSON, instead of passing a connection."""

LONGEST: Final = 200_000
"""Bytes of the longest message: what a socket's buffer takes at once."""


class NotTaken(Exception):
    """The connection is still the edge's; says why."""


class Form(StrEnum):
    """What a stream tells."""

    HINTS = "hints"
    """Which machines changed: a page reads again."""
    EVENTS = "events"
    """What happened, as CloudEvents."""
    HOSTS = "hosts"
    """What happens to hosts: state, operation, activity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the edge says of a connection; the caller has proved himself and may read events.

    Attributes:
        head: the answer's status line and headers, up to the empty line.
        form: what is to be told.
        subject: who asks: streams are counted for each.
        sites: ids of the sites that he sees; None: all.
        session: hash of the browser's session that he is known by.
        token: id of the API token that he is known by.
        until: Unix time from which his word is good no more; None: while the two above are.
        after: number of the last event that he was told; None: he begins.
        machine: tell of this machine alone.
        site: tell of this site alone.
        kind: tell of this kind alone.
    """

    head: str
    form: Form
    subject: str
    sites: tuple[str, ...] | None = None
    session: str = ""
    token: str = ""
    until: float | None = None
    after: int | None = None
    machine: str | None = None
    site: str | None = None
    kind: str | None = None

    def encoded(self) -> bytes:
        """Return the message that says this."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, message: bytes) -> Self:
        """Read a message.  Raises ValueError, TypeError, AttributeError."""
        told: dict[str, Any] = json.loads(message)
        sites = told.pop("sites", None)
        form = Form(told.pop("form", ""))
        made = cls(form=form, sites=None if sites is None else tuple(sites), **told)
        for each in (*(made.sites or ()), made.machine, made.site):
            if each is not None:
                UUID(each)  # or it is no ask
        return made


def pass_on(path: Path, line: socket.socket, ask: Ask) -> None:
    """Give *line* away.  Its descriptor is afterwards a closed end, for whoever still writes to it.

    Raises NotTaken: nothing was written, and *line* is as it was.
    """
    try:
        with _asking(path) as door:
            socket.send_fds(door, [ask.encoded()], [line.fileno()])
            if (told := door.recv(LONGEST)) != ROOM:
                raise NotTaken(told.decode() or "the events process hung up")
            _let_go(line)
            door.send(GO)
    except OSError as exc:
        raise NotTaken(f"the events process does not answer: {exc.strerror or exc}") from exc


def figures(path: Path) -> dict[str, Any]:
    """Return the counters of the events process.  Raises NotTaken."""
    try:
        with _asking(path) as door:
            door.send(FIGURES)
            return dict(json.loads(door.recv(LONGEST)))
    except (OSError, ValueError) as exc:
        raise NotTaken(f"the events process does not answer: {exc}") from exc


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield a name of *path* for bind and connect, however long it is: theirs ends at 107 bytes."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def same_user(peer: socket.socket) -> bool:
    """Whether the other end of a Unix socket is a process of our own user (SO_PEERCRED)."""
    told = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", told)
    return bool(user == os.geteuid())


@contextmanager
def _asking(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door, reachable(path) as name:
        door.settimeout(ANSWER_S)
        door.connect(name)
        if not same_user(door):
            raise NotTaken("another user listens where the events process is to")
        yield door


def _let_go(line: socket.socket) -> None:
    """Have the descriptor of *line* be that of a pipe that nobody reads.

    gunicorn then fails to write its own answer, as to any caller who left, and closes it.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), line.fileno(), inheritable=False)
