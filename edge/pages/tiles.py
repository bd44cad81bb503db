"""A machine at a glance: its state, how far its boot has come, what it waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edge.wording import TONES
from models.lifecycle import WORKING, State
from models.phases import ORDER, Phase
from models.views import AgentView, MachineView
from models.why import Why, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One segment or step: *mark* is past, now, later, done or failed."""

    name: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    machine: MachineView
    simulated: bool
    tone: str
    phases: Sequence[Mark]
    working: bool
    sentence: str
    short: str
    since: datetime


def tile(machine: MachineView, agents: Sequence[AgentView]) -> Tile:
    """Return the tile of *machine*; *agents* may be those of other sites too."""
    of_site = [agent for agent in agents if agent.site_id == machine.site_id]
    told = why(machine, of_site, (), datetime.now(UTC))
    flow = machine.workflow
    return Tile(
        machine=machine,
        simulated=machine.labels.get("simulated") == "true",
        tone=TONES[machine.state],
        phases=_phases(machine),
        working=machine.state in WORKING,
        sentence=told.sentence,
        short=_short(machine, told),
        since=machine.updated_at if flow is None else flow.finished_at or flow.begun_at,
    )


def _short(machine: MachineView, told: Why) -> str:
    flow = machine.workflow
    if told.waiting and flow is not None and flow.step is not None and told.until is not None:
        return f"waiting for {flow.step.name} until {told.until:%H:%M} UTC"
    if machine.state is State.FAILED and flow is not None:
        return flow.detail
    return machine.address or ""


def _phases(machine: MachineView) -> list[Mark]:
    failed = machine.phase is Phase.FAILED
    reached = -1 if failed else ORDER.index(machine.phase)
    done = machine.phase is Phase.READY
    return [
        Mark(
            name=phase.value, mark="past" if done or n < reached else "now" if n == reached else ""
        )
        for n, phase in enumerate(ORDER)
        if phase is not Phase.REGISTERED
    ]
