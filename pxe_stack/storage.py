"""Which disks an autoinstall writes to: the machine's root disk where a profile names no other.

Subiquity takes the first or the largest disk that is free for one that is not named, reads neither
a WWN nor what it does not know, and takes patterns for names (its models/filesystem.py).  A list of
storage actions is therefore held to this: one of its disks is the root disk, and the others are
named by their whole serial numbers.
"""

from collections.abc import Mapping
from typing import Any, Final

from models.errors import Invalid
from pxe_stack import seeds
from pxe_stack.installer_parts import STAND_IN
from pxe_stack.render import Order

_WHO: Final = frozenset({"serial", "wwn", "path", "match", "id_path", "devpath"})
"""What an action may say of which disk it means."""
_NAMES: Final = ("serial", "wwn", "path")
_PATTERN: Final = frozenset("*?[")
_CURE: Final = (
    "Leave serial, wwn, path and match out of one disk, which then is the root disk; name others by"
    " their serial numbers."
)


def bound(given: Mapping[str, Any], order: Order) -> dict[str, Any]:
    """Return the storage that *order*'s machine is installed by.

    A layout without a match goes to the largest disk, and so does a storage without a layout: both
    are given the root disk.  Raises Invalid for actions that may write to another one.
    """
    if "config" in given:
        return {**given, "config": _actions(given["config"], order)}
    layout = given.get("layout", {"name": "direct"})
    if not isinstance(layout, dict):
        raise seeds.unfit("storage must hold a layout with a name")
    return {**given, "layout": {**layout, "match": layout.get("match") or {"path": STAND_IN}}}


def _actions(config: Any, order: Order) -> list[dict[str, Any]]:
    if not isinstance(config, list) or not all(isinstance(each, dict) for each in config):
        raise _unfit("must be a list of actions")
    made = [_bound(each, order) if each.get("type") == "disk" else each for each in config]
    if any(each.get("type") == "device" for each in config):
        raise _unfit("has an action of the type device, which names a disk by its place")
    disks = [each for each in made if each.get("type") == "disk"]
    roots = sum(each.get("path") == STAND_IN for each in disks)
    if roots > 1:
        raise _unfit("means the root disk more than once: name the other disks by their serial")
    if not roots and (order.disk_serial or order.disk_wwn):
        raise _unfit(f"has no disk that is the machine's root disk, {_called(order)}")
    return made


def _bound(disk: Mapping[str, Any], order: Order) -> dict[str, Any]:
    """Return *disk* as the root disk, or as it is where its whole serial names another."""
    match = disk.get("match") or {}
    if not isinstance(match, dict):
        raise _disk_unfit(disk, "has a match that is no mapping")
    told = {key: disk.get(key, match.get(key)) for key in _NAMES}
    named = {key: value for key, value in told.items() if value is not None}
    if not named or _is_root(named, order):
        rest = {key: value for key, value in disk.items() if key not in _WHO}
        return {**rest, "path": STAND_IN}
    serial = named.get("serial")
    if not isinstance(serial, str) or not serial.strip() or _PATTERN & set(serial):
        raise _disk_unfit(disk, "is not named by its whole serial number")
    return dict(disk)


def _is_root(named: Mapping[str, Any], order: Order) -> bool:
    """Whether all that is *named* is what is known of the machine's root disk."""
    if named.get("path") == STAND_IN:
        return len(named) == 1
    known = {"serial": order.disk_serial, "wwn": order.disk_wwn}
    return all(bool(known.get(key)) and value == known[key] for key, value in named.items())


def _called(order: Order) -> str:
    told = {"serial": order.disk_serial, "wwn": order.disk_wwn}
    return " ".join(f"{key} {value!r}" for key, value in told.items() if value)


def _disk_unfit(disk: Mapping[str, Any], why: str) -> Invalid:
    return _unfit(f"has a disk {str(disk.get('id', ''))[:64]!r} that {why}")


def _unfit(why: str) -> Invalid:
    found = seeds.unfit(f"autoinstall's storage.config {why}")
    return Invalid(str(found), field=found.field, hint=_CURE)
