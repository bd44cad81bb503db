"""A host at a glance: where it stands, in the words of hosts, and how far its rebuild has come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from config.server_types import ServerType
from edge.access import may
from edge.wording import TONES
from models import boards, homes, hosts
from models.commands import server_types
from models.errors import DomainError
from models.homes import HostView
from models.hosts import Move
from models.kinds import Kind
from models.lifecycle import State
from models.phases import ORDER, Phase
from models.views import MachineView, WorkflowView

_PHASE_TONES: Final[Mapping[Phase, str]] = MappingProxyType(
    {
        Phase.REGISTERED: "off",
        Phase.PXE_READY: "waiting",
        Phase.READY: "good",
        Phase.FAILED: "failed",
    }
)
"""Host state → the tone that it is shown in; the others are at work."""

_OTHERWISE: Final = frozenset(
    {State.COMMISSIONING, State.RELEASING, State.MAINTENANCE, State.RETIRED}
)
"""What a machine can be in that no host state names: then its own word is shown."""

_INSTALLS: Final = frozenset({Kind.PROVISION, Kind.REPROVISION})

_MEANS: Final[Mapping[Phase, str]] = MappingProxyType(
    {
        Phase.REGISTERED: "known by name and MAC",
        Phase.PXE_READY: "may boot from the network",
        Phase.PXE_BOOTED: "fetched its boot script",
        Phase.INSTALLING: "the installer has its answer",
        Phase.INSTALLED: "the installer reported",
        Phase.FIRST_BOOT: "phoned home",
        Phase.JOINING: "joins its cluster",
        Phase.READY: "in use",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One segment or step: *mark* is past, now, failed, or nothing of what is to come."""

    name: str
    mark: str
    means: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the page of a machine shows of the host that it is.

    *kind* is its server type for people; *power*: what switches it; *refused*: why it is not
    deleted now.
    """

    kind: str
    mac: str
    power: str
    ip: str
    facts: Sequence[tuple[str, str]]
    steps: Sequence[Mark]
    may_rebuild: bool
    may_delete: bool
    refused: str


def word(machine: MachineView) -> str:
    """Return where *machine* stands: the state of a host, or the machine's own."""
    if machine.server_type is None or machine.state in _OTHERWISE:
        return machine.state
    return hosts.standing(machine)


def tone(machine: MachineView) -> str:
    """Return the tone of that word."""
    if machine.server_type is None or machine.state in _OTHERWISE:
        return TONES[machine.state]
    return _PHASE_TONES.get(hosts.standing(machine), "working")


def phase(machine: MachineView) -> Phase:
    """Return how far a machine's boot, or a host's rebuild, has come."""
    return machine.phase if machine.server_type is None else hosts.standing(machine)


def called(kind: str, machine: MachineView) -> str:
    """Return what an operation on *machine* is called: of a host, installing is to rebuild."""
    return "rebuild" if machine.server_type is not None and kind in _INSTALLS else kind


def of(machine: MachineView, operations: Iterable[WorkflowView]) -> Host | None:
    """Return what is shown of a host, whose newest *operations* are given; None of no host."""
    if machine.server_type is None:
        return None
    site = machine.site_id
    (home,) = homes.of([machine])
    known = _type(machine.server_type)
    return Host(
        kind=machine.server_type if known is None else known.display_name,
        mac=mac(machine),
        power=_power(machine),
        ip=home.ip or "",
        facts=_facts(home, known),
        steps=_steps(machine, operations),
        may_rebuild=may("host.rebuild", site) and _rebuilds(machine),
        may_delete=may("host.delete", site),
        refused=_refused(machine),
    )


def mac(machine: MachineView) -> str:
    """Return the MAC of the card that a host boots from."""
    return next((each.mac for each in machine.interfaces if each.pxe_enabled), "")


def _type(key: str) -> ServerType | None:
    """Return the server type *key*, None where the file says nothing of it now."""
    try:
        return server_types.named(key, field="")
    except DomainError:
        return None


def _facts(home: HostView, known: ServerType | None) -> list[tuple[str, str]]:
    """Return what is known of a host beside what its machine reported."""
    key = home.machine.server_type
    told = [("Hardware id", home.hardware_id), ("Server type", key)]
    if known is None:
        told.append(("Boot disk", "The file of server types does not have its type now."))
    else:
        told += [("Boot disk", known.boot_disk), ("Managed by", known.management_nic)]
    return [(name, value) for name, value in told if value]


def _power(machine: MachineView) -> str:
    if boards.wakes(machine.bmc):
        return "woken by a packet (Wake-on-LAN)"
    if not boards.driven(machine.bmc):
        return "no BMC: a person switches it"
    return "by its BMC"


def _rebuilds(machine: MachineView) -> bool:
    known = (hosts.standing(machine), Move.REBUILD) in hosts.TRANSITIONS
    return known and machine.state not in _OTHERWISE


def _refused(machine: MachineView) -> str:
    if machine.state is State.ACTIVE:
        return "Release it first: something runs on it."
    if hosts.standing(machine) in hosts.ACTIVE:
        return "Cancel its rebuild first."
    return ""


def _steps(machine: MachineView, operations: Iterable[WorkflowView]) -> list[Mark]:
    """Return the states from registered to ready: how far it is, or how far it came."""
    at, mark = hosts.standing(machine), "now"
    if at is Phase.FAILED:
        ran = (each for each in operations if each.kind in _INSTALLS)
        last = next(ran, None)
        at = Phase.REGISTERED if last is None else hosts.reached(last.steps, last.index)
        mark = "failed"
    here = ORDER.index(at)
    return [
        Mark(
            name=each.value,
            mark="past" if n < here or at is Phase.READY else mark if n == here else "",
            means=_MEANS[each],
        )
        for n, each in enumerate(ORDER)
    ]
