"""What Debian's installer is served: a preseed by the kernel's command line, and the system's seed.

The profile is cloud-config for the installed system, in which cloud-init is put; its key `preseed`
holds further answers for the installer, as text.
"""

import re
from typing import Any, Final

from models import names
from models.bootplan import Access, Document
from models.installers import Installer
from pxe_stack import installer_parts as parts
from pxe_stack import render, seeds
from pxe_stack.kernel_args import Part
from pxe_stack.render import Order

KEY: Final = "preseed"
PACKAGES: Final = ("openssh-server", "cloud-init", "curl")
_SCRIPT: Final = "/tmp/sprout-installer"  # noqa: S108 - in the installer's memory, where root is alone
_ANSWER: Final = re.compile(
    r"[a-z0-9.+-]+[ \t]+[A-Za-z0-9/_.:+-]+[ \t]+"
    r"(string|boolean|select|multiselect|password|note|text|error|title)([ \t].*)?"
)
"""A line of debconf-set-selections(1): owner, question, type and value."""
_OURS: Final = frozenset(
    {"preseed/early_command", "preseed/late_command", "preseed/run", "preseed/include"}
    | {"preseed/include_command", "partman/early_command", "partman-auto/disk"}
    | {"grub-installer/bootdev", "pkgsel/include"}
)


def documents(order: Order) -> tuple[Document, ...]:
    """Return everything that *order*'s machine is served.  Raises Invalid, with the field."""
    config = seeds.cloud_config(render.filled(order.cloud_config_template, render.variables(order)))
    own = answers(config.pop(KEY, ""))
    return render.bounded(
        *parts.scripts(order, arguments),
        *parts.seed(order, user_data(order, config)),
        render.document("seed/preseed.cfg", Access.SEED, preseed(order, own)),
        render.document("seed/installer", Access.SEED, parts.installer(order, Installer.PRESEED)),
        render.document("seed/debian", Access.SEED, _debian(order)),
    )


def arguments(order: Order) -> tuple[Part, ...]:
    """Return the installer's kernel command line: the interface is the one that was booted from."""
    return (
        Part("auto", "true"),
        Part("priority", "critical"),
        Part("url", f"{render.SEED_URL}/seed/preseed.cfg"),
        Part("netcfg/choose_interface", "auto"),
        Part("netcfg/get_hostname", names.hostname(order.hostname, field="/hostname")),
        Part("netcfg/get_domain", order.addressing.domain),
        Part("BOOTIF", parts.bootif(order)),
        *map(Part.read, order.kernel_args),
    )


def user_data(order: Order, config: dict[str, Any]) -> str:
    """Return the installed system's cloud-config.

    Its own service phones home, with the keys that were made when sshd was installed.
    """
    whole = {"disable_root": False, **parts.system(order, config), "ssh_deletekeys": False}
    del whole["phone_home"]
    return f"#cloud-config\n{seeds.dump(whole)}"


def answers(text: Any) -> str:
    """Return the profile's own answers, a line each.  Raises Invalid for others, and for ours."""
    if not isinstance(text, str):
        raise seeds.unfit("preseed must be text: one answer for debconf on each line")
    lines = re.sub(r"\s*\\\n\s*", " ", text).splitlines()
    kept = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for number, line in enumerate(kept, 1):
        # By its number: what stands in it may be a password.
        if not line.replace("\t", " ").isprintable() or not _ANSWER.fullmatch(line):
            raise seeds.unfit(f"preseed: answer {number} is none for debconf")
        if line.split()[1] in _OURS:
            raise seeds.unfit(f"preseed: {line.split()[1]} is Sprout's")
    return "".join(f"{line}\n" for line in kept)


def preseed(order: Order, own: str = "") -> str:
    """Return preseed.cfg, in which *own* answers count more than the usual ones."""
    return render.ours(
        "installers/preseed.cfg",
        hostname=order.hostname,
        domain=order.addressing.domain or "unassigned-domain",
        own=own,
        packages=" ".join(PACKAGES),
        script=_SCRIPT,
        stand_in=parts.STAND_IN,
        seed=f"{render.SEED_URL}/seed/",
    )


def _debian(order: Order) -> str:
    told = order.addressing
    lines = [f"address {told.address}/{told.prefix_length}"]
    lines += [f"gateway {told.gateway}"] if told.gateway else []
    lines += [f"dns-nameservers {' '.join(told.dns)}"] if told.dns else []
    return render.ours(
        "installers/debian.sh",
        seed=f"{render.SEED_URL}/seed/",
        callback=render.CALLBACK_URL,
        mac=order.mac,
        network="\n".join(f"    {line}" for line in lines),
    )
