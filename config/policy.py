"""A YAML file followed: read anew when it changes, and the last good one kept when it is bad."""

import threading
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import structlog
import yaml

log = structlog.get_logger()

LARGEST: Final = 1 << 20
"""Bytes of a file that is read."""

_LOOK_S: Final = 1.0
"""Least seconds between two looks at the file."""

_FRESH_S: Final = 2.0
"""A file that changed so many seconds ago may change again unseen: its clock is coarse."""

_Value = TypeVar("_Value")


class BadFile(Exception):
    """The file cannot be read, or is not what it must be; says where and why."""


class _Plain(yaml.BaseLoader):
    """Takes every scalar as text: `no`, 22:00 and 1e3 are what they look like."""


def _mapping(loader: yaml.BaseLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    names = [loader.construct_object(name) for name, _ in node.value]
    for number, name in enumerate(names):
        if not isinstance(name, Hashable) or name in names[:number]:
            line = node.value[number][0].start_mark.line + 1
            raise BadFile(f"line {line}: {name} stands twice, or is no name")
    return loader.construct_mapping(node, deep=True)


_Plain.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(path: Path) -> Any:
    """Return what stands in the YAML file at *path*, its scalars as text.  Raises BadFile."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as exc:
        raise BadFile(f"{path}: {exc.strerror}") from exc
    if len(raw) > LARGEST:
        raise BadFile(f"{path}: more than {LARGEST} bytes")
    try:
        # A loader of ours, which makes nothing but texts, lists and mappings.
        return yaml.load(raw, Loader=_Plain)  # noqa: S506
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise BadFile(f"{path}: {where}{getattr(exc, 'problem', None) or 'no YAML'}") from exc
    except (BadFile, RecursionError, ValueError) as exc:
        raise BadFile(f"{path}: {exc}") from exc


class Followed(Generic[_Value]):
    """What a file says, looked at again whenever it is asked for.

    *parse* turns what `read` returned into a value, and raises BadFile.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[Any], _Value],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.trouble = ""
        self._parse, self._clock = parse, clock
        self._lock = threading.Lock()
        self._good: _Value | None = None
        self._seen: tuple[int, ...] = ()
        self._looked_at = float("-inf")

    def current(self) -> _Value:
        """Return what the file says, or said when it was good last.

        Raises BadFile when it was never good.
        """
        with self._lock:
            if self._clock() - self._looked_at >= _LOOK_S:
                self._looked_at = self._clock()
                self._look()
            if self._good is None:
                raise BadFile(self.trouble)
            return self._good

    def _look(self) -> None:
        seen = self._signature()
        if seen and seen == self._seen:
            return
        self._seen = seen
        try:
            found = self._parse(read(self.path))
        except BadFile as exc:
            self._bad(str(exc))
            return
        if self.trouble or found != self._good:
            self.say_read()
        self._good, self.trouble = found, ""

    def _bad(self, why: str) -> None:
        if why != self.trouble:
            self.say_refused(why, kept=self._good is not None)
        self.trouble = why

    def say_read(self) -> None:
        """Log that the file is in force."""
        log.info("policy.read", file=str(self.path))

    def say_refused(self, why: str, *, kept: bool) -> None:
        """Log that the file is not, and whether what it said before is *kept*."""
        log.error("policy.refused", why=why, kept=kept)

    def _signature(self) -> tuple[int, ...]:
        """Return what changes with the file; () for one that may be changing just now."""
        try:
            stat = self.path.stat()
        except OSError:
            return ()
        if abs(time.time() - stat.st_mtime) < _FRESH_S:
            return ()
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)
