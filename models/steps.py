"""What a workflow is made of: steps, and tables of them.

Rule 1: a step cannot be declared without a deadline, what is expected, and from whom.
Rule 2: what a step does, it does by name: a task for an agent, a decision of the commands, or an
        errand of control.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from models.boards import WAKE_ON_LAN
from models.errands import Errand
from models.kinds import Kind
from models.lifecycle import Event
from models.observations import Seen


class StepKind(StrEnum):
    """Who acts: an agent by a task; the machine, by being seen; control; or a person, who says so.

    Control decides inside the database, and runs errands to systems outside of it.
    """

    ASSIGNMENT = "assignment"
    EXPECTATION = "expectation"
    DECISION = "decision"
    ERRAND = "errand"
    CONFIRMATION = "confirmation"


class Party(StrEnum):
    """Who is waited for."""

    AGENT = "the site's agent"
    MACHINE = "the machine"
    CONTROL = "control"
    OUTSIDE = "an outside system"
    PERSON = "a person"


class Task(StrEnum):
    """What an agent can be asked to do.  Stored and sent: add, never rename."""

    INVENTORY = "redfish-inventory"
    POWER_ON = "power-on"
    POWER_OFF = "power-off"
    REBOOT = "reboot"
    BOOT_SOURCE = "boot-source"
    VIRTUAL_MEDIA = "virtual-media"
    REMOTE_TASK = "remote-task"
    WAKE = "wake"
    SYNC = "sync"
    REPORT = "hardware-report"


REDFISH: Final = "redfish"
"""The capability of an agent that drives BMCs by it; another protocol's is its own name."""

CAPABILITY: Final[Mapping[Task, str]] = MappingProxyType(
    {
        Task.VIRTUAL_MEDIA: "virtual-media",
        Task.REMOTE_TASK: "remote-task",
        Task.WAKE: WAKE_ON_LAN,
        Task.SYNC: "sync",
        Task.REPORT: "inventory-image",
    }
)
"""The capability that a task wants of its agent, where it is not the BMC's protocol."""


HAND_S: Final = 24 * 3600
"""Seconds for what a person does at a machine."""


class Trait(StrEnum):
    """What of a machine, or of what is asked, changes its table.  Stored: add, never rename."""

    BY_HAND = "by-hand"
    """No BMC: a person switches it on and off, or a packet wakes it."""

    WAKES = "wakes"
    """No BMC, and a packet switches it on."""

    EJECT = "eject"
    """What is inserted as virtual media is taken out, and nothing is inserted."""

    INVENTORY_IMAGE = "inventory-image"
    """It boots the inventory system, and tells what it is made of itself."""

    WIPES = "wipes"
    """A release that boots the deploy system to take away what lies on the disks."""

    EXTERNAL_IPAM = "external-ipam"
    EXTERNAL_DHCP = "external-dhcp"
    EXTERNAL_DNS = "external-dns"
    EXTERNAL_TESTS = "external-tests"
    READS = "reads"
    """A command that only reads: where nobody knows whether it was run, it is run again."""

    INSTALLER = "installer"
    """A distribution's own installer: it loads its medium first, and installs by packages."""

    PROXMOX = "proxmox"
    """The installer of Proxmox VE: it asks for its answer, and reports in its own words."""

    CLUSTER = "cluster"
    """A host that joins its cluster after its first boot."""

    INFRASTRUCTURE = "infrastructure"
    """A host that the Infrastructure service is told of before it is ready."""


class Decision(StrEnum):
    """Verbs that the engine runs inside its transaction."""

    PREPARE_RUN = "prepare-run"
    RECORD_INVENTORY = "record-inventory"
    PREPARE_INVENTORY = "prepare-inventory"
    RECORD_REPORT = "record-report"
    JUDGE_FINDINGS = "judge-findings"
    FIND_ABLE = "find-able"
    PREPARE_WIPE = "prepare-wipe"
    RECORD_WIPE = "record-wipe"
    LET_GO = "let-go"
    FINISH = "finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One row of a workflow's table; *deadline_s* in seconds, *tries* counts the first.

    *backoff_s*: seconds before the second try, doubled for each further one.  *dirties*: what it
    does must be undone if the workflow ends badly, until a step that *settles* has passed.  What it
    *heeds* tells why it takes long, and may prolong it.  It is walked where all traits of *only*
    are held and none of *unless*.
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
    errand: Errand | None = None
    tries: int = 1
    backoff_s: int = 2
    dirties: bool = False
    settles: bool = False
    only: frozenset[Trait] = frozenset()
    unless: frozenset[Trait] = frozenset()


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


def decide(name: str, decision: Decision, expects: str, **params: Any) -> Step:
    return Step(
        name=name,
        kind=StepKind.DECISION,
        decision=decision,
        expects=expects,
        party=Party.CONTROL,
        deadline_s=60,
        params=params,
    )


def assign(
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


def errand(name: str, what: Errand, expects: str, deadline_s: int = 180, **params: Any) -> Step:
    return Step(
        name=name,
        kind=StepKind.ERRAND,
        errand=what,
        expects=expects,
        party=Party.OUTSIDE,
        deadline_s=deadline_s,
        tries=4,
        params=params,
    )


def expect(
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


def confirm(name: str, expects: str, **params: Any) -> Step:
    """Return the step that a person confirms; of *params*, `power` is what the machine then has."""
    return Step(
        name=name,
        kind=StepKind.CONFIRMATION,
        expects=expects,
        party=Party.PERSON,
        deadline_s=HAND_S,
        params=params,
    )


def able(task: Task) -> Step:
    capability = CAPABILITY[task]
    expects = f"an agent of the site that can {capability}"
    return decide("agent-found", Decision.FIND_ABLE, expects, capability=capability)


def where(
    *steps: Step, only: Collection[Trait] = (), unless: Collection[Trait] = ()
) -> tuple[Step, ...]:
    """Return *steps* for the workflows that hold all traits of *only*, and none of *unless*.

    What a step wants already it wants still.
    """
    return tuple(
        replace(step, only=step.only | frozenset(only), unless=step.unless | frozenset(unless))
        for step in steps
    )
