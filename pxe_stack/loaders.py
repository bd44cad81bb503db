"""The loaders that are installed here: the closed table of firmware.LOADERS, read from folders."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pxe_stack import firmware

OWN: Final = Path(__file__).parent / "templates" / "loaders"
"""What is served and comes with Sprout; a file of that name in an operator's folder wins."""

LARGEST: Final = 64 * 1024 * 1024
"""Bytes of the largest file that is taken for a loader."""


@dataclass(frozen=True)
class Loader:
    """One loader as it is served; *name* is its name in the table."""

    name: str
    data: bytes

    @cached_property
    def netascii(self) -> bytes:
        """The same with the line ends of RFC 764, as TFTP's mode netascii has them."""
        return self.data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


class Loaders:
    """Loaders by the names that firmware asks for, each read once and again when it changes."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = (*folders, OWN)
        self._read: dict[str, tuple[tuple[Path, int, int], Loader]] = {}

    def find(self, asked: str) -> Loader | None:
        """Return the loader that *asked* means, or None; nothing but the table is ever opened.

        Raises OSError when the file is there and cannot be read.
        """
        name = firmware.loader_name(asked)
        path = None if name is None else self._path(name)
        if name is None or path is None:
            return None
        stat = path.stat()
        stamp = (path, stat.st_mtime_ns, stat.st_size)
        known = self._read.get(name)
        if known is None or known[0] != stamp:
            known = (stamp, Loader(name, path.read_bytes()))
            self._read[name] = known
        return known[1]

    def names(self) -> tuple[str, ...]:
        """Return the names in the table whose files are installed."""
        return tuple(name for name in firmware.LOADERS if self._path(name) is not None)

    def over_http(self) -> tuple[str, ...]:
        """Return those of names that a machine can go on from which has booted over HTTP."""
        return tuple(name for name in self.names() if not self._is_mute(name))

    def _is_mute(self, name: str) -> bool:
        """Whether it is a GRUB without its module http (Debian 12's signed one is)."""
        found = self.find(name) if name.startswith("grub") and name.endswith(".efi") else None
        return found is not None and b" HTTP/1.1" not in found.data

    def _path(self, name: str) -> Path | None:
        candidates = (folder / file for file in firmware.LOADERS[name] for folder in self._folders)
        return next((p for p in candidates if p.is_file() and p.stat().st_size <= LARGEST), None)
