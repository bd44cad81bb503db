"""What was seen, as a sentence for a person: one table over the kinds of observation."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from models.lifecycle import State
from models.observations import Seen

Data = Mapping[str, Any]

TONES: Final[Mapping[str, str]] = MappingProxyType(
    {
        State.REGISTERED: "off",
        State.COMMISSIONING: "working",
        State.AVAILABLE: "good",
        State.ALLOCATED: "waiting",
        State.PROVISIONING: "working",
        State.ACTIVE: "good",
        State.RELEASING: "working",
        State.MAINTENANCE: "waiting",
        State.FAILED: "failed",
        State.RETIRED: "off",
    }
)
"""State → the tone (colour and shape) that it is shown in."""


def _said(*parts: str) -> Callable[[Data], str]:
    """Return a wording: each part is a template, left out where its data is missing."""

    def words(data: Data) -> str:
        return "".join(_filled(part, data) for part in parts)

    return words


def _by_installer(
    ours: Callable[[Data], str], theirs: Callable[[Data], str]
) -> Callable[[Data], str]:
    """Return a wording: *theirs* of what a distribution's installer reports, else *ours*."""
    return lambda data: (theirs if "installer" in data else ours)(data)


def _filled(part: str, data: Data) -> str:
    try:
        return part.format_map(data)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError):
        return ""


def percent(data: Data) -> int | None:
    """Return how much of the image is written, 0 to 100; None when the report makes no sense."""
    try:
        written, total = int(data["written"]), int(data["total"])
        return min(100, 100 * written // total) if written >= 0 else None
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        return None


def _progress(data: Data) -> str:
    if (share := percent(data)) is None:
        return "Writing the image"
    return f"Written {share} %, {int(data['written']) >> 20} of {int(data['total']) >> 20} MiB"


_WORDS: Final[Mapping[str, Callable[[Data], str]]] = MappingProxyType(
    {
        Seen.DHCP_OFFERED: _said("Offered {address}", " and {file}"),
        Seen.DHCP_ACKED: _said("Leased {address}", ", told to load {file}"),
        Seen.DHCP_REFUSED: _said("Refused an address", ": {why}"),
        Seen.MACHINE_DISCOVERED: _said("An unknown machine asked to boot", " by {relay}"),
        Seen.SITE_CHECKED: _said("Boot services were checked"),
        Seen.DHCP_IGNORED: _said("Left a DHCP packet unanswered", ": {why}"),
        Seen.DHCP_HEARD: _said("Takes {address}", " of the DHCP server {server}"),
        Seen.TFTP_SENT: _said("Sent {name}", ", {bytes} bytes", " in {seconds:.2f} s"),
        Seen.TFTP_FAILED: _said("A TFTP transfer failed", ": {name}", ", {why}"),
        Seen.SCRIPT_SERVED: _said("Boot script served", ", {bytes} bytes"),
        Seen.LOCAL_BOOT_SERVED: _said("Told to boot its own disk", ": {why}"),
        Seen.BOOT_TROUBLE: _said("The boot script could not be fetched", ": {errno}"),
        Seen.BOOT_FAILED: _said("The boot script gave up", " at {stage}", ": {errno}"),
        Seen.ARTIFACT_SERVED: _said("Serving {path}", ", {bytes} bytes"),
        Seen.SEED_SERVED: _said("Seed document served", ": {path}"),
        Seen.INSTALL_STARTED: _by_installer(
            _said("The deploy kernel reports", ", disk {disk}"),
            _said("The installer reports", ": {installer}"),
        ),
        Seen.INSTALL_PROGRESS: _by_installer(
            _progress, _said("The installer is about to write", " to {disk}")
        ),
        Seen.INSTALL_FAILED: _said("The install failed", " at {stage}", ": {reason}"),
        Seen.INSTALLED: _by_installer(
            _said("The image is written and verified", ", {written} bytes"),
            _said("The system is installed", " by {installer}"),
        ),
        Seen.ANSWER_SERVED: _said("The installer is given its answer", ", {bytes} bytes"),
        Seen.ANSWER_REPEATED: _said("The installer asked for its answer again"),
        Seen.DEPLOY_STARTED: _said("The deploy kernel reports"),
        Seen.DEPLOY_PROGRESS: _said("The deploy system is busy", ": {stage}"),
        Seen.DEPLOY_FAILED: _said("The deploy system failed", " at {stage}", ": {reason}"),
        Seen.INVENTORIED: _said("The deploy system has reported what is in the machine"),
        Seen.WIPED: _said("Partition tables and signatures are overwritten", ": {disks}"),
        Seen.PHONED_HOME: _said(
            "The installed system phoned home", " as {hostname}", " from {address}"
        ),
        Seen.HOME_SUSPECT: _said("A first boot is not believed", ": {reason}"),
        Seen.KEY_REMOVED: _said("The key of this rebuild is removed", " from {node}"),
        Seen.KEY_LEFT: _said("The key of this rebuild may be left", " on {node}", ": {reason}"),
        Seen.STRANGE_REQUEST: _said("A request that does not belong to this run", ": {why}"),
        Seen.PLAN_SERVED: _said("The site holds boot plan", " {version}", ", files verified"),
        Seen.PLAN_REFUSED: _said("The site refuses the boot plan", ": {reason}"),
        Seen.PLAN_WITHDRAWN: _said("The site boots it from its own disk", ", plan {version}"),
        Seen.PLAN_OUTDATED: _said("The site holds a newer boot plan", ": {held}, not {version}"),
        Seen.ARTIFACT_AWAITED: _said("The boot plan waits for a file", ": {reason}"),
        Seen.TASK_STARTED: _said("The agent begins", " {kind}"),
        Seen.TASK_DONE: _said("The agent has done", " {kind}", " (power {result[power]})"),
        Seen.TASK_FAILED: _said("The agent failed", " {kind}", ": {reason}"),
        Seen.TASK_PROGRESS: _said("The agent is busy", " with {kind}", ": {stage}"),
        Seen.TASK_OUTPUT: _said("It says", " on {stream}", ": {text:.200}"),
        Seen.EVIDENCE_KEPT: _said("Evidence is kept", ": {name}", ", {size} bytes"),
        Seen.EVIDENCE_DROPPED: _said("Evidence is lost", ": {name}", ", {reason}"),
        Seen.BMC_CALL: _said("BMC: {verb}", ", {status}", " in {ms:.0f} ms"),
        Seen.CONFIRMED: _said("{by} confirmed {step}", ": {reason}"),
        Seen.ASKED: _said("{by} asked to {verb}", ": {reason}"),
        Seen.STEP_BEGUN: _said("Step {step} begins", ", try {try}"),
        Seen.STEP_DONE: _said("Step {step} is done", "Workflow {workflow} is done"),
        Seen.STEP_FAILED: _said(
            "Step {step} failed", ", try {try}", ": {reason}", "; again in {again_s:.0f} s"
        ),
        Seen.STATE_MOVED: _said("State: {from} → {to}"),
        Seen.PHASE_MOVED: _said("Phase: {from} → {to}"),
        Seen.GAVE_UP: _said("Gave up", ": {reason}"),
        Seen.CANCELLED: _said("Cancelled", " by {by}", ": {reason}"),
        Seen.UNREADABLE: _said("Something that this version cannot read", ": {was}"),
    }
)


def sentence(kind: str, data: Data) -> str:
    """Return what *kind* with *data* means; the kind itself for one from a newer version."""
    words = _WORDS.get(kind)
    return kind if words is None else words(data) or kind


_AGES: Final = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"))


def age(seconds: float) -> str:
    """Return how long ago *seconds* are, as a page keeps counting them: 5 s ago, 3 d ago."""
    past = max(0, int(seconds))
    found = ((past // unit, word) for limit, unit, word in _AGES if past < limit)
    number, word = next(found, (past // 86_400, "d"))
    return f"{number} {word} ago"


def size(count: float) -> str:
    """Return *count* bytes as disks and files are sold: 240 GB, 1.9 TB, 512 B."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Return *seconds* as a person reads them: 0.4 s, 12 s, 3 min, 2 h."""
    for limit, unit, form in ((10, 1, "{:.1f} s"), (120, 1, "{:.0f} s"), (7200, 60, "{:.0f} min")):
        if seconds < limit:
            return form.format(seconds / unit)
    return f"{seconds / 3600:.0f} h"
