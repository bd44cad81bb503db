"""Who asks, and what it is given to start: architecture codes and loaders, as two tables.

Codes are those of IANA's "Processor Architecture Types" (RFC 4578 §2.1, option 93).
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row: *loader* is a name in LOADERS; *http* firmware is given its URL, not its name."""

    name: str
    loader: str
    http: bool = False


_A = Architecture
# fmt: off
ARCHITECTURES: Final[Mapping[int, Architecture]] = MappingProxyType({
    0:  _A("bios",         "undionly.kpxe"),
    6:  _A("uefi-x86",     "ipxe-i386.efi"),
    7:  _A("uefi-x64",     "snponly.efi"),
    # RFC 4578 called 9 "EFI x86-64" and 7 "EFI BC"; firmware sends either.
    9:  _A("uefi-x64",     "snponly.efi"),
    10: _A("uefi-arm32",   "ipxe-arm32.efi"),
    11: _A("uefi-arm64",   "ipxe-arm64.efi"),
    15: _A("uefi-x86",     "ipxe-i386.efi",     http=True),
    16: _A("uefi-x64",     "snponly.efi",       http=True),
    17: _A("uefi-x64",     "snponly.efi",       http=True),
    18: _A("uefi-arm32",   "ipxe-arm32.efi",    http=True),
    19: _A("uefi-arm64",   "ipxe-arm64.efi",    http=True),
    20: _A("bios",         "undionly.kpxe",     http=True),
    21: _A("uboot-arm32",  "ipxe-arm32.efi"),
    22: _A("uboot-arm64",  "ipxe-arm64.efi"),
    23: _A("uboot-arm32",  "ipxe-arm32.efi",    http=True),
    24: _A("uboot-arm64",  "ipxe-arm64.efi",    http=True),
    27: _A("uefi-riscv64", "ipxe-riscv64.efi"),
    28: _A("uefi-riscv64", "ipxe-riscv64.efi",  http=True),
})

LOADERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "undionly.kpxe":    ("undionly.kpxe",),
    "undionly.kkpxe":   ("undionly.kkpxe",),
    "ipxe.pxe":         ("ipxe.pxe",),
    "ipxe.efi":         ("ipxe.efi", "ipxe-x86_64.efi"),
    "snponly.efi":      ("snponly.efi", "ipxe-snponly-x86_64.efi", "ipxe.efi"),
    "ipxe-i386.efi":    ("ipxe-i386.efi", "ipxe32.efi"),
    "ipxe-arm32.efi":   ("ipxe-arm32.efi",),
    "ipxe-arm64.efi":   ("ipxe-arm64.efi", "ipxe-aarch64.efi"),
    "ipxe-riscv64.efi": ("ipxe-riscv64.efi",),
    "grub-local.efi":   ("grub-local.efi",),
    # Secure Boot: a shim that Microsoft signed, and what it asks for next, signed by its vendor.
    "shimx64.efi":      ("shimx64.efi.signed", "shimx64.efi"),
    "grubx64.efi":      ("grubx64.efi", "grubnetx64.efi.signed"),
    "mmx64.efi":        ("mmx64.efi.signed", "mmx64.efi"),
    "fbx64.efi":        ("fbx64.efi.signed", "fbx64.efi"),
    "shimaa64.efi":     ("shimaa64.efi.signed", "shimaa64.efi"),
    "grubaa64.efi":     ("grubaa64.efi", "grubnetaa64.efi.signed"),
    "mmaa64.efi":       ("mmaa64.efi.signed", "mmaa64.efi"),
    "fbaa64.efi":       ("fbaa64.efi.signed", "fbaa64.efi"),
    # iPXE's own shims ask for the name they were loaded by, without its "-shim".
    "snponly-shim.efi": ("snponly-shim.efi",),
    "ipxe-shim.efi":    ("ipxe-shim.efi",),
    "ipxe-arm64-shim.efi": ("ipxe-arm64-shim.efi",),
    "revocations.efi":  ("revocations.efi",),
    "revocations_sbat.efi": ("revocations_sbat.efi",),
    "revocations_sku.efi":  ("revocations_sku.efi",),
    "shim_certificate.efi": ("shim_certificate.efi",),
    "shim_certificate_0.efi": ("shim_certificate_0.efi",),
    "options.csv":      ("options.csv",),
    "grub.cfg":         ("sprout-grub.cfg",),
})
"""Every name that is served by TFTP and under /loaders/, and the files that it may come from."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType({
    "undionly.0":    "undionly.kpxe",  # names that end in .0, for DHCP servers and ROMs that insist
    "ipxe.0":        "ipxe.pxe",
    "bootx64.efi":   "snponly.efi",    # the removable-media names that firmware falls back to
    "bootia32.efi":  "ipxe-i386.efi",
    "bootaa64.efi":  "ipxe-arm64.efi",
    "bootarm.efi":   "ipxe-arm32.efi",
    "bootriscv64.efi": "ipxe-riscv64.efi",
})

BESIDE: Final = frozenset({
    *(name for name in LOADERS if name.startswith(("grub", "mm", "fb", "revocations", "shim_"))),
    "options.csv",
})
"""What shim and GRUB ask for beside the path that they came from, whatever that is: GRUB's own
folder has another name in each distribution."""
# fmt: on

_CLASS_ARCH: Final = re.compile(r"(?:PXE|HTTP)Client:Arch:(\d{5})")


def architecture(code: int | None, vendor_class: str) -> Architecture | None:
    """Return the row for option 93, or for the number in option 60, or None for a stranger.

    A PXE client that names no architecture at all is an old BIOS.
    """
    if code is None:
        match = _CLASS_ARCH.match(vendor_class)
        code = int(match[1]) if match else 0
    return ARCHITECTURES.get(code)


def loader_name(asked: str) -> str | None:
    """Return the name in LOADERS that a firmware means by *asked*, or None.

    ROMs put slashes before names, write backslashes, and forget how the name was spelt.
    """
    name = asked.replace("\\", "/").lstrip("./").lower()
    last = name.rpartition("/")[2]
    name = last if last in BESIDE else ALIASES.get(name, name)
    return name if name in LOADERS else None


CHAINS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "uefi-x64": (("snponly-shim.efi", "snponly.efi"), ("shimx64.efi", "grubx64.efi")),
        "uefi-arm64": (("ipxe-arm64-shim.efi", "ipxe-arm64.efi"), ("shimaa64.efi", "grubaa64.efi")),
    }
)
"""What every machine of a kind is started by where all of it is installed: the first of the first
chain that is whole.  Nobody says whether Secure Boot is on; where it is off, these start as well.
"""

SECOND: Final[Mapping[str, str]] = MappingProxyType(
    {first: second for each in CHAINS.values() for first, second in each}
)
"""What a first stage asks for in its own folder."""

Kind = tuple[str, bool]
"""The name of an architecture, and whether its firmware boots over HTTP."""


def chains(installed: Collection[str], over_http: Collection[str]) -> Mapping[Kind, str]:
    """Return the loader of each kind of machine that has a chain whole in *installed*.

    For firmware that boots over HTTP each part must be in *over_http*: a GRUB that cannot speak it
    would stop at its prompt.
    """
    found = {}
    for name, alternatives in CHAINS.items():
        for http, there in ((False, set(installed)), (True, set(over_http))):
            whole = next((chain for chain in alternatives if set(chain) <= there), None)
            if whole is not None:
                found[name, http] = whole[0]
    return found


def beside(installed: Collection[str]) -> Mapping[str, str]:
    """Return what each kind of machine with chains is started by beside another DHCP server.

    No GRUB: it takes the server that gave its address for the one that it came from, asks that one
    for its configuration, and stops at its prompt.
    """
    others = [name for name in installed if not name.startswith("grub")]
    found = chains(others, others)
    usual = {row.name: row.loader for row in ARCHITECTURES.values()}
    return {name: found.get((name, False), usual[name]) for name in CHAINS}
