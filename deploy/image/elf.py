"""Which shared libraries a program needs, read from the program itself.

Format: the System V ABI, "Object Files" and "Dynamic Linking"; 64 bits, little-endian.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Final

_MAGIC: Final = b"\x7fELF\x02\x01"
_LOAD, _DYNAMIC = 1, 2
_NULL, _NEEDED, _STRTAB = 0, 1, 5


class NoProgram(Exception):
    """The bytes are no program or library of this format."""


def needed(data: bytes) -> list[str]:
    """Return the libraries that *data* names, none for a static program.  Raises NoProgram."""
    if not data.startswith(_MAGIC):
        raise NoProgram("no 64-bit little-endian ELF")
    headers = _headers(data)
    dynamic = next((header for header in headers if header[0] == _DYNAMIC), None)
    if dynamic is None:
        return []
    entries = _entries(data, dynamic[1], dynamic[3])
    table = next(value for tag, value in entries if tag == _STRTAB)
    begin = next(at + table - base for kind, at, base, size in headers
                 if kind == _LOAD and base <= table < base + size)  # fmt: skip
    return [_text(data, begin + value) for tag, value in entries if tag == _NEEDED]


def closure(programs: Iterable[bytes], library: Callable[[str], bytes]) -> dict[str, bytes]:
    """Return by name every library that *programs* need, and those that these need."""
    found: dict[str, bytes] = {}
    names = [name for program in programs for name in needed(program)]
    while names:
        name = names.pop()
        if name not in found:
            found[name] = library(name)
            names += needed(found[name])
    return dict(sorted(found.items()))


def _headers(data: bytes) -> list[tuple[int, int, int, int]]:
    """Return (type, offset, address, bytes in the file) of each segment."""
    [begin] = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    rows = (struct.unpack_from("<IIQQQQ", data, begin + size * n) for n in range(count))
    return [(kind, offset, address, length) for kind, _, offset, address, _, length in rows]


def _entries(data: bytes, begin: int, size: int) -> list[tuple[int, int]]:
    entries: list[tuple[int, int]] = []
    for tag, value in struct.iter_unpack("<QQ", data[begin : begin + size]):
        if tag == _NULL:
            break
        entries.append((tag, value))
    return entries


def _text(data: bytes, begin: int) -> str:
    return data[begin : data.index(b"\0", begin)].decode()
