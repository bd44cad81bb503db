"""A machine's own report of its hardware, as its inventory system writes it: text in, facts out.

`sprout-inventory 1`, then lines of a key, one space and a value; a key is `section.name`, or
`section.number.name` where there are several; what begins with # is record, and no fact.

Rule 1: whoever wrote it may be anybody: what is not in FIELDS is not taken, and all is bounded.
Rule 2: what is missing is None, never a guess.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from models import names
from models.errors import Invalid

HEAD: Final = "sprout-inventory 1"
MOST_BYTES: Final = 1 << 20
"""Bytes of a report, with all that its tools said."""
MOST_FACTS: Final = 5000
MOST_OF_A_KIND: Final = 256
"""Disks, NICs, memory modules or tests of one machine."""
LONGEST: Final = 480
"""Characters of a value."""

_KEY: Final = re.compile(r"([a-z]+)(?:\.([0-9]{1,3}))?\.([a-z_]+)")
_SIZE: Final = re.compile(r"([0-9]{1,7}) ([KMGT])B")
_KIB: Final = {"K": 1, "M": 2**10, "G": 2**20, "T": 2**30}
_MOST: Final = 2**63 - 1

Reader = Callable[[str], Any]


def _text(text: str) -> str | None:
    return text[:LONGEST] or None


def _lower(text: str) -> str | None:
    return text[:LONGEST].lower() or None


def _number(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return number if number is not None and number <= _MOST else None


def _mac(text: str) -> str | None:
    try:
        return names.mac(text, field="/mac")
    except Invalid:
        return None


def _mib(text: str) -> int | None:
    """Return the MiB of a module's size as SMBIOS has it: "512 MB", "16 GB"."""
    found = _SIZE.fullmatch(text)
    return None if found is None else int(found[1]) * _KIB[found[2]] // 2**10


def _one_of(*words: str) -> Reader:
    return lambda text: text if text in words else None


def _is(word: str, other: str) -> Reader:
    return {word: True, other: False}.get


OUTCOMES: Final = ("pass", "fail", "skipped")
_DEVICE: Final = ("manufacturer", "model", "serial")

FIELDS: Final[Mapping[str, Mapping[str, Reader]]] = MappingProxyType(
    {
        "system": dict.fromkeys((*_DEVICE, "version", "sku", "kernel"), _text) | {"uuid": _lower},
        "board": dict.fromkeys(_DEVICE, _text),
        "chassis": dict.fromkeys(("manufacturer", "serial", "type"), _text),
        "firmware": {
            **dict.fromkeys(("vendor", "version", "date"), _text),
            "boot": _one_of("bios", "uefi"),
            "secure_boot": _is("yes", "no"),
        },
        "cpu": {
            **dict.fromkeys(("architecture", "model", "manufacturer"), _text),
            **dict.fromkeys(("sockets", "cores", "threads"), _number),
            "flags": lambda text: text.split(),
        },
        "memory": {"bytes": _number},
        "bmc": dict.fromkeys(("interface", "firmware", "manufacturer", "product", "uuid"), _text),
        "dimm": {
            **dict.fromkeys(("locator", "type", "speed", "manufacturer", "serial", "part"), _text),
            "size": _mib,
        },
        "disk": {
            **dict.fromkeys(("name", "serial", "model", "firmware", "transport"), _text),
            **dict.fromkeys(("bytes", "sector"), _number),
            "wwn": _lower,
            "rotational": _is("1", "0"),
        },
        "nic": {
            **dict.fromkeys(("name", "driver", "bus", "device", "firmware"), _text),
            "mac": _mac,
            "speed": _number,
            "link": _one_of("up", "down"),
        },
        "test": {
            **dict.fromkeys(("name", "subject", "detail"), _text),
            **dict.fromkeys(("reallocated", "mib_per_s"), _number),
            "outcome": _one_of(*OUTCOMES),
        },
    }
)
"""What is taken of a report, by section and name, and how each is read."""

SEVERAL: Final = frozenset({"dimm", "disk", "nic", "test"})
"""Sections of which there are several."""

_Found = dict[tuple[str, int], dict[str, Any]]


def facts(report: str) -> dict[str, Any]:
    """Return what *report* says, in the words and units of a BMC's inventory.

    Raises Invalid for what is no report of this version, and for one that is too large.
    """
    if len(report) > MOST_BYTES:
        raise Invalid(f"a report of over {MOST_BYTES} characters", field="/report")
    first, _, rest = report.partition("\n")
    if first != HEAD:
        raise Invalid(f"the report begins with {first[:40]!r}, not with {HEAD!r}", field="/report")
    found = _found(_lines(rest))
    listed = {section: _listed(found, section) for section in SEVERAL}
    one = {section: _whole(section, found.get((section, 0), {})) for section in FIELDS}
    return _shaped(one, listed)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    lines = (line for line in text.split("\n") if line and not line.startswith("#"))
    for number, line in enumerate(lines):
        if number == MOST_FACTS:
            raise Invalid(f"a report of over {MOST_FACTS} facts", field="/report")
        key, _, value = line.partition(" ")
        yield key, "".join(c if c.isprintable() else " " for c in value[: 4 * LONGEST]).strip()


def _found(lines: Iterable[tuple[str, str]]) -> _Found:
    """Return what is known by section and number; of what is said twice the first counts."""
    found: _Found = defaultdict(dict)
    for key, value in lines:
        parts = _KEY.fullmatch(key)
        if parts is None or (parts[2] is not None) is not (parts[1] in SEVERAL):
            continue
        section, number, name = parts[1], int(parts[2] or 0), parts[3]
        reader = FIELDS.get(section, {}).get(name)
        if reader is not None and number < MOST_OF_A_KIND:
            found[section, number].setdefault(name, reader(value))
    return found


def _listed(found: _Found, section: str) -> list[dict[str, Any]]:
    numbers = sorted(number for name, number in found if name == section)
    return [_whole(section, found[section, number]) for number in numbers]


def _whole(section: str, known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: known.get(name) for name in FIELDS[section]}


def _shaped(
    one: Mapping[str, dict[str, Any]], listed: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    firmware, cpu = one["firmware"], one["cpu"]
    return {
        "system": {**one["system"], "bios": firmware["version"]},
        **{section: one[section] for section in ("board", "chassis", "firmware", "cpu")},
        "processors": _processors(cpu),
        "memory_mib": _memory_mib(one["memory"]["bytes"], listed["dimm"]),
        "dimms": listed["dimm"],
        "disks": [_disk(disk) for disk in listed["disk"]],
        "nics": [nic for nic in listed["nic"] if nic["mac"]],
        "bmc": one["bmc"],
        "tests": [test for test in listed["test"] if test["name"] and test["outcome"]],
    }


def _processors(cpu: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one for each socket, as BMCs list them: equal, since systems are built so."""
    sockets = min(cpu["sockets"] or 1, MOST_OF_A_KIND)
    each = {name: cpu[name] for name in ("model", "manufacturer", "architecture")}
    counts = {name: cpu[name] and cpu[name] // sockets for name in ("cores", "threads")}
    return [{**each, **counts} for _ in range(sockets)]


def _memory_mib(total: int | None, dimms: list[dict[str, Any]]) -> int | None:
    """Return what is plugged in; where SMBIOS does not say, what the kernel has."""
    plugged = sum(dimm["size"] or 0 for dimm in dimms)
    return plugged or (None if total is None else total >> 20)


def _disk(disk: dict[str, Any]) -> dict[str, Any]:
    media = {True: "HDD", False: "SSD"}.get(disk["rotational"])
    return {**disk, "protocol": disk["transport"], "media": media}
