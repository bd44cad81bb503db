"""The one file of an installer's ISO that each run has words of its own for.

An ISO that was prepared holds /auto-installer-mode.toml as `SLOT` bytes in one piece.  Where they
stand is read from the ISO itself; what a run is told is laid over them as the ISO is sent, so that
one stored ISO serves every run.  Pure: what reads the file is given.

Source: ECMA-119 §8.4 (volume descriptor), §9.1 (directory record).
"""

from collections.abc import Callable, Iterator
from typing import Final

SLOT: Final = 2048
"""Bytes of the file that tells the installer where to ask: one sector, so that it never moves."""

NAME: Final = "AUTOINST.TOM;1"
"""What the file is called in the ISO's own directory; beside it stands its real name."""

_MODE: Final = b"auto-installer-mode.toml"
_SECTOR: Final = 2048
_DESCRIPTOR: Final = 16 * _SECTOR
_PRIMARY: Final = b"\x01CD001\x01"
_ROOT_AT: Final = 156
_SIZE_AT: Final = 10
_FLAGS_AT, _LENGTH_AT, _NAME_AT = 25, 32, 33
_IN_PIECES: Final = 0x82
"""Flags of a folder, and of a file that goes on elsewhere."""
_LARGEST: Final = 64 * 1024
"""Bytes of a root directory that is looked through; the vendor's has a sector or two."""

Read = Callable[[int, int], bytes]
"""Returns so many bytes of the ISO from an offset; fewer at its end."""


class NoSlot(Exception):
    """The ISO was not prepared, is no ISO, or what is to be laid over its slot does not fit."""


class Foreign(NoSlot):
    """The ISO was prepared by others: it says by itself, to every run, where the installer asks."""


def slot(text: str) -> bytes:
    """Return *text* as the bytes to lay over the slot.  Raises ValueError if they are too many."""
    raw = text.encode()
    if len(raw) > SLOT:
        raise ValueError(f"{len(raw)} bytes are more than the slot's {SLOT}")
    return raw.ljust(SLOT, b"\n")


def place(read: Read, size: int) -> int:
    """Return at which byte of an ISO of *size* bytes its slot begins.  Raises NoSlot, Foreign."""
    head = read(_DESCRIPTOR, _SECTOR)
    if len(head) < _SECTOR or not head.startswith(_PRIMARY):
        raise NoSlot("it has no volume descriptor of an ISO")
    at, length = extent(head[_ROOT_AT:])
    folder = read(at, min(length, _LARGEST))
    for record in records(folder):
        if name(record) == NAME:
            return _judged(record, size)
        if _MODE in record:  # its real name, by Rock Ridge
            raise Foreign("it was prepared elsewhere")
    raise NoSlot("it was not prepared: it has no file to lay a run's words over")


def _judged(record: bytes, size: int) -> int:
    at, length = extent(record)
    if length != SLOT or record[_FLAGS_AT] & _IN_PIECES or at + length > size:
        raise NoSlot(f"its file for a run's words is not one of {SLOT} bytes in one piece")
    return at


def records(folder: bytes) -> Iterator[bytes]:
    """Yield what the directory names; no record crosses a sector, and zeros fill what is left."""
    at = 0
    while at < len(folder):
        length = folder[at]
        if not length:
            at = (at // _SECTOR + 1) * _SECTOR
            continue
        record = folder[at : at + length]
        if _NAME_AT < length == len(record):
            yield record
        at += length


def name(record: bytes) -> str:
    """Return what a file or folder is called in the ISO's own directory."""
    return record[_NAME_AT : _NAME_AT + record[_LENGTH_AT]].decode("ascii", "replace")


def extent(record: bytes) -> tuple[int, int]:
    """Return at which byte a file or folder begins, and how many it has."""
    first = int.from_bytes(record[2:6], "little")
    return first * _SECTOR, int.from_bytes(record[_SIZE_AT : _SIZE_AT + 4], "little")
