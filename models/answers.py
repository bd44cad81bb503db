"""The answer of the unattended Proxmox VE installer: its documented keys, and what is wrong in one.

Source: the automated installation of Proxmox VE 8.2 to 9.2 (pve.proxmox.com/wiki/Automated_
Installation).  The installer asks once and never again, and what it refuses leaves it in a shell
with a person needed: so an answer is judged here, before a machine is touched.  Keys are written
with dashes; those with underscores are deprecated since 8.4, and refused.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from models import locales
from models.errors import Invalid

KEYBOARDS: Final = (
    *("de", "de-ch", "dk", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu"),
    *("is", "it", "jp", "lt", "mk", "nl", "no", "pl", "pt", "pt-br", "se", "si", "tr"),
)
LEAST_DISKS: Final[Mapping[tuple[str, str], int]] = {
    ("zfs", "raid0"): 1,
    ("zfs", "raid1"): 2,
    ("zfs", "raid10"): 4,
    ("zfs", "raidz-1"): 3,
    ("zfs", "raidz-2"): 4,
    ("zfs", "raidz-3"): 5,
    ("btrfs", "raid0"): 1,
    ("btrfs", "raid1"): 2,
    ("btrfs", "raid10"): 4,
}
"""(file system, its RAID) → how many disks it wants at least."""

_FINGERPRINT: Final = re.compile(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", re.IGNORECASE)
_HASH: Final = re.compile(r"\$(y|gy|7|6|5|2[aby])\$[!-~]+")
_MAC: Final = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_KEY: Final = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}( [^\r\n]*)?")
_FQDN: Final = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*")


def _like(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def checked(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(f"want {what}")
        return text

    return AfterValidator(checked)


def _address(text: str) -> str:
    return str(ip_address(text))


def _interface(text: str) -> str:
    if "/" not in text:
        raise ValueError("want an address with its prefix, such as 10.0.0.7/24")
    return str(ip_interface(text))


_Fingerprint = Annotated[str, _like(_FINGERPRINT, "a SHA-256: 32 bytes, colons between them")]
_Url = Annotated[str, _like(re.compile(r"https?://[!-~]+"), "a URL of http or https")]
_Disk = Annotated[str, _like(re.compile(r"(/dev/)?[A-Za-z0-9._:/-]+"), "the name of a disk")]
_Mac = Annotated[str, _like(_MAC, "a MAC address in small letters, with colons")]
_Nic = Annotated[
    str, _like(re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,14}"), "a name of 2 to 15 letters")
]
_Zone = Annotated[str, Field(max_length=64), AfterValidator(locales.timezone)]
_HostName = Annotated[
    str,
    _like(_FQDN, "a host name with its domain"),
    _like(re.compile(r"[0-9]*[^0-9.].*"), "a host name that is not of digits alone"),
]
_Mail = Annotated[str, _like(re.compile(r"[^@\s]+@[^@\s]+"), "a mail address")]
_Gib = Annotated[float, Field(gt=0, le=1_048_576, strict=False)]


class Part(BaseModel):
    """A section: keys with dashes, none that is not known, values of just their type."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        alias_generator=lambda name: name.replace("_", "-"),
    )


class FromDhcp(Part):
    source: Literal["from-dhcp"]
    domain: Annotated[str, _like(_FQDN, "a domain")] | None = None


class Global(Part):
    country: Annotated[str, AfterValidator(locales.country)]
    keyboard: Literal[KEYBOARDS]  # type: ignore[valid-type] # a tuple of literals
    fqdn: _HostName | FromDhcp
    mailto: _Mail
    timezone: _Zone
    root_password: Annotated[str, Field(min_length=8, max_length=512)] | None = None
    root_password_hashed: Annotated[str, _like(_HASH, "a hash of crypt(5)")] | None = None
    root_ssh_keys: list[Annotated[str, _like(_KEY, "a public key of SSH, a line")]] | None = None
    reboot_on_error: bool = False
    reboot_mode: Literal["reboot", "power-off"] | None = None
    subscription_key: Annotated[str, Field(pattern=r"^[a-z0-9-]{8,64}$")] | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.root_password is None) == (self.root_password_hashed is None):
            raise ValueError("want exactly one of root-password and root-password-hashed")
        return self


class Pinning(Part):
    enabled: bool
    mapping: dict[_Mac, _Nic] | None = None

    @model_validator(mode="after")
    def _each_name_once(self) -> Self:
        names = list((self.mapping or {}).values())
        if len(set(names)) < len(names):
            raise ValueError("two cards cannot have one name")
        return self


_Filter = dict[Annotated[str, Field(pattern=r"^[A-Z0-9_]+$")], Annotated[str, Field(min_length=1)]]
"""Property of udev → the pattern that its value must match."""


class Network(Part):
    source: Literal["from-dhcp", "from-answer"]
    cidr: Annotated[str, AfterValidator(_interface)] | None = None
    dns: Annotated[str, AfterValidator(_address)] | None = None
    gateway: Annotated[str, AfterValidator(_address)] | None = None
    filter: _Filter | None = None
    interface_name_pinning: Pinning | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        stated = {
            "cidr": self.cidr,
            "dns": self.dns,
            "gateway": self.gateway,
            "filter": self.filter,
        }
        if self.source == "from-dhcp" and any(stated.values()):
            named = ", ".join(name for name, value in stated.items() if value)
            raise ValueError(f"with from-dhcp there is no {named}")
        if self.source == "from-answer" and not all(stated.values()):
            named = ", ".join(name for name, value in stated.items() if not value)
            raise ValueError(f"from-answer wants {named} too")
        if self.cidr is not None and self.gateway is not None:
            _reached(ip_interface(self.cidr), self.gateway)
        return self


def _reached(interface: IPv4Interface | IPv6Interface, gateway: str) -> None:
    if ip_address(gateway) not in interface.network:
        raise ValueError(f"the gateway {gateway} is not in {interface.network}")
    if ip_address(gateway) == interface.ip:
        raise ValueError(f"the gateway {gateway} is the machine itself")


class Zfs(Part):
    raid: Literal["raid0", "raid1", "raid10", "raidz-1", "raidz-2", "raidz-3"]
    ashift: Annotated[int, Field(ge=9, le=16)] | None = None
    arc_max: Annotated[int, Field(ge=64)] | None = None
    checksum: Literal["on", "fletcher4", "sha256"] | None = None
    compress: Literal["on", "off", "lzjb", "lz4", "zle", "gzip", "zstd"] | None = None
    copies: Annotated[int, Field(ge=1, le=3)] | None = None
    hdsize: _Gib | None = None


class Btrfs(Part):
    raid: Literal["raid0", "raid1", "raid10"]
    compress: Literal["on", "off", "zlib", "lzo", "zstd"] | None = None
    hdsize: _Gib | None = None


class Lvm(Part):
    hdsize: _Gib | None = None
    swapsize: Annotated[float, Field(ge=0, strict=False)] | None = None
    maxroot: _Gib | None = None
    maxvz: Annotated[float, Field(ge=0, strict=False)] | None = None
    minfree: Annotated[float, Field(ge=0, strict=False)] | None = None


_SECTION: Final = {"ext4": "lvm", "xfs": "lvm", "zfs": "zfs", "btrfs": "btrfs"}
"""Which section goes with a file system."""


class DiskSetup(Part):
    filesystem: Literal["ext4", "xfs", "zfs", "btrfs"]
    disk_list: Annotated[list[_Disk], Field(min_length=1)] | None = None
    filter: _Filter | None = None
    filter_match: Literal["any", "all"] | None = None
    zfs: Zfs | None = None
    btrfs: Btrfs | None = None
    lvm: Lvm | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        _one_choice(self)
        for section in ("zfs", "btrfs", "lvm"):
            if getattr(self, section) is not None and section != _SECTION[self.filesystem]:
                raise ValueError(f"{self.filesystem} has no section {section}")
        raided = {"zfs": self.zfs, "btrfs": self.btrfs}
        if self.filesystem in raided and raided[self.filesystem] is None:
            raise ValueError(f"{self.filesystem} wants {self.filesystem}.raid")
        _enough(self)
        return self


def _one_choice(setup: DiskSetup) -> None:
    if (setup.disk_list is None) == (setup.filter is None):
        raise ValueError("want exactly one of disk-list and filter")
    if setup.filter is None and setup.filter_match is not None:
        raise ValueError("filter-match goes with filter")


def _enough(setup: DiskSetup) -> None:
    """Count the disks, where they are named.  Raises ValueError."""
    if setup.disk_list is None:
        return
    named = [name.rpartition("/")[2] for name in setup.disk_list]
    if len(set(named)) < len(named):
        raise ValueError("a disk is named twice")
    part = setup.zfs or setup.btrfs
    if part is None:
        if len(named) != 1:
            raise ValueError(f"{setup.filesystem} wants exactly one disk, not {len(named)}")
        return
    least = LEAST_DISKS[(setup.filesystem, part.raid)]
    if len(named) < least:
        raise ValueError(f"{part.raid} wants at least {least} disks, not {len(named)}")


class Webhook(Part):
    url: _Url
    cert_fingerprint: _Fingerprint | None = None
    auth_token: Annotated[str, Field(min_length=1, max_length=512)] | None = None


class FirstBoot(Part):
    source: Literal["from-url", "from-iso"]
    url: _Url | None = None
    cert_fingerprint: _Fingerprint | None = None
    ordering: Literal["before-network", "network-online", "fully-up"] | None = None

    @model_validator(mode="after")
    def _has_url(self) -> Self:
        if (self.source == "from-url") != (self.url is not None):
            raise ValueError("a url goes with from-url, and with nothing else")
        return self


class Answer(Part):
    """A whole answer, as the installer reads it."""

    global_: Annotated[Global, Field(alias="global")]
    network: Network
    disk_setup: DiskSetup
    post_installation_webhook: Webhook | None = None
    first_boot: FirstBoot | None = None

    def document(self) -> dict[str, Any]:
        """Return its sections and keys as the installer names them, nothing that is not said."""
        return self.model_dump(by_alias=True, exclude_none=True)


def read(document: Mapping[str, Any], *, field: str) -> Answer:
    """Return the answer that *document* is.

    Raises Invalid with the first fault at its place below *field*, and the others in its hint.
    """
    try:
        return Answer.model_validate(document)
    except ValidationError as exc:
        faults = [_fault(error) for error in exc.errors(include_url=False, include_input=False)]
    (place, message), others = faults[0], faults[1 : _TOLD + 1]
    also = "; ".join(f"{where}: {what}" for where, what in others)
    said = f"{place.removeprefix('/').replace('/', '.')}: {message}"
    raise Invalid(said, field=f"{field}{place}", hint=f"Also: {also}." if also else "")


_TOLD: Final = 5


def _fault(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return the JSON pointer and the words of a fault, without pydantic's names of its choices."""
    parts = [str(part) for part in error["loc"]]
    keys = [part for part in parts if not part[:1].isupper() and "[" not in part]
    return "".join(f"/{key}" for key in keys), str(error["msg"]).removeprefix("Value error, ")
