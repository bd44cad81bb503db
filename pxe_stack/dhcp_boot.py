"""What a client that asks to boot is told to start: loaders by architecture, scripts for iPXE."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import quote

from models.bootplan import Access, url
from pxe_stack import firmware
from pxe_stack.directory import Known
from pxe_stack.firmware import Architecture, Kind
from pxe_stack.packets import Option, Request, printable

NO_PROXY: Final = b"\xb0\x01\x01"
"""iPXE's no-pxedhcp: do not wait for proxy offers, nobody else will make one."""

BOOT_AT_ONCE: Final = b"\x06\x01\x08\xff"
"""PXE discovery control, bit 3: no menu and no search for boot servers, start the file
(PXE 2.1 §2.4, tag 6).  BIOS ROMs need it in a proxy's offer; UEFI takes a file without it."""

_PXE: Final = b"PXEClient"
_HTTP: Final = b"HTTPClient"
_UBOOT: Final = b"U-Boot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Who answers: its address on the wire, where loaders are, boot HTTP, and the site key.

    *chains* are the loaders that this site gives a kind of machine instead of the table's, and
    *beside* what it gives it where the address is another server's.
    """

    address: str
    tftp: str
    boot_url: str
    key: bytes
    chains: Mapping[Kind, str] = field(default_factory=dict, hash=False)
    beside: Mapping[str, str] = field(default_factory=dict, hash=False)


class Boot(NamedTuple):
    """What a network boot is told: a file or URL to start, and options that go with it.

    *own*: the file is for this client alone.  *bios*: of a BIOS ROM, which asks before it starts.
    """

    file: str = ""
    tftp: bool = False
    options: tuple[tuple[int, bytes], ...] = ()
    own: bool = False
    bios: bool = False


NOTHING: Final = Boot()
USUAL: Final[Mapping[str, str]] = MappingProxyType({})
"""Of a network that has no loaders of its own."""


def asks_to_boot(request: Request) -> bool:
    """Whether it is firmware or a loader that asks, and not an operating system."""
    return _is_firmware(request.options) or is_ipxe(request.options)


def boot_of(
    request: Request, known: Known | None, server: Server, loaders: Mapping[str, str] = USUAL
) -> Boot:
    """Return what the client is to start, if it asks to boot at all.

    *loaders* are its network's own for kinds of machines.
    """
    options = request.options
    if is_ipxe(options):
        # The second round: sending the loader again would chain for ever.
        url_of = script_url(request.mac, known, server)
        return Boot(url_of, options=((Option.IPXE, NO_PROXY),), own=True)
    if not _is_firmware(options):
        return NOTHING
    vendor = options[60][:64]
    arch = _architecture(vendor, options.get(93, b"")[:2])
    if arch is None:
        return NOTHING
    http = arch.http or vendor.startswith(_HTTP)
    loader = _loader(known, arch, loaders, server.chains.get((arch.name, http), arch.loader))
    return _loaded(loader, server.boot_url, http, arch.name == "bios")


@lru_cache(maxsize=256)
def _loaded(loader: str, boot_url: str, http: bool, bios: bool) -> Boot:  # noqa: FBT001 - by keywords a cache is twice as slow
    if http:
        return Boot(f"{boot_url}/loaders/{loader}", options=((Option.VENDOR_CLASS, _HTTP),))
    return Boot(loader, tftp=True, bios=bios)


def proxied(boot: Boot) -> Boot:
    """Return *boot* as it is said beside another server's address (PXE 2.1 §2.2.3)."""
    if any(code == Option.VENDOR_CLASS for code, _ in boot.options):
        return boot
    options = ((Option.VENDOR_CLASS, _PXE), *boot.options)
    if boot.bios:
        options = (*options, (Option.VENDOR, BOOT_AT_ONCE))
    return Boot(boot.file, boot.tftp, options, boot.own, boot.bios)


def script_url(mac: str, known: Known | None, server: Server) -> str:
    """Return what iPXE is to fetch: the run's script while that is open, else the entry."""
    if known is not None and known.opens(Access.SCRIPT):
        return url(known.plan, server.key, Access.SCRIPT, "script")
    return f"{server.boot_url}/ipxe/{quote(mac)}"


def _is_firmware(options: Mapping[int, bytes]) -> bool:
    vendor = options.get(60)
    if vendor is None:
        return False
    # U-Boot names itself, and is none of RFC 4578's clients but for the architecture that it says.
    return vendor.startswith((_PXE, _HTTP)) or (vendor.startswith(_UBOOT) and 93 in options)


def is_ipxe(options: Mapping[int, bytes]) -> bool:
    """Whether it is iPXE that asks with *options*."""
    # iPXE writes the class bare; RFC 3004 wants a length before it, and some builds obey.
    return 175 in options or (77 in options and options[77] in {b"iPXE", b"\x04iPXE"})


@lru_cache(maxsize=1024)
def _architecture(vendor: bytes, code: bytes) -> Architecture | None:
    number = int.from_bytes(code, "big") if len(code) == 2 else None
    return firmware.architecture(number, printable(vendor))


def _loader(
    known: Known | None, arch: Architecture, of_network: Mapping[str, str], usual: str
) -> str:
    """Return the machine's own loader, its network's or the usual one: the first of the table."""
    own = known.plan.loaders if known is not None else USUAL
    for chosen in (own.get(arch.name), of_network.get(arch.name)):
        if chosen is not None and chosen in firmware.LOADERS:
            return chosen
    return usual
