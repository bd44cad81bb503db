"""Workflows as tables of steps; the engine is one loop over them.

Rule 1: a step cannot be declared without a deadline, what is expected, and from whom.
Rule 2: what a step does, it does by name: a task for an agent, or a decision of the commands.
Rule 3: `plan-served` stands before any step that powers a machine for a boot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from models.lifecycle import Event
from models.observations import Seen


class Kind(StrEnum):
    """What is asked of a machine."""

    COMMISSION = "commission"
    PROVISION = "provision"
    REPROVISION = "reprovision"
    IMAGE = "image"
    POWER_ON = "power-on"
    POWER_OFF = "power-off"
    REBOOT = "reboot"
    BOOT_SOURCE = "boot-source"
    REMOTE_TASK = "remote-task"
    RELEASE = "release"
    RETIRE = "retire"
    MAINTENANCE = "maintenance"
    RESUME = "resume"
    CLEAR = "clear"
    DEALLOCATE = "deallocate"
    CLEAN_UP = "clean-up"
    """What follows a failure: control asks for it, nobody else."""


class Progress(StrEnum):
    """How a workflow stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepKind(StrEnum):
    """Who acts: an agent by a task; the machine, by being seen; or control, inside the database."""

    ASSIGNMENT = "assignment"
    EXPECTATION = "expectation"
    DECISION = "decision"


class Party(StrEnum):
    """Who is waited for."""

    AGENT = "the site's agent"
    MACHINE = "the machine"
    CONTROL = "control"


class Task(StrEnum):
    """What an agent can be asked to do.  Stored and sent: add, never rename."""

    INVENTORY = "redfish-inventory"
    POWER_ON = "power-on"
    POWER_OFF = "power-off"
    REBOOT = "reboot"
    BOOT_SOURCE = "boot-source"
    VIRTUAL_MEDIA = "virtual-media"
    REMOTE_TASK = "remote-task"


REDFISH: Final = "redfish"
"""The capability of an agent that drives BMCs by it; another protocol's is its own name."""

CAPABILITY: Final[Mapping[Task, str]] = MappingProxyType(
    {Task.VIRTUAL_MEDIA: "virtual-media", Task.REMOTE_TASK: "remote-task"}
)
"""The capability that a task wants of its agent, where it is not the BMC's protocol."""


class Decision(StrEnum):
    """Verbs that the engine runs inside its transaction."""

    PREPARE_RUN = "prepare-run"
    RECORD_INVENTORY = "record-inventory"
    FIND_ABLE = "find-able"
    LET_GO = "let-go"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of a workflow's table; *deadline_s* in seconds, *tries* counts the first.

    *backoff_s*: seconds before the second try, doubled for each further one.  *dirties*: what it
    does must be undone if the workflow ends badly, until a step that *settles* has passed.  What it
    *heeds* tells why it takes long, and may prolong it.
    """

    name: str
    kind: StepKind
    expects: str
    party: Party
    deadline_s: int
    until: Seen | None = None
    fails_on: frozenset[Seen] = frozenset()
    heeds: frozenset[Seen] = frozenset()
    task: Task | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    tries: int = 1
    backoff_s: int = 2
    dirties: bool = False
    settles: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A workflow: its steps, and the event that its end is for the machine's lifecycle.

    *begins* and *ends* are None for what leaves the lifecycle alone (power, boot source).
    *clean_up* is the workflow that undoes what a bad end left behind.
    """

    steps: tuple[Step, ...]
    begins: Event | None = None
    ends: Event | None = None
    clean_up: Kind | None = None


def _decide(name: str, decision: Decision, expects: str, **params: Any) -> Step:
    return Step(
        name=name,
        kind=StepKind.DECISION,
        decision=decision,
        expects=expects,
        party=Party.CONTROL,
        deadline_s=60,
        params=params,
    )


def _assign(
    name: str,
    task: Task,
    expects: str,
    deadline_s: int = 180,
    *,
    dirties: bool = False,
    **params: Any,
) -> Step:
    return Step(
        name=name,
        kind=StepKind.ASSIGNMENT,
        task=task,
        expects=expects,
        party=Party.AGENT,
        deadline_s=deadline_s,
        tries=3,
        params=params,
        dirties=dirties,
    )


def _expect(
    name: str,
    until: Seen,
    expects: str,
    deadline_s: int,
    *fails_on: Seen,
    party: Party,
    heeds: Seen | None = None,
    settles: bool = False,
) -> Step:
    return Step(
        name=name,
        kind=StepKind.EXPECTATION,
        until=until,
        expects=expects,
        party=party,
        deadline_s=deadline_s,
        fails_on=frozenset(fails_on),
        heeds=frozenset() if heeds is None else frozenset({heeds}),
        settles=settles,
    )


def _able(task: Task) -> Step:
    capability = CAPABILITY[task]
    expects = f"an agent of the site that can {capability}"
    return _decide("agent-found", Decision.FIND_ABLE, expects, capability=capability)


_MACHINE, _AGENT = Party.MACHINE, Party.AGENT

_COMMISSION: Final = Table(
    begins=Event.COMMISSION,
    ends=Event.COMMISSIONED,
    steps=(
        _assign(
            "inventory", Task.INVENTORY, "the BMC's inventory: processors, memory, disks, NICs"
        ),
        _decide("inventory-recorded", Decision.RECORD_INVENTORY, "facts and differences recorded"),
        _decide("commissioned", Decision.FINISH, "the machine becomes available"),
    ),
)

_PROVISION: Final = Table(
    begins=Event.PROVISION,
    ends=Event.PROVISIONED,
    clean_up=Kind.CLEAN_UP,
    steps=(
        _decide("run-prepared", Decision.PREPARE_RUN, "an address, a run and a boot plan"),
        _expect(
            "plan-served",
            Seen.PLAN_SERVED,
            "the boot owner to hold the plan, its artifacts verified",
            300,
            Seen.PLAN_REFUSED,
            party=_AGENT,
            heeds=Seen.ARTIFACT_AWAITED,
        ),
        _assign("powered-off", Task.POWER_OFF, "the BMC to report power off", force=True),
        _assign(
            "boot-override",
            Task.BOOT_SOURCE,
            "the BMC to keep the override",
            dirties=True,
            source="pxe",
        ),
        _assign("powered-on", Task.POWER_ON, "the BMC to report power on", dirties=True),
        _expect(
            "netbooted",
            Seen.SCRIPT_SERVED,
            "its firmware to boot from the network and fetch its boot script",
            900,
            Seen.INSTALL_FAILED,
            Seen.BOOT_FAILED,
            party=_MACHINE,
            heeds=Seen.BOOT_TROUBLE,
        ),
        _expect(
            "installing",
            Seen.INSTALL_STARTED,
            "its deploy kernel to start and report",
            900,
            Seen.INSTALL_FAILED,
            Seen.BOOT_FAILED,
            party=_MACHINE,
            heeds=Seen.BOOT_TROUBLE,
        ),
        _expect(
            "installed",
            Seen.INSTALLED,
            "the image to be written and verified",
            2700,
            Seen.INSTALL_FAILED,
            party=_MACHINE,
            settles=True,
        ),
        _expect(
            "phoned-home",
            Seen.PHONED_HOME,
            "the installed system to boot from disk and phone home",
            1200,
            party=_MACHINE,
        ),
        _decide("active", Decision.FINISH, "the machine becomes active"),
    ),
)


_CLEAN_UP: Final = Table(
    steps=(
        _assign("switched-off", Task.POWER_OFF, "the BMC to report power off", force=True),
        _assign("override-cleared", Task.BOOT_SOURCE, "the BMC to drop it", source="none"),
    ),
)
"""A machine that may still be writing its disk is switched off, and boots by its own order."""


_IMAGE: Final = Table(
    steps=(
        _able(Task.VIRTUAL_MEDIA),
        _assign("media-inserted", Task.VIRTUAL_MEDIA, "the BMC to show the media as inserted"),
        _assign("boot-override", Task.BOOT_SOURCE, "the BMC to keep the override", source="cd"),
    ),
)

_REMOTE_TASK: Final = Table(
    steps=(
        _able(Task.REMOTE_TASK),
        _assign("command-run", Task.REMOTE_TASK, "the command to end, and its output", 900),
    ),
)

_RELEASE: Final = Table(
    begins=Event.RELEASE,
    ends=Event.RELEASED,
    steps=(
        _assign("switched-off", Task.POWER_OFF, "the BMC to report power off", force=True),
        _assign("override-cleared", Task.BOOT_SOURCE, "the BMC to drop it", source="none"),
        _decide("let-go", Decision.LET_GO, "its address and its plan given back"),
        _decide("released", Decision.FINISH, "the machine becomes available"),
    ),
)
"""What is on its disk stays there until the next provisioning: no driver wipes it yet."""


def _moved(event: Event, expects: str, *first: Step) -> Table:
    """Return the table of what is done as soon as it is asked."""
    return Table(begins=event, steps=(*first, _decide("done", Decision.FINISH, expects)))


def _single(task: Task, expects: str) -> Table:
    return Table(steps=(_assign(task.value, task, expects),))


TABLES: Final[Mapping[Kind, Table]] = MappingProxyType(
    {
        Kind.COMMISSION: _COMMISSION,
        Kind.PROVISION: _PROVISION,
        Kind.REPROVISION: _PROVISION,
        Kind.IMAGE: _IMAGE,
        Kind.POWER_ON: _single(Task.POWER_ON, "the BMC to report power on"),
        Kind.POWER_OFF: _single(Task.POWER_OFF, "the BMC to report power off"),
        Kind.REBOOT: _single(Task.REBOOT, "the BMC to report off, then on"),
        Kind.BOOT_SOURCE: _single(Task.BOOT_SOURCE, "the BMC to keep the boot source"),
        Kind.REMOTE_TASK: _REMOTE_TASK,
        Kind.RELEASE: _RELEASE,
        Kind.RETIRE: _moved(
            Event.RETIRE,
            "the machine is out of use",
            _decide("let-go", Decision.LET_GO, "its address and its plan given back"),
        ),
        Kind.MAINTENANCE: _moved(Event.MAINTAIN, "the machine is in maintenance"),
        Kind.RESUME: _moved(Event.RESUME, "the machine is where it came from"),
        Kind.CLEAR: _moved(Event.CLEAR, "the machine is at rest"),
        Kind.DEALLOCATE: _moved(Event.DEALLOCATE, "the machine is free"),
        Kind.CLEAN_UP: _CLEAN_UP,
    }
)

LIFECYCLE: Final = frozenset(kind for kind, table in TABLES.items() if table.begins is not None)
"""Workflows of which a machine has at most one."""

AT_ONCE: Final = frozenset(
    {Kind.RETIRE, Kind.MAINTENANCE, Kind.RESUME, Kind.CLEAR, Kind.DEALLOCATE}
)
"""Workflows that nobody is waited for: they end in the transaction that begins them."""
