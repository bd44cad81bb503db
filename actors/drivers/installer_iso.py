"""Proxmox VE's installer ISO, taken apart and made ready to be booted over the network.

The one owner of pycdlib (ISO 9660) and zstandard.  What is made of an ISO:

* vmlinuz       its /boot/linux26
* initrd.img    its /boot/initrd.img; iPXE takes no zstd, so such a one becomes gzip
* proxmox.iso   the ISO without those two, and with an /auto-installer-mode.toml of `SLOT` bytes:
                the words of one run are laid over it as it is served, so that one file serves all

Source: the vendor's `proxmox-auto-install-assistant prepare-iso --pxe`, since 9.1.7.
"""

import gzip
import hashlib
import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pycdlib
import zstandard
from pycdlib.pycdlibexception import PyCdlibException, PyCdlibInvalidInput

from actors.drivers import iso_bounds
from actors.drivers.errors import Refused
from pxe_stack.iso_slot import NAME, SLOT, slot

KERNEL: Final = "/boot/linux26"
INITRD: Final = "/boot/initrd.img"
MODE: Final = "/auto-installer-mode.toml"
ABOUT: Final = "/.cd-info"

FIRST: Final = (8, 2)
"""The first release whose installer answers by itself."""

FLAWED: Final = ((7, 0), (8, 0))
"""From the first to the last release of which an ISO gives root to whoever asks (7.0 to 8.0.3)."""

_SHORT: Final = 64 * 1024
_PIECE: Final = 1 << 20
_LARGEST_INITRD: Final = 2 << 30
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ABOUT: Final = re.compile(r"^([A-Z]+)=['\"]?([^'\"\n]*)['\"]?$", re.MULTILINE)
_RELEASE: Final = re.compile(r"(\d{1,3})\.(\d{1,3})")

Done = Callable[[int], None]
"""Told how many bytes were written since it was told last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an ISO says of itself: *product* is pve, pbs, pmg or pdm; *release* as 8.2-1."""

    product: str
    release: str
    number: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file that was made: *size* in bytes, *sha256* in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The three files, and at which byte of the ISO its slot begins."""

    about: About
    kernel: Part
    initrd: Part
    iso: Part
    slot_at: int


def about(source: Path) -> About:
    """Return what the ISO at *source* is.  Raises Refused where it is none that can be used."""
    with _opened(source) as iso:
        return _about(iso)


def made(source: Path, folder: Path, done: Done = lambda _bytes: None) -> Made:
    """Leave vmlinuz, initrd.img and proxmox.iso in *folder*; *source* stays as it is.

    A file that is there already is written anew.  Raises Refused, or OSError.
    """
    with _opened(source) as iso:
        told = _about(iso)
        with _read(iso, KERNEL) as kernel:
            first = _written(folder / "vmlinuz", _pieces(kernel), done)
        with _read(iso, INITRD) as packed:
            second = _written(folder / "initrd.img", _for_ipxe(packed), done)
        third = _shrunk(iso, folder / "proxmox.iso", done)
    return Made(
        about=told, kernel=first, initrd=second, iso=third, slot_at=_slot_at(folder / third.name)
    )


@contextmanager
def _opened(source: Path) -> Iterator[Any]:
    with source.open("rb") as file:
        iso_bounds.demand(lambda at, length: os.pread(file.fileno(), length, at), _size(file))
    iso = pycdlib.PyCdlib()
    with _judged(source):
        iso.open(str(source))
    try:
        with _judged(source):
            if not iso.has_rock_ridge():
                raise Refused(f"{source.name}: it has no Rock Ridge names, as the vendor's has")
            yield iso
    finally:
        with suppress(PyCdlibException):
            iso.close()


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


@contextmanager
def _judged(source: Path) -> Iterator[None]:
    """Turn whatever a damaged or hostile ISO does to its reader into a refusal."""
    try:
        yield
    except (PyCdlibException, struct.error, IndexError, KeyError, ValueError) as exc:
        raise Refused(f"{source.name}: no ISO that can be read: {_words(exc)}") from exc
    except (RecursionError, MemoryError, zstandard.ZstdError, EOFError, gzip.BadGzipFile) as exc:
        raise Refused(f"{source.name}: no ISO that can be read: {type(exc).__name__}") from exc


def _words(exc: Exception) -> str:
    return " ".join(str(exc).split())[:200] or type(exc).__name__


def _about(iso: Any) -> About:
    with _read(iso, ABOUT) as file:
        text = file.read(_SHORT).decode(errors="replace")
    said = dict(_ABOUT.findall(text))
    number = _RELEASE.match(said.get("RELEASE", ""))
    if said.get("PRODUCT") != "pve" or number is None:
        raise Refused(f"it is no ISO of Proxmox VE: {ABOUT} names {said.get('PRODUCT', 'nothing')}")
    release = (int(number[1]), int(number[2]))
    name = f"{said['RELEASE']}-{said.get('ISORELEASE', '?')}"
    if FLAWED[0] <= release <= FLAWED[1]:
        raise Refused(f"Proxmox VE {name} gives root to whoever asks it; take a newer ISO")
    if release < FIRST:
        raise Refused(f"Proxmox VE {name} cannot be installed unattended; take 8.2 or newer")
    return About(product="pve", release=name, number=release)


@contextmanager
def _read(iso: Any, path: str) -> Iterator[IO[bytes]]:
    try:
        file = iso.open_file_from_iso(rr_path=path)
    except PyCdlibInvalidInput as exc:
        raise Refused(f"it has no {path}") from exc
    with file:
        yield file


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _for_ipxe(packed: IO[bytes]) -> Iterator[bytes]:
    """Yield an initrd as it is, or as gzip where it is zstd."""
    start = packed.read(len(_ZSTD))
    packed.seek(0)
    if start != _ZSTD:
        yield from _pieces(packed)
        return
    plain = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
    yield from _packed(_bounded(plain))


def _bounded(plain: IO[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in _pieces(plain):
        size += len(piece)
        if size > _LARGEST_INITRD:
            raise Refused(f"{INITRD} unpacks to more than {_LARGEST_INITRD} bytes")
        yield piece


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    # No time in its header: the same ISO gives the same bytes.
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0) as packer:
        for piece in pieces:
            packer.write(piece)
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.BytesIO) -> bytes:
    said = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return said


def _written(path: Path, pieces: Iterator[bytes], done: Done) -> Part:
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
            done(len(piece))
    return Part(name=path.name, size=size, sha256=digest.hexdigest())


def _shrunk(iso: Any, path: Path, done: Done) -> Part:
    """Write the ISO without what is served beside it, and with a slot."""
    for each in (KERNEL, INITRD):
        iso.rm_hard_link(iso_path=_iso_path(iso, each))
    with suppress(PyCdlibInvalidInput):
        iso.rm_hard_link(iso_path=_iso_path(iso, MODE))
    empty = io.BytesIO(slot("# where the installer asks is laid over this\n"))
    iso.add_fp(empty, SLOT, f"/{NAME}", rr_name=MODE.removeprefix("/"))
    told = 0

    def progress(now: int, _total: int) -> None:
        nonlocal told
        done(now - told)
        told = now

    iso.write(str(path), progress_cb=progress)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Part(name=path.name, size=path.stat().st_size, sha256=digest)


def _iso_path(iso: Any, path: str) -> str:
    return str(iso.full_path_from_dirrecord(iso.get_record(rr_path=path)))


def _slot_at(path: Path) -> int:
    with _opened(path) as iso:
        record = iso.get_record(rr_path=MODE)
        return int(record.extent_location()) * int(iso.logical_block_size)
