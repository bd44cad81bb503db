"""What was found of a machine: its sizes, and the one disk that is written."""

from collections.abc import Mapping
from typing import Any, Final

from models.errors import NotReady

_MOST_MIB: Final = 2**31 - 1
_MOST_BYTES: Final = 2**63 - 1


def sizes(facts: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the memory in MiB and the bytes of the largest disk; None: not told, or nonsense."""
    disks = facts.get("disks", ())
    each = [_size(disk.get("bytes"), _MOST_BYTES) for disk in disks]
    largest = max((size for size in each if size is not None), default=None)
    return _size(facts.get("memory_mib"), _MOST_MIB), largest


def _size(told: Any, most: int) -> int | None:
    return told if isinstance(told, int) and 0 < told <= most else None


def identity(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the uuid and the serial by which the machine's BMC knows it, "" for what is not known.

    Where the BMC was asked it is what it said itself: the machine may call itself something else.
    """
    told = (facts.get("seen") or {}).get("bmc") or facts
    system = told.get("system") or {}
    return {name: str(system.get(name) or "") for name in ("uuid", "serial")}


def root_disk(chosen: Mapping[str, Any] | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return {serial, wwn, min_bytes} of the one disk to write.

    *chosen* is what a person entered; where nothing was entered, the facts must hold exactly one
    disk.  Raises NotReady with what to do when the answer is not exactly one.
    """
    disks = [d for d in facts.get("disks", ()) if d.get("serial") or d.get("wwn")]
    wanted = dict(chosen or {})
    matching = [d for d in disks if is_disk(d, wanted)]
    if wanted and not disks:
        return _selector(wanted)
    if len(matching) == 1:
        return _selector(wanted if _named(wanted) else _plainest(matching[0]) | wanted)
    seen = ", ".join(f"{d.get('serial') or d.get('wwn')} ({d.get('bytes')} bytes)" for d in disks)
    raise NotReady(
        f"{len(matching)} disks answer to the root disk's description (known: {seen or 'none'})",
        field="/rootDisk",
        hint="Set rootDisk to the serial or WWN of exactly one disk, or commission the machine.",
    )


def is_disk(disk: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether *disk* has the serial and the WWN of *wanted*, of these those that are named."""
    return all(
        str(disk.get(key) or "").lower() == str(wanted[key]).lower()
        for key in ("serial", "wwn")
        if wanted.get(key)
    )


def _named(wanted: Mapping[str, Any]) -> bool:
    return bool(wanted.get("serial") or wanted.get("wwn"))


def _plainest(disk: Mapping[str, Any]) -> dict[str, Any]:
    """Return one name of *disk*: its serial, which BMCs and kernels spell alike, else its WWN."""
    name = "serial" if disk.get("serial") else "wwn"
    return {name: disk[name]}


def _selector(disk: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "serial": disk.get("serial") or "",
        "wwn": disk.get("wwn") or "",
        "min_bytes": int(disk.get("minBytes") or 0),
    }
