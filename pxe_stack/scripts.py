"""The scripts that hold no machine's secret: local boot, a stranger's, and the entry's chain.

For iPXE, and for GRUB, which asks for paths of the server that it came from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final
from urllib.parse import urlsplit

from models.bootplan import fill

_EXIT: Final = "exit\n"


@cache
def template(name: str) -> str:
    """Return the text of a template, like `ipxe/chain.ipxe`."""
    return (resources.files("pxe_stack") / "templates" / name).read_text("ascii")


def local_boot(boot_url: str) -> str:
    """Return the constant script that starts the machine's own disk."""
    return fill(template("ipxe/local-boot.ipxe"), {"boot.base_url": boot_url})


def unknown_machine() -> str:
    """Return the constant script for a machine without a plan: it says so, and exits."""
    return template("ipxe/unknown.ipxe")


def chain(script_url: str, trouble_url: str) -> str:
    """Return the script that goes on to *script_url*, or tells *trouble_url* why it could not."""
    values = {"script.url": script_url, "trouble.url": trouble_url}
    return fill(template("ipxe/chain.ipxe"), values)


def grub_local_boot(boot_url: str = "") -> str:
    """Return what local_boot is to GRUB."""
    said = 'echo "Sprout: nothing to install on this machine; starting its own disk."\n'
    return said + template("grub/local-boot.cfg") + _EXIT


def grub_unknown_machine() -> str:
    """Return what unknown_machine is to GRUB."""
    return template("grub/unknown.cfg") + template("grub/local-boot.cfg") + _EXIT


def grub_chain(script_url: str, trouble_url: str) -> str:
    """Return what chain is to GRUB."""
    values = {
        "script.path": urlsplit(script_url).path,
        "trouble.path": urlsplit(trouble_url).path,
    }
    return fill(template("grub/chain.cfg"), values)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one loader reads: below which path it enters, its script among a plan's documents, and
    the constants.
    """

    entry: str
    script: str
    local: Callable[[str], str]
    unknown: Callable[[], str]
    chain: Callable[[str, str], str]


IPXE: Final = Dialect("ipxe", "script", local_boot, unknown_machine, chain)
GRUB: Final = Dialect("grub", "script.grub", grub_local_boot, grub_unknown_machine, grub_chain)
DIALECTS: Final = {each.script: each for each in (IPXE, GRUB)}
