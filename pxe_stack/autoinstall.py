"""What Ubuntu's installer is served: its ISO and its seed by a kernel command line, autoinstall.

A profile that is plain cloud-config becomes the `user-data` of an autoinstall; one with a key
`autoinstall` is that itself, and is given what it does not say.  By Ubuntu's "Autoinstall
configuration reference manual".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from models.bootplan import Access, Document
from models.errors import Invalid
from models.installers import Installer
from pxe_stack import installer_parts as parts
from pxe_stack import render, seeds, storage
from pxe_stack.kernel_args import NoCloud, Part
from pxe_stack.render import Order

KEY: Final = "autoinstall"
USER: Final = "ubuntu"
NO_PASSWORD: Final = "*"  # noqa: S105 - what no password hashes to
_SCRIPT: Final = "/run/sprout-installer"

_LISTS: Final = (
    *("early-commands", "late-commands", "error-commands", "interactive-sections"),
    *("snaps", "packages", "zdevs"),
)
_MAPPINGS: Final = (
    *("reporting", "user-data", "refresh-installer", "kernel", "kernel-crash-dumps", "keyboard"),
    *("source", "network", "ubuntu-pro", "ubuntu-advantage", "apt", "storage", "identity", "ssh"),
    *("active-directory", "codecs", "drivers", "oem"),
)
KEYS: Final[Mapping[str, type | tuple[type, ...]]] = MappingProxyType(
    dict.fromkeys(_LISTS, list)
    | dict.fromkeys(_MAPPINGS, dict)
    | dict.fromkeys(("debconf-selections", "locale", "timezone", "updates", "shutdown"), str)
    | {"version": int, "proxy": (str, type(None))}
)
"""Keys of version 1.  The installer passes over others: a misspelt one would be lost in silence."""


def documents(order: Order) -> tuple[Document, ...]:
    """Return everything that *order*'s machine is served.  Raises Invalid, with the field."""
    return render.bounded(
        *parts.scripts(order, arguments),
        *parts.seed(order, user_data(order), vendor_data=True),
        render.document(
            "seed/installer", Access.SEED, parts.installer(order, Installer.AUTOINSTALL)
        ),
    )


def arguments(order: Order) -> tuple[Part | NoCloud, ...]:
    """Return the installer's kernel command line.

    casper looks for its ISO at *iso-url*; cloud-init would take that word for its own, if
    *cloud-config-url* did not lead it elsewhere.
    """
    iso = f"{render.BASE}{render.artifact(order.iso_path, field='/isoPath')}"
    return (
        Part("autoinstall"),
        Part("ip", "dhcp"),
        Part("url" if order.older_media else "iso-url", iso),
        Part("cloud-config-url", "/dev/null"),
        NoCloud(f"{render.SEED_URL}/seed/", older=order.older_media),
        Part("BOOTIF", parts.bootif(order)),
        *map(Part.read, order.kernel_args),
    )


def user_data(order: Order) -> str:
    """Return the installer's own cloud-config, which holds the autoinstall alone."""
    config = seeds.cloud_config(render.filled(order.cloud_config_template, render.variables(order)))
    if KEY in config:
        given, system = _given(config), {}
    else:
        given, system = {}, config
    return f"#cloud-config\n{seeds.dump({KEY: _whole(order, given, system)})}"


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the autoinstall that the profile holds.  Raises Invalid for what would not install."""
    others = sorted(config.keys() - {KEY})
    if others:
        raise _unfit(others[0], "stands beside autoinstall; the system's cloud-config is user-data")
    given = config[KEY]
    if not isinstance(given, dict):
        raise _unfit(KEY, "must be a mapping")
    for key, value in given.items():
        _demand_known(key, value)
    if given.get("version", 1) != 1:
        raise _unfit("version", "must be 1")
    if "identity" in given and not {"username", "password"} <= given["identity"].keys():
        raise _unfit("identity", "must hold username and password")
    if given.get("interactive-sections"):
        raise _unfit("interactive-sections", "would wait for a person at the console")
    if given.get("shutdown", "reboot") != "reboot":
        raise _unfit("shutdown", "must be reboot: the installed system phones home")
    _demand_commands(given)
    return given


def _demand_commands(given: Mapping[str, Any]) -> None:
    for key in ("early-commands", "late-commands", "error-commands"):
        for command in given.get(key, ()):
            words = command if isinstance(command, list) else [command]
            if not words or not all(isinstance(word, str) for word in words):
                raise _unfit(key, "must be commands: text, or lists of words")


def _demand_known(key: Any, value: Any) -> None:
    kind = KEYS.get(key) if isinstance(key, str) else None
    if kind is None:
        raise _unfit(str(key)[:64], "is no key of autoinstall")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _unfit(key, f"cannot be {type(value).__name__}")


def _unfit(key: str, why: str) -> Invalid:
    return seeds.unfit(f"{key} {why}")


def _whole(order: Order, given: Mapping[str, Any], system: Mapping[str, Any]) -> dict[str, Any]:
    """Return the autoinstall: what is *given*, what it leaves out, and what tells the site."""
    usual = {
        "locale": "en_US.UTF-8",
        "keyboard": {"layout": "us"},
        "ssh": {
            "install-server": True,
            "allow-pw": False,
            "authorized-keys": list(order.ssh_keys),
        },
        "network": seeds.network_config(order.mac, order.addressing),
        "identity": {"hostname": order.hostname, "username": USER, "password": NO_PASSWORD},
    }
    whole = {**usual, **given, "version": 1}
    whole["identity"] = {**whole["identity"], "hostname": order.hostname}
    whole["storage"] = storage.bound(given.get("storage", {}), order)
    whole["user-data"] = _system(order, {**given.get("user-data", {}), **system})
    return {**whole, **_commands(given), "shutdown": "reboot"}


def _system(order: Order, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the installed system's cloud-config; root's keys are good, as on written images."""
    return {"disable_root": False, **parts.system(order, config)}


def _commands(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the commands: ours first when it begins, and last when it has ended."""
    url = f"{render.SEED_URL}/seed/installer"
    fetch = (
        f"curl -fsS --retry 10 --retry-connrefused --retry-delay 3 -o {_SCRIPT} {url}"
        f" || wget -q -t 10 --retry-connrefused -O {_SCRIPT} {url}"
    )
    run = f"sh {_SCRIPT}"
    first = [fetch, f"{run} started", f"{run} autoinstall /autoinstall.yaml"]
    return {
        "early-commands": [*first, *given.get("early-commands", [])],
        "late-commands": [*given.get("late-commands", []), f"{run} installed"],
        "error-commands": [f"{run} failed", *given.get("error-commands", [])],
    }
