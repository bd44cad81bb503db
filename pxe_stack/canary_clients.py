"""The clients that a canary plays: what each says, and whether its loader must be there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pxe_stack import canary_mark

PARAMETERS: Final = bytes((1, 3, 6, 12, 15, 43, 51, 54, 60, 66, 67, 97))
IPXE_FEATURES: Final = b"\xb1\x05\x01\x80\x86\x10\x0e\x13\x01\x01"
"""Option 175 of an iPXE with HTTP: its card, and that it knows the protocol."""


@dataclass(frozen=True, slots=True)
class Client:
    """One kind of firmware; *needed*: a site where its loader is missing is not well."""

    name: str
    number: int
    architecture: int
    vendor_class: str
    needed: bool = True
    ipxe: bool = False

    @property
    def mac(self) -> str:
        return f"{canary_mark.MACS}{self.number:02x}"

    def options(self, challenge: bytes) -> Sequence[tuple[str | int, Any]]:
        """Return what it sends, with the *challenge* that its own agents answer, for scapy."""
        ipxe = [(77, b"iPXE"), (175, IPXE_FEATURES)] if self.ipxe else []
        return (
            (55, PARAMETERS),
            (57, (1472).to_bytes(2, "big")),
            (60, self.vendor_class.encode("ascii")),
            (93, self.architecture.to_bytes(2, "big")),
            (94, b"\x01\x03\x10"),
            *ipxe,
            (canary_mark.CHALLENGE, challenge),
        )


CLIENTS: Final = (
    Client("bios", 1, 0, "PXEClient:Arch:00000:UNDI:002001"),
    Client("x64", 2, 7, "PXEClient:Arch:00007:UNDI:003016"),
    Client("arm64", 3, 11, "PXEClient:Arch:00011:UNDI:003016", needed=False),
    Client("http-x64", 4, 16, "HTTPClient:Arch:00016:UNDI:003016"),
    Client("http-arm64", 5, 19, "HTTPClient:Arch:00019:UNDI:003016", needed=False),
    Client("ipxe", 6, 7, "PXEClient:Arch:00007:UNDI:003016", ipxe=True),
)
PROXY: Final = Client("proxy", 7, 0, "PXEClient:Arch:00000:UNDI:002001")
"""Asks on port 4011 for what to start, as BIOS ROMs do beside another server."""
