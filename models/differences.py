"""Where what was entered, what the BMC tells and what the machine found itself do not agree.

Pure, and one row of RULES for each thing that is compared: what is critical keeps a machine from
being commissioned, the rest is shown.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from models import facts as found_facts

Facts = Mapping[str, Any]
Difference = dict[str, Any]

SHARE: Final = 0.95
"""Of the memory that was entered: less than this part of it is no matter of rounding."""


class Severity(StrEnum):
    """How bad it is: critical fails the commissioning."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Against(StrEnum):
    """What was found is held against what a person entered, what the BMC tells, or a test."""

    ENTERED = "entered"
    BMC = "bmc"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """What a person entered of a machine; MACs in lower case, *root_disk* with serial and wwn."""

    architecture: str = ""
    macs: tuple[str, ...] = ()
    pxe_macs: tuple[str, ...] = ()
    memory_mib: int | None = None
    disk_bytes: int | None = None
    root_disk: Mapping[str, Any] | None = None


def differences(entered: Entered, facts: Facts) -> list[Difference]:
    """Return {severity, what, entered, found, against} for each, the worst first."""
    rows = [row for rule in RULES for row in rule(entered, facts)]
    order = list(Severity)
    return sorted(rows, key=lambda row: order.index(row["severity"]))


def critical(rows: Iterable[Difference]) -> list[Difference]:
    return [row for row in rows if row["severity"] == Severity.CRITICAL]


_WORDS: Final[Mapping[str, str]] = {
    Against.ENTERED: "{what}: {entered} was entered, {found} was found",
    Against.BMC: "{what}: the BMC says {entered}, the machine itself {found}",
    Against.TEST: "{what} of {entered}: {found}",
}


def sentence(row: Mapping[str, Any]) -> str:
    """Return a difference in words; rows of older versions say less."""
    words = _WORDS[row.get("against", Against.ENTERED)]
    return words.format(what=row["what"], entered=_said(row["entered"]), found=_said(row["found"]))


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "nothing" if value is None else str(value)


def _row(
    severity: Severity, what: str, entered: Any, found: Any, against: Against = Against.ENTERED
) -> Difference:
    return {
        "severity": severity.value,
        "what": what,
        "entered": entered,
        "found": found,
        "against": against.value,
    }


# --- against what was entered ---


def _architecture(entered: Entered, facts: Facts) -> Iterator[Difference]:
    told = [each.get("architecture") for each in facts.get("processors") or ()]
    known = {_ARCHITECTURES.get(str(each).lower()) for each in told} - {None}
    if entered.architecture and known and entered.architecture not in known:
        row = (entered.architecture, ", ".join(sorted(map(str, known))))
        yield _row(Severity.CRITICAL, "architecture", *row)


_ARCHITECTURES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("x86_64", "x86-64", "x86", "amd64"), "x86_64"),
    **dict.fromkeys(("aarch64", "arm64", "arm-a64", "arm"), "arm64"),
}


def _macs(entered: Entered, facts: Facts) -> Iterator[Difference]:
    known = {str(nic.get("mac", "")).lower() for nic in facts.get("nics") or ()}
    for mac in sorted(set(entered.macs) - known) if known else ():
        severity = Severity.WARNING if mac in entered.pxe_macs else Severity.INFO
        yield _row(severity, "mac", mac, sorted(known))


def _memory(entered: Entered, facts: Facts) -> Iterator[Difference]:
    wanted, (seen, _) = entered.memory_mib, found_facts.sizes(facts)
    if wanted is not None and seen is not None and seen != wanted:
        yield _row(_of_less(seen, wanted, Severity.CRITICAL), "memoryMib", wanted, seen)


def _disk_size(entered: Entered, facts: Facts) -> Iterator[Difference]:
    wanted, (_, seen) = entered.disk_bytes, found_facts.sizes(facts)
    if wanted is not None and seen is not None and seen != wanted:
        yield _row(_of_less(seen, wanted, Severity.WARNING), "diskBytes", wanted, seen)


def _of_less(seen: int, wanted: int, much: Severity) -> Severity:
    if seen > wanted:
        return Severity.INFO
    return much if seen < wanted * SHARE else Severity.WARNING


def _root_disk(entered: Entered, facts: Facts) -> Iterator[Difference]:
    """The machine's kernel is asked at the end, not its BMC: some see no disk behind a board."""
    named = {n: v for n, v in (entered.root_disk or {}).items() if n in {"serial", "wwn"} and v}
    disks = facts.get("disks") or ()
    if not named or not disks or any(found_facts.is_disk(disk, named) for disk in disks):
        return
    own = bool((facts.get("seen") or {}).get("image"))
    severity = Severity.CRITICAL if own else Severity.WARNING
    yield _row(severity, "rootDisk", sorted(map(str, named.values())), _names(disks))


def _names(disks: Iterable[Facts]) -> list[str]:
    return sorted(str(disk.get("serial") or disk.get("wwn") or disk.get("name")) for disk in disks)


# --- the machine itself against its BMC ---


def _both(facts: Facts) -> tuple[Facts, Facts] | None:
    seen = facts.get("seen") or {}
    bmc, image = seen.get("bmc"), seen.get("image")
    return (bmc, image) if bmc and image else None


def _compared(what: str, severity: Severity, value: Callable[[Facts], Any]) -> "Rule":
    """Return the rule that one value, where both know it, is the same."""

    def rule(_: Entered, facts: Facts) -> Iterator[Difference]:
        bmc, image = (value(each) for each in _both(facts) or ({}, {}))
        if bmc and image and bmc != image:
            yield _row(severity, what, bmc, image, Against.BMC)

    return rule


def _listed(what: str, severity: Severity, section: str, key: str) -> "Rule":
    """Return the rule that the machine sees what its BMC lists; more than that is information."""

    def rule(_: Entered, facts: Facts) -> Iterator[Difference]:
        bmc, image = (_keys(each, section, key) for each in _both(facts) or ({}, {}))
        if bmc and bmc - image:
            yield _row(severity, what, sorted(bmc - image), sorted(image), Against.BMC)
        elif bmc and image - bmc:
            yield _row(Severity.INFO, what, sorted(bmc), sorted(image - bmc), Against.BMC)

    return rule


def _keys(facts: Facts, section: str, key: str) -> set[str]:
    return {str(each[key]).lower() for each in facts.get(section) or () if each.get(key)}


def _system(name: str) -> Callable[[Facts], Any]:
    return lambda facts: str((facts.get("system") or {}).get(name) or "").strip().lower()


def _sockets(facts: Facts) -> int:
    return len(facts.get("processors") or ())


def _memory_of_both(_: Entered, facts: Facts) -> Iterator[Difference]:
    bmc, image = (found_facts.sizes(each)[0] for each in _both(facts) or ({}, {}))
    if bmc and image and not bmc * SHARE <= image <= bmc / SHARE:
        yield _row(Severity.WARNING, "memoryMib", bmc, image, Against.BMC)


# --- what the machine says of itself ---


def _tests(_: Entered, facts: Facts) -> Iterator[Difference]:
    for test in facts.get("tests") or ():
        subject = test.get("subject") or "the machine"
        if test.get("outcome") == "fail":
            found = test.get("detail") or "it failed"
            yield _row(Severity.CRITICAL, f"test {test['name']}", subject, found, Against.TEST)
        elif test.get("reallocated"):
            found = f"{test['reallocated']} sectors are reallocated, or blocks in error"
            yield _row(Severity.WARNING, f"test {test['name']}", subject, found, Against.TEST)


def _firmware(_: Entered, facts: Facts) -> Iterator[Difference]:
    image = (facts.get("seen") or {}).get("image") or {}
    if image and not (image.get("firmware") or {}).get("version"):
        yield _row(Severity.INFO, "firmware", "a version", None)


Rule = Callable[[Entered, Facts], Iterator[Difference]]

RULES: Final[tuple[Rule, ...]] = (
    _architecture,
    _macs,
    _memory,
    _disk_size,
    _root_disk,
    _compared("serial", Severity.WARNING, _system("serial")),
    _compared("uuid", Severity.INFO, _system("uuid")),
    _compared("processors", Severity.WARNING, _sockets),
    _memory_of_both,
    _listed("disk", Severity.WARNING, "disks", "serial"),
    _listed("mac", Severity.WARNING, "nics", "mac"),
    _tests,
    _firmware,
)


def merged(bmc: Facts, image: Facts) -> dict[str, Any]:
    """Return the facts that count: what the machine found itself, and else what its BMC tells.

    Both stay beside it under `seen`, so that they can be held against each other later.
    """
    known = {name: value for name, value in image.items() if value}
    own = {**(bmc.get("bmc") or {}), **_held(image.get("bmc"))}
    system = {**(bmc.get("system") or {}), **_held(image.get("system"))}
    seen = {name: each for name, each in (("bmc", bmc), ("image", image)) if each}
    return {**bmc, **known, "system": system, "bmc": own, "seen": seen}


def _held(section: Any) -> dict[str, Any]:
    return {name: value for name, value in (section or {}).items() if value is not None}
