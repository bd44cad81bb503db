"""How the answer of one host comes about: its profile, its server type, and what Sprout decides.

Profile and server type speak the installer's own language (TOML, the keys of `models.answers`).
What a server type says of its hardware wins over the profile.  Name, keys and addresses of control
are decided here alone: whoever could write them could send a host to another control plane.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from models.errors import Invalid

if TYPE_CHECKING:
    from models.answers import Answer

_OURS: Final = (
    ("global", "fqdn"),
    ("global", "root-password"),
    ("post-installation-webhook",),
    ("first-boot",),
)
"""What nobody else states: a password in clear least of all."""

LARGEST: Final = 64 * 1024
"""Bytes of a text that is read."""

OVERLAY: Final = "overlay"
"""The way to boot of a type whose firmware cannot carry the ISO: Linux fetches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a server type says: the disk to install to, the card to manage it by, and any key.

    *boot*: `OVERLAY`, or else the ISO is loaded beside the initramfs.  *disk* are properties of
    udev, of which any tells the disk that is known of the machine itself.
    """

    boot_disk: str = ""
    disk: Mapping[str, str] = field(default_factory=dict)
    management_nic: str = ""
    boot: str = ""
    answer: str = ""

    @classmethod
    def of(cls, stated: Mapping[str, str]) -> Self:
        """Return what `stated` gave."""
        return cls(
            boot_disk=stated.get("boot_disk", ""),
            management_nic=stated.get("management_nic", ""),
            boot=stated.get("boot", ""),
            answer=stated.get("answer", ""),
        )

    def stated(self) -> dict[str, str]:
        """Return what the server type itself says, as plain values."""
        return {
            "boot_disk": self.boot_disk,
            "management_nic": self.management_nic,
            "boot": self.boot,
            "answer": self.answer,
        }


NO_TYPE: Final = Hardware()
"""Where no server type says anything."""


def shown(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a workflow was asked with, without the text of its server type.

    That may hold the hash of a password, or the key of a subscription.
    """
    told = params.get("hardware")
    if not isinstance(told, Mapping):
        return params
    return {**params, "hardware": {key: told[key] for key in told if key != "answer"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What Sprout decides for one rebuild; URLs may hold slots.

    *ssh_key*: one line, the public half of the rebuild's own pair.  *password_hash*: crypt(5), used
    where the profile has none.  *fingerprint*: SHA-256 of the certificate behind the URLs, or "".
    *usual*: keys of [global] for what nobody states.
    """

    fqdn: str
    ssh_key: str
    password_hash: str
    installed_url: str
    first_boot_url: str
    fingerprint: str = ""
    usual: Mapping[str, str] = field(default_factory=dict)


def composed(profile: str, hardware: Hardware, ours: Ours) -> "Answer":
    """Return the whole answer.  Raises Invalid, below /profile or /serverType where one erred."""
    from models import answers  # noqa: PLC0415 - its models are large, and most ask for no answer

    stated = _read(profile, field="/profile")
    told = _read(hardware.answer, field="/serverType/answer")
    merged = _over(stated, told)
    _choose_disk(merged, hardware)
    _choose_card(merged, hardware)
    _add_ours(merged, ours)
    return answers.read(merged, field="/answer")


def _read(text: str, *, field: str) -> dict[str, Any]:
    if len(text.encode()) > LARGEST:
        raise Invalid(f"more than {LARGEST} bytes", field=field)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise Invalid(f"no TOML: {exc}", field=field) from None
    for path in _OURS:
        if _at(document, path) is not None:
            raise Invalid(
                f"{'.'.join(path)} is Sprout's to decide",
                field=f"{field}/{'/'.join(path)}",
                hint="Leave it out.",
            )
    return document


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return *below* with whatever *above* states, section by section."""
    merged = dict(below)
    for key, value in above.items():
        kept = merged.get(key)
        if isinstance(kept, Mapping) and isinstance(value, Mapping):
            merged[key] = _over(kept, value)
        else:
            merged[key] = value
    return merged


def _section(merged: dict[str, Any], name: str, default: Mapping[str, Any]) -> dict[str, Any]:
    found = merged.get(name, default)
    if not isinstance(found, Mapping):
        raise Invalid(f"{name} is a section", field=f"/answer/{name}")
    section = merged[name] = dict(found)
    return section


def _choose_disk(merged: dict[str, Any], hardware: Hardware) -> None:
    disks = _section(merged, "disk-setup", {})
    disks.setdefault("filesystem", "ext4")
    if disks.keys() & {"disk-list", "filter"}:
        return
    if hardware.boot_disk:
        disks["disk-list"] = [hardware.boot_disk]
    elif hardware.disk:
        disks |= {"filter": dict(hardware.disk), "filter-match": "any"}


def _choose_card(merged: dict[str, Any], hardware: Hardware) -> None:
    network = _section(merged, "network", {"source": "from-dhcp"})
    if network.get("source") == "from-answer" and hardware.management_nic:
        network.setdefault("filter", {"INTERFACE": hardware.management_nic})


def _add_ours(merged: dict[str, Any], ours: Ours) -> None:
    general = merged["global"] = {**ours.usual, **_section(merged, "global", {})}
    general["fqdn"] = ours.fqdn
    if "root-password-hashed" not in general and ours.password_hash:
        general["root-password-hashed"] = ours.password_hash
    keys = general.get("root-ssh-keys", [])
    general["root-ssh-keys"] = [*keys, ours.ssh_key] if isinstance(keys, list) else keys
    pin = {"cert-fingerprint": ours.fingerprint} if ours.fingerprint else {}
    merged["post-installation-webhook"] = {"url": ours.installed_url, **pin}
    script = {"source": "from-url", "url": ours.first_boot_url, "ordering": "fully-up"}
    merged["first-boot"] = {**script, **pin}
