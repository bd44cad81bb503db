"""Whether an ISO can be taken apart with little memory, in little time, and whole.

What reads ISOs here believes them: a million directory records are a million objects to it, and a
file beyond the end is cut short without a word.  So the sizes, places and numbers that an ISO
states are judged before, in a few megabytes of it.  Pure: what reads the file is given.

Source: ECMA-119 §8 (volume descriptors), §9.1 (directory records); SUSP 1.12 §5.1 (CE); El Torito
1.0 §2.0 (boot catalogue).
"""

from collections.abc import Iterator
from typing import Final

from actors.drivers.errors import Refused
from pxe_stack.iso_slot import Read, extent, name, records

_SECTOR: Final = 2048
_FIRST: Final = 16
_BOOTABLE, _PRIMARY, _SUPPLEMENTARY, _LAST = 0, 1, 2, 255
_OTHERS: Final = frozenset({b"CDW02", b"BEA01", b"NSR02", b"NSR03", b"TEA01", b"BOOT2"})
"""Of other file systems on the same disc: the vendor's has none, and few programs agree on them."""

_MOST_DESCRIPTORS: Final = 16
_MOST_DIRECTORIES: Final = 2 << 20
"""Bytes of all directories; those of the vendor's have a fifth of it."""
_MOST_PATHS: Final = 1 << 20
"""Bytes of a path table: of each directory its name."""
_DEEPEST: Final = 64
_MOST_PIECES: Final = 8
"""In so many places may the names and rights of one file lie."""

_BLOCK_AT, _BLOCKS_AT, _PATHS_AT, _ROOT_AT = 128, 80, 132, 156
_EL_TORITO: Final = b"EL TORITO SPECIFICATION"
_CATALOGUE_AT: Final = 71
_ROW: Final = 32
_FLAGS_AT, _NAME_AT = 25, 33
_FOLDER: Final = 0x02
_ITSELF_OR_ABOVE: Final = ("\0", "\1")
_CONTINUED: Final = b"CE\x1c\x01"


def demand(read: Read, size: int) -> None:
    """Return if the ISO of *size* bytes is whole, and no larger inside than outside.

    Raises Refused, with what is wrong.
    """
    tree = _Tree(read, size)
    for raw in list(_descriptors(read)):
        if raw[0] == _BOOTABLE and raw[7:].startswith(_EL_TORITO):
            _demand_end_of_catalogue(read, raw)
        elif raw[0] in (_PRIMARY, _SUPPLEMENTARY):
            _demand_whole(raw, size)
            tree.walk(raw[_ROOT_AT:])


def _descriptors(read: Read) -> Iterator[bytes]:
    """Yield the volume descriptors.  They end with what is none, or is the last by its type."""
    for number in range(_MOST_DESCRIPTORS + 1):
        raw = read((_FIRST + number) * _SECTOR, _SECTOR)
        if raw[1:6] in _OTHERS:
            raise Refused("it has a second file system (UDF), which the vendor's has not")
        if raw[1:6] != b"CD001" or len(raw) < _SECTOR:
            if number:
                return
            raise Refused("it has no volume descriptor of an ISO")
        yield raw
    raise Refused(f"it has more than {_MOST_DESCRIPTORS} volume descriptors")


def _demand_whole(descriptor: bytes, size: int) -> None:
    if _number(descriptor, _BLOCK_AT, 2) != _SECTOR:
        raise Refused(f"its blocks are not of {_SECTOR} bytes")
    told = _number(descriptor, _BLOCKS_AT) * _SECTOR
    if told > size:
        raise Refused(f"it is cut off: it says that it has {told} bytes, and has {size}")
    if _number(descriptor, _PATHS_AT) > _MOST_PATHS:
        raise Refused(f"its path table has more than {_MOST_PATHS} bytes")


def _demand_end_of_catalogue(read: Read, descriptor: bytes) -> None:
    """An empty row ends the boot catalogue: without one it would go on to the end of the ISO."""
    catalogue = read(_number(descriptor, _CATALOGUE_AT) * _SECTOR, _SECTOR)
    rows = (catalogue[at : at + _ROW] for at in range(2 * _ROW, _SECTOR, _ROW))
    if bytes(_ROW) not in rows:
        raise Refused("its boot catalogue has no end")


class _Tree:
    """All directories and files, of as many volume descriptors as name some."""

    def __init__(self, read: Read, size: int) -> None:
        self._read, self._size = read, size
        self._left = _MOST_DIRECTORIES
        self._files: dict[int, int] = {}

    def walk(self, root: bytes) -> None:
        """Look at all that is below the record of a *root*.  Raises Refused."""
        seen: set[int] = set()
        due = [(root, 0)]
        while due:
            record, depth = due.pop()
            at, _ = extent(record)
            if at in seen or depth > _DEEPEST:
                raise Refused("its directories go round in a circle, or too deep")
            seen.add(at)
            due += [(each, depth + 1) for each in self._below(record)]
        if sum(self._files.values()) > self._size:
            raise Refused("its files overlap: written out they have more bytes than it has itself")

    def _below(self, folder: bytes) -> Iterator[bytes]:
        """Yield the records of the folders in *folder*, after a look at each of its records."""
        at, length = self._place(folder)
        self._left -= length
        if self._left < 0:
            raise Refused(f"its directories have more than {_MOST_DIRECTORIES} bytes")
        for record in records(self._read(at, length)):
            start, size = self._place(record)
            _demand_few_pieces(self._read, record)
            if not record[_FLAGS_AT] & _FOLDER:
                self._files[start] = max(size, self._files.get(start, 0))
            elif name(record) not in _ITSELF_OR_ABOVE:
                yield record

    def _place(self, record: bytes) -> tuple[int, int]:
        at, length = extent(record)
        if length and at + length > self._size:
            raise Refused(
                f"it is cut off: a file of it ends at byte {at + length}, and it at {self._size}"
            )
        return at, length


def _demand_few_pieces(read: Read, record: bytes) -> None:
    text = record[_NAME_AT:]
    for _ in range(_MOST_PIECES):
        at = text.find(_CONTINUED)
        if at < 0:
            return
        block, offset, length = (_number(text, at + start) for start in (4, 12, 20))
        if length > _SECTOR:
            break
        text = read(block * _SECTOR + offset, length)
    raise Refused("what it says of one file is scattered over it")


def _number(raw: bytes, at: int, width: int = 4) -> int:
    return int.from_bytes(raw[at : at + width], "little")
