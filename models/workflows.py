"""Workflows as tables of steps; the engine is one loop over them.

Rule: `plan-served` stands before any step that powers a machine for a boot.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from models import install_steps
from models.errands import Errand
from models.kinds import Kind
from models.lifecycle import Event
from models.observations import Seen
from models.steps import (
    CAPABILITY,
    HAND_S,
    Decision,
    Party,
    Step,
    Table,
    Task,
    Trait,
    able,
    assign,
    confirm,
    decide,
    errand,
    expect,
    where,
)

_MACHINE, _AGENT = Party.MACHINE, Party.AGENT
_HAND: Final = (Trait.BY_HAND,)

_PLAN_SERVED: Final = expect(
    "plan-served",
    Seen.PLAN_SERVED,
    "the boot owner to hold the plan, its artifacts verified",
    300,
    Seen.PLAN_REFUSED,
    party=_AGENT,
    heeds=Seen.ARTIFACT_AWAITED,
)

_WOKEN: Final = where(
    assign("woken", Task.WAKE, "the packets that wake it to be sent"), only={Trait.WAKES}
)
"""Whether it woke, only the machine itself can show."""


def _netboot(failed: Seen) -> tuple[Step, ...]:
    """Return the steps to a boot from the network, which *failed* ends at once."""
    fails = (failed, Seen.BOOT_FAILED)
    how: dict[str, Any] = {"dirties": True}
    driven = where(
        assign("powered-off", Task.POWER_OFF, "the BMC to report power off", force=True),
        assign(
            "boot-override", Task.BOOT_SOURCE, "the BMC to keep the override", **how, source="pxe"
        ),
        assign("powered-on", Task.POWER_ON, "the BMC to report power on", **how),
        expect(
            "netbooted",
            Seen.SCRIPT_SERVED,
            "its firmware to boot from the network and fetch its boot script",
            900,
            *fails,
            party=_MACHINE,
            heeds=Seen.BOOT_TROUBLE,
        ),
        unless=_HAND,
    )
    by_hand = where(
        *_WOKEN,
        expect(
            "netbooted",
            Seen.SCRIPT_SERVED,
            "power it on and boot from the network",
            HAND_S,
            *fails,
            party=Party.PERSON,
            heeds=Seen.BOOT_TROUBLE,
        ),
        only=_HAND,
    )
    return driven + by_hand


_ADDRESSED: Final = (
    *where(
        errand("address-given", Errand.IPAM_ALLOCATE, "the IPAM to give it an address"),
        only={Trait.EXTERNAL_IPAM},
    ),
    *where(
        errand("reserved", Errand.DHCP_RESERVE, "the DHCP server to reserve its address"),
        only={Trait.EXTERNAL_DHCP},
    ),
)
"""Before every boot intent, where others hold what a machine boots by."""

_BY_BMC: Final = where(
    assign("inventory", Task.INVENTORY, "the BMC's inventory: processors, memory, disks, NICs"),
    decide("inventory-recorded", Decision.RECORD_INVENTORY, "facts and differences recorded"),
    unless=_HAND,
)
_BY_IMAGE: Final = where(
    *_ADDRESSED,
    decide("run-prepared", Decision.PREPARE_INVENTORY, "an address, a run and a boot plan"),
    _PLAN_SERVED,
    *_netboot(Seen.DEPLOY_FAILED),
    expect(
        "inventoried",
        Seen.INVENTORIED,
        "its inventory system to look at the hardware, test it and report",
        1200,
        Seen.DEPLOY_FAILED,
        Seen.BOOT_FAILED,
        party=_MACHINE,
        heeds=Seen.BOOT_TROUBLE,
        settles=True,
    ),
    assign("report-collected", Task.REPORT, "the agent that it reported to, to hand it over"),
    decide("report-recorded", Decision.RECORD_REPORT, "facts and differences recorded"),
    *where(
        assign("switched-off", Task.POWER_OFF, "the BMC to report power off", force=True),
        unless=_HAND,
    ),
    only={Trait.INVENTORY_IMAGE},
)

_COMMISSION: Final = Table(
    begins=Event.COMMISSION,
    ends=Event.COMMISSIONED,
    clean_up=Kind.CLEAN_UP,
    steps=(
        *_BY_BMC,
        *_BY_IMAGE,
        *where(
            errand("tested", Errand.HARDWARE_TEST, "the tests of its hardware to end", 3600),
            only={Trait.EXTERNAL_TESTS},
        ),
        decide("findings-judged", Decision.JUDGE_FINDINGS, "nothing critical among them"),
        decide("commissioned", Decision.FINISH, "the machine becomes available"),
    ),
)
"""Hardware tests of another provider add their rows to what was found, and are judged with it."""


_PROVISION: Final = Table(
    begins=Event.PROVISION,
    ends=Event.PROVISIONED,
    clean_up=Kind.CLEAN_UP,
    steps=(
        *_ADDRESSED,
        *where(
            errand("name-recorded", Errand.DNS_RECORD, "the DNS to hold its name"),
            only={Trait.EXTERNAL_DNS},
        ),
        decide("run-prepared", Decision.PREPARE_RUN, "an address, a run and a boot plan"),
        _PLAN_SERVED,
        *_netboot(Seen.INSTALL_FAILED),
        *install_steps.STEPS,
        decide("active", Decision.FINISH, "the machine becomes active"),
    ),
)


_CLEAN_UP: Final = Table(
    steps=where(
        assign("switched-off", Task.POWER_OFF, "the BMC to report power off", force=True),
        assign("override-cleared", Task.BOOT_SOURCE, "the BMC to drop it", source="none"),
        unless=_HAND,
    ),
)
"""A machine that may still be writing its disk is switched off, and boots by its own order."""


_IMAGE: Final = Table(
    steps=(
        able(Task.VIRTUAL_MEDIA),
        *where(
            assign("media-inserted", Task.VIRTUAL_MEDIA, "the BMC to show the media as inserted"),
            assign("boot-override", Task.BOOT_SOURCE, "the BMC to keep the override", source="cd"),
            unless={Trait.EJECT},
        ),
        *where(
            assign("media-ejected", Task.VIRTUAL_MEDIA, "the BMC to show no media as inserted"),
            only={Trait.EJECT},
        ),
    ),
)

_COMMAND: Final = assign("command-run", Task.REMOTE_TASK, "the command to end, and its output", 900)

_REMOTE_TASK: Final = Table(
    steps=(
        able(Task.REMOTE_TASK),
        *where(_COMMAND, only={Trait.READS}),
        *where(replace(_COMMAND, tries=1), unless={Trait.READS}),
    ),
)

_WIPE: Final = where(
    *_ADDRESSED,
    decide("run-prepared", Decision.PREPARE_WIPE, "a run and a boot plan"),
    _PLAN_SERVED,
    *_netboot(Seen.DEPLOY_FAILED),
    expect(
        "wiping",
        Seen.DEPLOY_STARTED,
        "its deploy kernel to start and report",
        900,
        Seen.DEPLOY_FAILED,
        Seen.BOOT_FAILED,
        party=_MACHINE,
        heeds=Seen.BOOT_TROUBLE,
    ),
    expect(
        "wiped",
        Seen.WIPED,
        "partition tables and signatures to be overwritten and read back",
        3600,
        Seen.DEPLOY_FAILED,
        party=_MACHINE,
    ),
    decide("wipe-recorded", Decision.RECORD_WIPE, "what was overwritten, which is no full wipe"),
    only={Trait.WIPES},
)

_RELEASE: Final = Table(
    begins=Event.RELEASE,
    ends=Event.RELEASED,
    clean_up=Kind.CLEAN_UP,
    steps=(
        *where(
            assign("media-ejected", Task.VIRTUAL_MEDIA, "the BMC to show no media as inserted"),
            only={Trait.EJECT},
            unless=_HAND,
        ),
        *_WIPE,
        *where(
            assign("switched-off", Task.POWER_OFF, "the BMC to report power off", force=True),
            assign("override-cleared", Task.BOOT_SOURCE, "the BMC to drop it", source="none"),
            unless=_HAND,
        ),
        *where(
            confirm("switched-off", "switch it off, and confirm it", power="off"),
            only=_HAND,
            unless={Trait.WIPES},
        ),
        *where(
            errand("name-removed", Errand.DNS_REMOVE, "the DNS to hold its name no more"),
            only={Trait.EXTERNAL_DNS},
        ),
        *where(
            errand("reservation-removed", Errand.DHCP_REMOVE, "the DHCP server to drop it"),
            only={Trait.EXTERNAL_DHCP},
        ),
        decide("let-go", Decision.LET_GO, "its address and its plan given back"),
        decide("released", Decision.FINISH, "the machine becomes available"),
    ),
)
"""Until it is off with its disks wiped, where that was asked, nothing of it is given to others."""


def _moved(event: Event, expects: str, *first: Step) -> Table:
    """Return the table of what is done as soon as it is asked."""
    return Table(begins=event, steps=(*first, decide("done", Decision.FINISH, expects)))


def _single(task: Task, expects: str, *by_hand: Step) -> Table:
    """Return the table of one task, or of what is asked of a person where there is no BMC."""
    driven = assign(task.value, task, expects)
    if not by_hand:
        return Table(steps=(driven,))
    return Table(steps=(*where(driven, unless=_HAND), *where(*by_hand, only=_HAND)))


TABLES: Final[Mapping[Kind, Table]] = MappingProxyType(
    {
        Kind.COMMISSION: _COMMISSION,
        Kind.PROVISION: _PROVISION,
        Kind.REPROVISION: _PROVISION,
        Kind.IMAGE: _IMAGE,
        Kind.POWER_ON: _single(
            Task.POWER_ON,
            "the BMC to report power on",
            *_WOKEN,
            *where(
                confirm("power-on", "switch it on, and confirm it", power="on"),
                unless={Trait.WAKES},
            ),
        ),
        Kind.POWER_OFF: _single(
            Task.POWER_OFF,
            "the BMC to report power off",
            confirm("power-off", "switch it off, and confirm it", power="off"),
        ),
        Kind.REBOOT: _single(
            Task.REBOOT,
            "the BMC to report off, then on",
            confirm("reboot", "restart it, and confirm it", power="on"),
        ),
        Kind.BOOT_SOURCE: _single(Task.BOOT_SOURCE, "the BMC to keep the boot source"),
        Kind.REMOTE_TASK: _REMOTE_TASK,
        Kind.RELEASE: _RELEASE,
        Kind.RETIRE: _moved(
            Event.RETIRE,
            "the machine is out of use",
            decide("let-go", Decision.LET_GO, "its address and its plan given back"),
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

INSTALLS: Final = frozenset({Kind.PROVISION, Kind.REPROVISION})
"""Workflows whose run moves the machine's phase: the phases are those of an install."""

AT_ONCE: Final = frozenset(
    {Kind.RETIRE, Kind.MAINTENANCE, Kind.RESUME, Kind.CLEAR, Kind.DEALLOCATE}
)
"""Workflows that nobody is waited for: they end in the transaction that begins them."""


def table_of(kind: Kind, traits: Collection[str] = ()) -> Table:
    """Return the steps that a workflow of *kind* with *traits* walks, of all in its table."""
    return _walked(kind, frozenset(traits))


@cache
def _walked(kind: Kind, traits: frozenset[str]) -> Table:
    table = TABLES[kind]
    kept = (step for step in table.steps if step.only <= traits and not step.unless & traits)
    return replace(table, steps=tuple(kept))


def by_hand(kind: Kind) -> bool:
    """Whether *kind* can be done at a machine without a BMC."""
    tasks = {step.task for step in table_of(kind, _HAND).steps}
    return tasks - {None} <= CAPABILITY.keys()


def of_params(kind: Kind, params: Mapping[str, Any]) -> Table:
    """Return the table of a stored workflow, whose *params* keep the traits it began with."""
    return table_of(kind, params.get("traits", ()))


def switches_off(table: Table) -> bool:
    """Whether *table* has the machine's BMC switch it off, whatever it is doing."""
    return any(step.task is Task.POWER_OFF for step in table.steps)
