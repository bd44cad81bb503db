"""What the installer of Proxmox VE is served: kernel, initramfs and ISO, its answer, a first boot.

The profile holds the answer, in the installer's own language, as the text of its key `proxmox`;
what it does not say, the server type or Sprout says.  Nothing here is of one run alone: its ids,
tokens and key are slots.
"""

import json
import re
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from models import answering
from models.answering import Hardware, Ours
from models.bootplan import Access, Document, slot
from models.errors import Invalid
from pxe_stack import installer_parts as parts
from pxe_stack import kernel_args, overlay, render, seeds, toml
from pxe_stack.host_documents import ANSWER_JSON, ANSWER_TOML, FIRST_BOOT, ISO, OVERLAY, WORDS
from pxe_stack.kernel_args import Part
from pxe_stack.render import ByUefi, Order

KEY: Final = "proxmox"

_NOWHERE: Final = "internal"
"""The domain of a host whose network has none: the installer wants one (ICANN, private use)."""

_USUAL: Final = MappingProxyType({"country": "us", "keyboard": "en-us", "timezone": "UTC"})
_LARGEST: Final = 1 << 20
"""Bytes of a first-boot script, by the installer."""

_WORDS: Final = ("rw", "quiet")
_HOST: Final = f"/api/hosts/{slot('machine.id')}"
_BY_RUN: Final = f"?run={slot('run.id')}&token="
_STOOD_IN: Final = MappingProxyType(
    {
        "http://sprout.invalid": render.BASE,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVwaGVtZXJhbA sprout-run": slot("run.ssh_key"),
    }
)
"""What stands for a slot while the answer is judged: a URL and a key must look like themselves."""

_BASE, _SSH_KEY = _STOOD_IN
_ORDINARY: Final = Hardware(answer='global.root-password-hashed = "$6$salt$hash"')
_SERIAL: Final = re.compile(r"[A-Za-z0-9 ._:#/+-]{1,128}")
_TYPED: Final = ("eui.", "nvme.", "0x")


def documents(order: Order) -> tuple[Document, ...]:
    """Return everything that *order*'s machine is served.  Raises Invalid, with the field."""
    told = answer(order)
    made = {
        ANSWER_TOML: ("application/toml", toml.dump(told)),
        ANSWER_JSON: ("application/json", f"{json.dumps(told, indent=1)}\n"),
        FIRST_BOOT: ("text/x-shellscript", first_boot(order.pin)),
        WORDS: ("application/toml", words(order.pin)),
    }
    return render.bounded(
        *_scripts(order),
        *(
            Document(name=name, access=Access.SEED, media_type=kind, body=_slotted(body))
            for name, (kind, body) in made.items()
        ),
    )


def _scripts(order: Order) -> tuple[Document, Document]:
    beside, by_uefi = _beside(order), None
    if beside == ISO:
        overlaid = replace(order, hardware=replace(order.hardware, boot=answering.OVERLAY))
        line = kernel_args.line(_kernel(overlaid, "initrd"))
        by_uefi = ByUefi(beside=OVERLAY, arguments=line)
    ipxe, grub = _kernel(order, "initrd"), _kernel(order)
    return parts.started(order, ipxe, grub, beside=beside, by_uefi=by_uefi)


def ordinary(order: Order) -> Order:
    """Return *order* for a host whose server type says what a profile need not."""
    return replace(order, disk_serial=render.ORDINARY.disk_serial, hardware=_ORDINARY)


def _beside(order: Order) -> str:
    """Return what the initramfs is loaded with: the ISO, or what fetches it from Linux."""
    return OVERLAY if overlay.KERNEL_ARGUMENT in _arguments(order) else ISO


def _arguments(order: Order) -> tuple[str, ...]:
    """Return what the kernel is told beyond the vendor's words."""
    by_type = (overlay.KERNEL_ARGUMENT,) if order.hardware.boot == answering.OVERLAY else ()
    return tuple(dict.fromkeys((*by_type, *order.kernel_args)))


def _kernel(order: Order, *by_name: str) -> tuple[Part, ...]:
    """Return the kernel command line in the words and the order of the vendor's own boot.ipxe.

    By UEFI's old way a kernel loads what *by_name* names, and as it stands: so an archive first,
    whose beginning must lie at a multiple of four bytes, as a compressed one need not.
    """
    archives = (OVERLAY,) if _beside(order) == OVERLAY else ()
    return (
        Part("ramdisk_size", "16777216"),
        *map(Part, _WORDS),
        *(Part(name, file) for name in by_name for file in (*archives, "initrd.img")),
        Part("splash", "silent"),
        Part("proxmox-start-auto-installer"),
        *map(Part.read, _arguments(order)),
    )


def answer(order: Order) -> dict[str, Any]:
    """Return the answer by its sections, with stand-ins for slots.  Raises Invalid."""
    fqdn = order.fqdn if "." in order.fqdn else f"{order.fqdn}.{_NOWHERE}"
    ours = Ours(
        fqdn=fqdn.lower(),
        ssh_key=_SSH_KEY,
        password_hash=order.password_hash,
        installed_url=f"{_BASE}{_HOST}/installed{_BY_RUN}{slot('run.token.callback')}",
        first_boot_url=f"{_BASE}{_HOST}/{FIRST_BOOT}{_BY_RUN}{slot('run.token.seed')}",
        fingerprint=order.pin,
        usual={**_USUAL, "mailto": f"root@{fqdn}".lower()},
    )
    made = _composed(_profile(order), _hardware(order), ours)
    keys = (*made["global"]["root-ssh-keys"], *filter(_is_plain, order.ssh_keys))
    made["global"]["root-ssh-keys"] = list(dict.fromkeys(keys))
    return made


def _composed(profile: str, hardware: Hardware, ours: Ours) -> dict[str, Any]:
    """Return the answer's sections.  Raises Invalid, at the profile unless its type is at fault."""
    try:
        return answering.composed(profile, hardware, ours).document()
    except Invalid as exc:
        if exc.field.startswith("/serverType"):
            raise
        raise Invalid(str(exc), field=seeds.FIELD, hint=exc.hint) from None


def words(pin: str = "") -> str:
    """Return what the installer reads in its ISO, with slots: at most `iso_slot.SLOT` bytes."""
    pinned = {"cert_fingerprint": pin} if pin else {}
    bearer = f"{slot('run.id')}:{slot('run.token.seed')}"
    asked = toml.dump(
        {"http": {"url": f"{render.BASE}/api/boot/answer", "token": bearer, **pinned}}
    )
    return f'mode = "http"\n\n{asked}'


def first_boot(pin: str = "") -> str:
    """Return the script that the installed system runs until it could phone home."""
    url = f"{render.BASE}{_HOST}/phone-home{_BY_RUN}{slot('run.token.callback')}"
    return render.ours("installers/proxmox.sh", home_url=url, pin=pin)


def _slotted(text: str) -> str:
    for stand_in, name in _STOOD_IN.items():
        text = text.replace(stand_in, name)
    return text


def _profile(order: Order) -> str:
    config = seeds.cloud_config(render.filled(order.cloud_config_template, render.variables(order)))
    others = sorted(config.keys() - {KEY})
    if others:
        raise seeds.unfit(f"{others[0][:64]} is cloud-config, which Proxmox VE does not read")
    text = config.get(KEY, "")
    if not isinstance(text, str):
        raise seeds.unfit(f"{KEY} must be text: the installer's answer, as TOML")
    return text


def _hardware(order: Order) -> Hardware:
    return replace(order.hardware, disk={} if order.hardware.boot_disk else _disk(order))


def _disk(order: Order) -> dict[str, str]:
    """Return the properties by which udev names the disk that is known: any of them is it."""
    if order.disk_serial:
        serial = _plain(order.disk_serial, field="/rootDisk/serial").replace(" ", "_")
        return dict.fromkeys(("ID_SERIAL_SHORT", "ID_SERIAL", "ID_SCSI_SERIAL"), serial)
    if order.disk_wwn:
        wwn = _plain(order.disk_wwn, field="/rootDisk/wwn").lower()
        wwn = wwn if wwn.startswith(_TYPED) else f"0x{wwn}"
        return dict.fromkeys(("ID_WWN", "ID_WWN_WITH_EXTENSION"), wwn)
    return {}


def _plain(name: str, *, field: str) -> str:
    """Return *name* if the installer takes it for itself: in a pattern, a star is any disk."""
    text = render.disk_name(name, field=field)
    if _SERIAL.fullmatch(text) is None:
        raise Invalid(f"{text!r} cannot name a disk to this installer", field=field)
    return text


def _is_plain(key: str) -> bool:
    """Whether *key* has no options: a cluster shares the keys of root among all its nodes."""
    return "cert-authority" not in key.partition(" ")[0]
