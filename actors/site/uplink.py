"""The agent's words to control: registration, heartbeats, and the journal in its order.

Rule 1: a row is forgotten only after the broker confirmed it; it may go twice, and is never lost.
Rule 2: while the broker is away the journal is the spool; nothing else waits for it.
Rule 3: what somebody waits for is said twice: by the way of the renewals at once, for the queue of
        reports may be long, even by another site's doing; and in its turn.
"""

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from actors.broker_contract import Publisher, QueueError
from actors.site.contact import Registration, Spool
from actors.site.identity import Sign
from actors.site.leases import Leases
from models.messages import ACTORS, Actor, Envelope, Kind, encoded, sealed
from pxe_stack.store import BELL, JournalStore, Row

HEARTBEAT_S: Final = 10.0
LOOK_S: Final = 1.0
"""How long a lost ring of the bell can delay a report."""

DOUBT_S: Final = 30.0
"""Least seconds between two registrations that only ask what time it is."""

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 2.0

BATCH_ROWS: Final = 200
BATCH_BYTES: Final = 160 * 1024
"""Of one message; the rest of its limit is for the envelope and for escapes."""

SHORT: Final = 512
"""Characters of a value that stays when a row is too large for any message."""

UNANSWERED: Final = (
    "control has not answered: is this site known there, and SPROUT_TLS_ENABLED the same?  "
    "See: sprout sites list, sprout dead-letters list"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Whom the agent speaks for; *sign* proves who it is, where TLS is spoken."""

    site: UUID
    agent: UUID
    key: bytes = field(repr=False)
    sign: Sign | None = None

    def message(
        self, kind: Kind, body: Mapping[str, Any], *, urgent: bool = False
    ) -> tuple[str, bytes]:
        """Return the queue and the signed and encoded message for control.

        Raises Unconfirmed when it cannot be proved who says it.
        """
        envelope = Envelope(kind=kind, site=self.site, agent=self.agent, body=body)
        message = sealed(envelope, self.key)
        kwargs = {"message": self.sign(message) if self.sign else message}
        actor = Actor.RENEW if urgent else Actor.REPORT
        queue = ACTORS[actor].queue
        return queue, encoded(actor, queue, kwargs, now=time.time())


class Uplink:
    """One thread that publishes; woken by the bell of the journal."""

    def __init__(
        self,
        voice: Voice,
        journal: JournalStore,
        publisher: Publisher,
        leases: Leases,
        *,
        greeting: Callable[[], Mapping[str, Any]],
        pulse: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._voice = voice
        self._journal = journal
        self._publisher = publisher
        self._greeting = greeting
        self._pulse = pulse
        self._leases = leases
        self._registration = Registration()
        self._spool = Spool()
        self._hurried = 0
        self._doubted_at = float("-inf")
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._beat_at = 0.0
        self._quiet_until = 0.0
        self._pause = 0.0
        leases.wake = partial(os.eventfd_write, self._wake, 1)

    def greet(self) -> None:
        """Register at the next turn: control answers with everything that it has for the site."""
        self._registration.due = True
        os.eventfd_write(self._wake, 1)

    def meet(self) -> None:
        """Register, unless that is under way.

        For whenever the agent begins to hear control, and whenever it cannot: control makes the
        agent's queue when it answers, and its answer waits there.
        """
        if not self._registration.under_way:
            self.greet()

    def doubt(self) -> None:
        """Register, if that was not done lately: what control says seems to be of another time."""
        if time.monotonic() >= self._doubted_at + DOUBT_S:
            self._doubted_at = time.monotonic()
            self.greet()

    def heard(self) -> None:
        """Control has spoken: it knows this site."""
        self._registration.answer()

    def run(self, directory: Path, stop: threading.Event) -> None:
        """Publish until *stop* is set; the bell is a socket in *directory*."""
        with _bell(directory / BELL) as bell, selectors.DefaultSelector() as selector:
            selector.register(bell, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not stop.is_set():
                self.turn()
                selector.select(min(LOOK_S, self._leases.due_in()))
                _hush(bell)
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                stop.wait(self._quiet_until - time.monotonic())

    def turn(self) -> None:
        """Say what is to be said now; when the broker is away, be quiet for a while."""
        try:
            self._speak()
        except QueueError as exc:
            self._registration.due = True
            self._leases.ask_again()
            self._pause = min(LONGEST_PAUSE_S, self._pause * 2 or FIRST_PAUSE_S)
            self._quiet_until = time.monotonic() + self._pause
            log.warning("uplink.away", why=str(exc), again_s=self._pause)
        except Exception:
            log.exception("uplink.failed")
            self._quiet_until = time.monotonic() + LONGEST_PAUSE_S
        else:
            self._pause = 0.0

    def _speak(self) -> None:
        if self._registration.overdue():
            log.warning("uplink.unanswered", hint=UNANSWERED)
            self._registration.due = True
        if self._registration.due:
            self._register()
        self._hurry()
        while self._report():
            self._hurry()
            self._beat()
        self._beat()

    def _register(self) -> None:
        self._registration.say()
        try:
            self._say(Kind.REGISTER, self._greeting())
        except QueueError:
            self._registration.said = False
            raise
        self._beat_at = 0.0
        self._leases.ask_again()
        log.info("uplink.registered")

    def _hurry(self) -> None:
        """Ask for all leases, for they run out, and say what is new and waited for."""
        if self._leases.due_in() <= 0:
            self._say(Kind.RENEW, self._leases.renewal(), urgent=True)
        rows, looked = self._journal.urgent(self._hurried, BATCH_ROWS)
        while rows:
            batch = _fitting(rows)
            self._say(Kind.OBSERVATIONS, _body(batch), urgent=True)
            rows = rows[len(batch.reports) :]
        self._hurried = looked

    def _beat(self) -> None:
        if self._registration.said and time.monotonic() >= self._beat_at:
            self._say(Kind.HEARTBEAT, {**self._pulse(), "spool": self._told_of_spool()})
            self._beat_at = time.monotonic() + HEARTBEAT_S

    def _told_of_spool(self) -> dict[str, Any]:
        """Return what control must have taken in before it judges a deadline."""
        pending = len(self._journal.rows(0, BATCH_ROWS))
        return {"pending": pending, **self._spool.told(str(self._journal.incarnation))}

    def _report(self) -> bool:
        """Publish the oldest rows; return whether there may be more."""
        pending = self._journal.rows(0, BATCH_ROWS)
        if not pending:
            return False
        batch = _fitting(pending)
        self._say(Kind.OBSERVATIONS, _body(batch))
        seqs = [report["seq"] for report in batch.reports]
        self._journal.forget(seqs[-1])
        self._spool.sent(batch.incarnation, seqs)
        return len(seqs) < len(pending) or len(pending) == BATCH_ROWS

    def _say(self, kind: Kind, body: Mapping[str, Any], *, urgent: bool = False) -> None:
        self._publisher.publish([self._voice.message(kind, body, urgent=urgent)])


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of one message: of one incarnation."""

    incarnation: str
    reports: list[dict[str, Any]]


def _body(batch: _Batch) -> dict[str, Any]:
    return {"incarnation": batch.incarnation, "reports": batch.reports}


def _fitting(pending: Sequence[Row]) -> _Batch:
    """Return the first rows that fit in one message; at least one, shortened if it must be."""
    batch = _Batch(pending[0].incarnation, [])
    room = BATCH_BYTES
    for row in takewhile(lambda row: row.incarnation == batch.incarnation, pending):
        report = {**row.body, "seq": row.seq}
        size = len(json.dumps(report))
        if size > BATCH_BYTES:
            report["data"] = _cut(row.body.get("data")) | {"cut": True, "bytes": size}
            size = len(json.dumps(report))
        if batch.reports and size > room:
            break
        room -= size
        batch.reports.append(report)
    return batch


def _cut(data: object) -> dict[str, Any]:
    """Return what is short in *data*: the ids that tell what it is about, above all."""
    if not isinstance(data, dict):
        return {}
    small = {key: value for key, value in data.items() if len(json.dumps(value)) <= SHORT}
    return dict(islice(small.items(), 32))


def _bell(path: Path) -> socket.socket:
    with suppress(FileNotFoundError):
        path.unlink()
    bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    bell.bind(str(path))
    path.chmod(0o600)
    bell.settimeout(0)
    return bell


def _hush(bell: socket.socket) -> None:
    with suppress(BlockingIOError):
        while bell.recv(16):
            pass
