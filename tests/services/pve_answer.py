"""What the installer of Proxmox VE takes as its answer, by its own words and not by ours.

Source: specification of provisioning, §2.8.
"""

from collections.abc import Mapping
from typing import Any, Final

_LAYOUT: Final[Mapping[str, set[str]]] = {
    "": {"global", "network", "disk-setup", "post-installation-webhook", "first-boot"},
    "global": {
        *("country", "keyboard", "fqdn", "mailto", "timezone", "root-password"),
        *("root-password-hashed", "root-ssh-keys", "reboot-on-error", "reboot-mode"),
        "subscription-key",
    },
    "global.fqdn": {"source", "domain"},
    "network": {"source", "cidr", "dns", "gateway", "filter", "interface-name-pinning"},
    "network.interface-name-pinning": {"enabled", "mapping"},
    "disk-setup": {"filesystem", "disk-list", "filter", "filter-match", "zfs", "btrfs", "lvm"},
    "disk-setup.zfs": {"raid", "ashift", "arc-max", "checksum", "compress", "copies", "hdsize"},
    "disk-setup.btrfs": {"raid", "compress", "hdsize"},
    "disk-setup.lvm": {"hdsize", "swapsize", "maxroot", "maxvz", "minfree"},
    "post-installation-webhook": {"url", "cert-fingerprint", "auth-token"},
    "first-boot": {"source", "url", "cert-fingerprint", "ordering"},
}
"""The keys of each section; what is not here, filters and mappings, has keys of its own."""

_NEEDED: Final = {
    "": {"global", "network", "disk-setup"},
    "global": {"country", "keyboard", "fqdn", "mailto", "timezone"},
    "network": {"source"},
    "disk-setup": {"filesystem"},
    "post-installation-webhook": {"url"},
    "first-boot": {"source"},
}
_ONE_OF: Final = (
    ("global", ("root-password", "root-password-hashed")),
    ("disk-setup", ("disk-list", "filter")),
)
_VALUES: Final[Mapping[tuple[str, str], set[str]]] = {
    ("network", "source"): {"from-dhcp", "from-answer"},
    ("disk-setup", "filesystem"): {"ext4", "xfs", "zfs", "btrfs"},
    ("disk-setup", "filter-match"): {"any", "all"},
    ("global", "reboot-mode"): {"reboot", "power-off"},
    ("first-boot", "source"): {"from-url", "from-iso"},
    ("first-boot", "ordering"): {"before-network", "network-online", "fully-up"},
}


class Unfit(Exception):
    """The installer would not take the answer."""


def taken(answer: Any) -> dict[str, Any]:
    """Return *answer* with dashes in its keys, as the installer reads it.  Raises Unfit."""
    made = _section("", answer)
    for place, names in _ONE_OF:
        found = [name for name in names if name in made[place]]
        if len(found) != 1:
            raise Unfit(f"{place} wants exactly one of {', '.join(names)}")
    for (place, name), values in _VALUES.items():
        found = made.get(place, {}).get(name)
        if found is not None and found not in values:
            raise Unfit(f"{place}.{name} cannot be {found!r}")
    if made.get("first-boot", {}).get("source") == "from-url" and not made["first-boot"].get("url"):
        raise Unfit("first-boot.url is missing")
    return made


def _section(place: str, told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise Unfit(f"{place or 'the answer'} is no section")
    made = {}
    for key, value in told.items():
        name = key.replace("_", "-")
        if name not in _LAYOUT[place]:
            raise Unfit(f"unknown key {place or 'the answer'}.{key}")
        below = f"{place}.{name}".lstrip(".")
        # A name may be a text, or a section that says where it comes from.
        plain = below not in _LAYOUT or (below == "global.fqdn" and isinstance(value, str))
        made[name] = value if plain else _section(below, value)
    if missing := sorted(_NEEDED.get(place, set()) - made.keys()):
        raise Unfit(f"{place or 'the answer'} lacks {', '.join(missing)}")
    return made
