"""The "newc" archive that the kernel unpacks at boot, written without root and without cpio.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the Linux source.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder, symbolic link (its target is *data*) or device of an archive."""

    path: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def folder(path: str) -> Entry:
    return Entry(path, stat.S_IFDIR | 0o755)


def link(path: str, target: str) -> Entry:
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def program(path: str, data: bytes) -> Entry:
    return Entry(path, stat.S_IFREG | 0o755, data)


def plain(path: str, data: bytes) -> Entry:
    return Entry(path, stat.S_IFREG | 0o644, data)


def secret(path: str, data: bytes) -> Entry:
    return Entry(path, stat.S_IFREG | 0o600, data)


def character_device(path: str, major: int, minor: int) -> Entry:
    return Entry(path, stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive of *entries* in their order, the same bytes for the same entries.

    Missing parent folders are put before their first child; every file belongs to root and has
    the time 0.
    """
    listed = _with_parents(entries)
    members = [_member(number, entry) for number, entry in enumerate(listed, start=1)]
    return b"".join([*members, _member(0, Entry(_TRAILER, 0))])


def _with_parents(entries: Iterable[Entry]) -> list[Entry]:
    listed: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            listed.setdefault(parent, folder(parent))
        listed[entry.path] = entry
    return list(listed.values())


def _member(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    # inode, mode, uid, gid, links, mtime, size, device, device named, length of name, checksum
    fields = (
        *(inode, entry.mode, 0, 0, links, 0, len(entry.data)),
        *(0, 0, major, minor, len(name), 0),
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
