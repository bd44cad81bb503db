"""The scripts that hold no machine's secret: local boot, a stranger's, and the entry's chain."""

from functools import cache
from importlib import resources

from models.bootplan import fill


@cache
def _template(name: str) -> str:
    return (resources.files("pxe_stack") / "templates" / "ipxe" / name).read_text("ascii")


def local_boot(boot_url: str) -> str:
    """Return the constant script that starts the machine's own disk."""
    return fill(_template("local-boot.ipxe"), {"boot.base_url": boot_url})


def unknown_machine() -> str:
    """Return the constant script for a machine without a plan: it says so, and exits."""
    return _template("unknown.ipxe")


def chain(script_url: str, trouble_url: str) -> str:
    """Return the script that goes on to *script_url*, or tells *trouble_url* why it could not."""
    values = {"script.url": script_url, "trouble.url": trouble_url}
    return fill(_template("chain.ipxe"), values)
