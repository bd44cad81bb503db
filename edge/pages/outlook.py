"""What a form says before its button is pressed: what will happen, how long, and who must agree."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from edge import auth
from edge.pages.machine import disk_words
from edge.pages.progress import Stage, to_come
from edge.wording import duration
from models import boards, day2_queries, facts
from models import policy as rules
from models.actions import ACTIONS
from models.commands import foresight, policy
from models.commands.foresight import Prospect
from models.day2_views import ApprovalView
from models.errors import NotReady
from models.kinds import Kind
from models.policy import Consent, Refusal
from models.views import MachineView

_WIPES: Final = "Wipes {disk}, powers it off and on, boots it from the network, writes the image."
_HAPPENS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Kind.COMMISSION: "Asks its BMC for processors, memory, disks and NICs; by the inventory "
        "image it is powered off and on, looks at itself and is tested. Writes to no disk.",
        Kind.PROVISION: _WIPES,
        Kind.REPROVISION: _WIPES,
        Kind.IMAGE: "Its BMC inserts the image and boots from it next: what that does is its own."
        " Or its BMC takes out what is inserted.",
        Kind.POWER_ON: "Switches it on.",
        Kind.POWER_OFF: "Switches it off, whatever runs on it.",
        Kind.REBOOT: "Switches it off, then on, whatever runs on it.",
        Kind.BOOT_SOURCE: "Its BMC keeps what it boots from. It is not powered.",
        Kind.REMOTE_TASK: "Runs the command on its system as root; what it says becomes evidence.",
        Kind.RELEASE: (
            "Boots the deploy system, which overwrites partition tables and signatures of its "
            "disks, {disk} among them: no full wipe. Then it is off, and its address free."
        ),
        Kind.RETIRE: "Takes it out of use for good, and gives its address back. One that failed "
        "must be known to be off.",
        Kind.MAINTENANCE: "Takes it out of turn. It is not powered.",
        Kind.RESUME: "Brings it back to where it came from. It is not powered.",
        Kind.CLEAR: "Says that what failed is mended. It is not powered. One on whose disks "
        "something was installed is to be released instead.",
        Kind.DEALLOCATE: "Gives it back to those that are free. It is not powered.",
    }
)
_LEFT: Final = "Switches it off and gives its address back. Its disks stay as they are."
_BY_HAND: Final = " It has no BMC: whoever stands before it is asked, by its page, to switch it."

WRITES: Final = frozenset({Kind.PROVISION, Kind.REPROVISION})
"""Verbs that write the root disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What policy says of it now, as a sentence with a *tone*, and what would change that."""

    tone: str
    sentence: str
    more: str = ""
    lacks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """*facts* are names and values; *given* the approvals that are good for it now."""

    happens: str
    facts: Sequence[tuple[str, str]]
    stages: Sequence[Stage]
    word: Word
    wanted: Consent | None
    given: Sequence[ApprovalView]


def of(machine: MachineView, verb: str, asked: Mapping[str, Any], *, disks: str = "") -> Outlook:
    """Return what would come of *verb*, asked of *machine* with *asked*.

    *disks* are those that an installer is told to wipe; "": what is known of the machine says it.
    """
    kind = Kind(verb)
    prospect = foresight.of(auth.caller(), machine.id, kind, asked)
    given = _good(machine, verb)
    wanted = consent(machine, verb)
    switches = any(step.task is not None for step in prospect.table.steps)
    by_hand = "" if not switches or boards.driven(machine.bmc) else _BY_HAND
    told = [("Disk to overwrite", disks)] if disks else _disks(machine, kind, prospect, asked)
    return Outlook(
        happens=_happens(kind, prospect, disks or _disk(machine)) + by_hand,
        facts=[
            *told,
            *_address(machine, prospect),
            *_time(prospect),
        ],
        stages=to_come(prospect.table.steps),
        word=_word(machine, verb, prospect, wanted, given),
        wanted=wanted,
        given=given,
    )


def consent(machine: MachineView, verb: str) -> Consent | None:
    """Return what approval policy wants of *verb* at the machine's site; None: none."""
    return rules.consent(policy.in_force(), verb, machine.site_slug)


def _good(machine: MachineView, verb: str) -> Sequence[ApprovalView]:
    about = {"machine_id": machine.id, "action": verb}
    return day2_queries.approvals(wanted=about, is_open=True)


def _word(
    machine: MachineView,
    verb: str,
    prospect: Prospect,
    wanted: Consent | None,
    given: Sequence[ApprovalView],
) -> Word:
    found, states = prospect.judgement, ACTIONS[verb].states
    if machine.state not in states:
        told = f"It is {machine.state}, and this is for machines that are"
        return Word(tone="failed", sentence=f"{told} {', '.join(sorted(states))}.")
    rule = f"The rule is {found.rule}."
    if found.allowed:
        return Word(tone="good", sentence="Policy lets it happen as it is.", more=rule)
    if found.refusal is not Refusal.NEEDED or wanted is None:
        more = f"{found.would_change} {rule}"
        return Word(tone="failed", sentence=f"Policy forbids it now: {found.reason}.", more=more)
    if given:
        return Word(tone="good", sentence="An approval is there: it is used up by this.", more=rule)
    by = "another" if wanted.four_eyes else "an"
    told = f"It needs an approval by {by} {wanted.role} of {machine.site_slug}."
    return Word(tone="waiting", sentence=told, more=rule, lacks=True)


def _disk(machine: MachineView) -> str:
    """Return the disk that is written, as it is called in a sentence."""
    chosen, disks = machine.root_disk or {}, machine.facts.get("disks", ())
    named = [str(chosen[name]) for name in ("serial", "wwn") if chosen.get(name)]
    if its := _called(disks, named) or (disks if not named else ()):
        return ", ".join(map(disk_words, its))
    return f"the disk {', '.join(named)}" if named else "its disk"


def _happens(kind: Kind, prospect: Prospect, disk: str) -> str:
    if kind is Kind.RELEASE and not prospect.wipes:
        return _LEFT
    return _HAPPENS[kind].format(disk=disk)


def _disks(
    machine: MachineView, kind: Kind, prospect: Prospect, asked: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return which disk is overwritten by what it is, and which are left alone."""
    if kind not in WRITES and not prospect.wipes:
        return []
    if prospect.wipes and asked.get("disks") != "root":
        found = map(_identity, machine.facts.get("disks", ()))
        return [("Disks to overwrite", "; ".join(found) or "all that it has")]
    try:
        wanted = facts.root_disk(machine.root_disk, machine.facts)
    except NotReady as exc:
        return [("Disk to overwrite", f"Not to be told: {exc}. {exc.hint}")]
    known = machine.facts.get("disks", ())
    its = _called(known, [wanted.get("serial"), wanted.get("wwn")])
    others = [each for each in known if each not in its]
    told = [("Disk to overwrite", "; ".join(map(_identity, its or [wanted])))]
    return told + ([("Left alone", "; ".join(map(_identity, others)))] if others else [])


def _called(
    disks: Iterable[Mapping[str, Any]], names: Collection[object]
) -> list[Mapping[str, Any]]:
    """Return those of *disks* whose serial number or WWN is one of *names*."""
    wanted = {str(name).lower() for name in names if name}
    return [
        disk
        for disk in disks
        if wanted & {str(disk.get(name)).lower() for name in ("serial", "wwn") if disk.get(name)}
    ]


def _identity(disk: Mapping[str, Any]) -> str:
    """Return a disk by what no other has: its serial number and its WWN."""
    names = [f"{label} {disk[name]}" for name, label in _NAMES if disk.get(name)]
    model = disk_words({name: disk.get(name) for name in ("model", "bytes")})
    return ", ".join(filter(None, (model, *names)))


_NAMES: Final = (("serial", "serial number"), ("wwn", "WWN"))


def _address(machine: MachineView, prospect: Prospect) -> list[tuple[str, str]]:
    if machine.address is None or not prospect.frees:
        return []
    return [("Address given back", machine.address)]


def _time(prospect: Prospect) -> list[tuple[str, str]]:
    if all(step.task is None and step.until is None for step in prospect.table.steps):
        return [("Takes", "no time: it is done as it is asked")]
    usual = prospect.usual_s
    about = "" if usual is None else f"about {duration(usual)}, as it did here lately; "
    return [("Takes", f"{about}{duration(prospect.longest_s)} at most, step by step")]
