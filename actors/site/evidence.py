"""Evidence: what a task brings that fits no message goes up as a blob, and its report names it.

    evidence/<task>.<sha256>.data    the content
    evidence/<task>.<sha256>.json    what it is, and by which right it goes up; written last

Rule 1: it lies on the disk before its task is reported, and leaves after its own report does.
Rule 2: what has no room, or will never be taken, is reported as dropped, with the reason.
Rule 3: nothing waits for it: a site that is cut off keeps it, and sends it when the edge is back.
"""

import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from actors.drivers.edge_line import Edge
from actors.site.orders import Order
from actors.site.upload import Unsent, Unwanted, Upload
from models.observations import Observation, Seen, Source
from pxe_stack.store import JournalStore

CAPACITY: Final = 256 << 20
"""Most bytes that wait at a site."""

IDLE_S: Final = 60.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of evidence; ids as text, *url* the right to upload it."""

    task: str
    epoch: int
    kind: str
    machine: str
    run: str | None
    name: str
    sha256: str
    size: int
    url: str = field(repr=False)

    @property
    def key(self) -> str:
        """Under which it lies in the spool: the same evidence twice lies there once."""
        return f"{self.task}.{self.sha256}"

    @property
    def reference(self) -> dict[str, Any]:
        """What reports say of it."""
        return {"name": self.name, "sha256": self.sha256, "size": self.size}


class Evidence:
    """The spool in *folder*, and the one thread that empties it.  Safe to share."""

    def __init__(
        self, folder: Path, journal: JournalStore, edge: Edge, *, capacity: int = CAPACITY
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._edge = edge
        self._capacity = capacity
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._sending = ""
        _sweep(folder)

    def keep(self, order: Order, name: str, content: bytes) -> dict[str, Any]:
        """Have *content* go up, and return how reports refer to it.

        When it cannot be kept, that is reported: a task does not fail for its evidence.
        """
        piece = Piece(
            task=str(order.task),
            epoch=order.epoch,
            kind=order.kind.value,
            machine=str(order.machine),
            run=None if order.run is None else str(order.run),
            name=name,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            url=order.upload,
        )
        with self._lock:
            why = self._kept(piece, content)
        if why:
            self._drop(piece, why)
        self._wake.set()
        return piece.reference

    def waiting(self) -> list[Piece]:
        """Return what waits, the one that was tried longest ago first."""
        paths = sorted(self._folder.glob("*.json"), key=_tried_at)
        return [piece for piece in map(_read, paths) if piece is not None]

    def run(self, stop: threading.Event) -> None:
        """Send what waits, until *stop* is set; pause while the edge is away."""
        pause = 0.0
        while not stop.is_set():
            self._wake.clear()
            if self.send_all(stop):
                pause = 0.0
                self._wake.wait(IDLE_S)
            else:
                pause = min(LONGEST_PAUSE_S, pause * 2 or FIRST_PAUSE_S)
                stop.wait(pause)

    def send_all(self, stop: threading.Event) -> bool:
        """Try what waits, up to the first that cannot be sent now; return whether none is left."""
        for piece in self.waiting():
            try:
                self._send(piece, stop)
            except Unsent as exc:
                log.warning("evidence.waits", why=str(exc), name=piece.name, task=piece.task)
                with suppress(OSError):
                    # The next is tried before it; by the clock of the kernel's tick they may tie.
                    os.utime(self._path(piece, "json"), ns=(time.time_ns(),) * 2)
                return False
            except Unwanted as exc:
                self._drop(piece, str(exc))
            except OSError as exc:
                self._drop(piece, f"it cannot be read: {exc.strerror}")
        return True

    def _send(self, piece: Piece, stop: threading.Event) -> None:
        with self._lock:
            if not self._path(piece, "json").exists():
                return  # it was dropped for newer evidence
            self._sending = piece.key
        try:
            with self._path(piece, "data").open("rb", buffering=0) as content:
                Upload(self._edge, piece.url, piece.sha256, piece.size, content, stop).run()
            self._tell(piece, Seen.EVIDENCE_KEPT, {})
            self._remove(piece)
        finally:
            with self._lock:
                self._sending = ""
        log.info("evidence.sent", task=piece.task, **piece.reference)

    def _kept(self, piece: Piece, content: bytes) -> str:
        """Write *piece* to the disk; return why that was not possible, nothing when it was."""
        if not piece.url:
            return "control granted no upload"
        if not self._make_room(piece):
            return f"it does not fit: {self._capacity} bytes may wait at this site"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._path(piece, "data"), content)
            _write(self._path(piece, "json"), json.dumps(asdict(piece)).encode())
        except OSError as exc:
            self._remove(piece)
            return f"it cannot be kept here: {exc.strerror}"
        return ""

    def _make_room(self, piece: Piece) -> bool:
        """Drop what was tried longest ago until *piece* fits; return whether it does."""
        taken = sum(map(_size, self._folder.glob("*.data"))) - _size(self._path(piece, "data"))
        over = piece.size + taken - self._capacity
        if over <= 0:
            return True
        free = [each for each in self.waiting() if each.key not in {piece.key, self._sending}]
        if over > sum(each.size for each in free):
            return False
        for each in free:
            if over <= 0:
                break
            over -= each.size
            self._drop(each, "newer evidence needed its room while the edge was away")
        return True

    def _drop(self, piece: Piece, why: str) -> None:
        log.warning("evidence.dropped", task=piece.task, why=why, **piece.reference)
        self._tell(piece, Seen.EVIDENCE_DROPPED, {"reason": why})
        self._remove(piece)

    def _remove(self, piece: Piece) -> None:
        for kind in ("json", "data"):
            self._path(piece, kind).unlink(missing_ok=True)

    def _path(self, piece: Piece, kind: str) -> Path:
        return self._folder / f"{piece.key}.{kind}"

    def _tell(self, piece: Piece, kind: Seen, more: Mapping[str, Any]) -> None:
        ids = {"task": piece.task, "epoch": piece.epoch, "kind": piece.kind}
        self._journal.append(
            Observation(
                kind=kind,
                source=Source.AGENT,
                at=time.time(),
                machine=UUID(piece.machine),
                run=None if piece.run is None else UUID(piece.run),
                data={**ids, **piece.reference, **more},
            )
        )


def _tried_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _sweep(folder: Path) -> None:
    """Drop what a former life had not written whole; its task was not reported either."""
    for path in folder.glob("*"):
        if _read(path.with_suffix(".json")) is None:
            path.unlink(missing_ok=True)


def _read(path: Path) -> Piece | None:
    try:
        return Piece(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, content: bytes) -> None:
    """Write *path* whole or not at all, and have it lie on the disk."""
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
