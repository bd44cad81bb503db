"""What simulated machines install: a few megabytes with real checksums, the same at every build.

The files are stand-ins: nothing on them runs.  Loaders say what they stand in for, which is how
simulated firmware knows what it has downloaded.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

FACTS: Final = "image.json"
_MIB: Final = 1 << 20
_LOADERS: Final = {
    "undionly.kpxe": b"iPXE",
    "snponly.efi": b"iPXE",
    "ipxe.efi": b"iPXE",
    "grub-local.efi": b"GRUB",
}
_LOADER_BYTES: Final = 16 * 1024
_LAST_CHUNK: Final = 64 * 1024
"""Chunks are 4 MiB; the last one, which machines verify, is small: a thousand of them fetch it."""


def build(folder: Path) -> dict[str, Any]:
    """Leave the files and image.json in *folder*; return what image.json says."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in _LOADERS.items():
        stand_in = b"Stand-in of a simulated machine for " + kind + b"\n"
        _write(folder / name, stand_in.ljust(_LOADER_BYTES, b"\0"))
    files = {
        "vmlinuz": _noise("kernel", _MIB),
        "initrd.img": _noise("initramfs", 2 * _MIB),
        "disk.raw": _noise("disk", 4 * _MIB) + bytes(4 * _MIB) + _noise("end", _LAST_CHUNK),
    }
    for name, content in files.items():
        _write(folder / name, content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    facts = {
        "name": "simulated",
        "title": "Simulated image",
        "architecture": "x86_64",
        "image": "disk.raw",
        "kernel": "vmlinuz",
        "initrd": "initrd.img",
        "kernel_args": "",
        "key": hashlib.sha256(json.dumps(sums).encode()).hexdigest(),
        "files": {
            name: {"sha256": sums[name], "size": len(content)} for name, content in files.items()
        },
    }
    _write(folder / FACTS, json.dumps(facts, indent=2).encode() + b"\n")
    return facts


def _noise(name: str, size: int) -> bytes:
    return hashlib.shake_128(f"sprout simulated {name}".encode()).digest(size)


def _write(path: Path, content: bytes) -> None:
    """Replace the file, unless it is the same: a site has noted when it was written."""
    if path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(content)
    draft.replace(path)
