"""A machine at a glance: its state, how far its boot has come, what it waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import url_for

from edge.pages import standing
from edge.pages.standing import Mark
from models.lifecycle import WORKING, State
from models.phases import ORDER, Phase
from models.views import AgentView, MachineView
from models.why import Why, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """*state* is the host's where the machine is one, *phase* how far its boot has come."""

    machine: MachineView
    url: str
    simulated: bool
    state: str
    phase: Phase
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
        url=_url(machine),
        simulated=machine.labels.get("simulated") == "true",
        state=standing.word(machine),
        phase=standing.phase(machine),
        tone=standing.tone(machine),
        phases=_phases(machine),
        working=machine.state in WORKING,
        sentence=told.sentence,
        short=_short(machine, told),
        since=machine.updated_at if flow is None else flow.finished_at or flow.begun_at,
    )


def _url(machine: MachineView) -> str:
    if machine.server_type is None:
        return url_for("machine.show", machine=machine.id)
    return url_for("host.show", host=machine.id)


def _short(machine: MachineView, told: Why) -> str:
    flow = machine.workflow
    if told.waiting and flow is not None and flow.step is not None and told.until is not None:
        until = f"until {_clock(told.until)} UTC"
        if machine.server_type is not None:
            return f"{flow.step.expects}, {until}"
        return f"waiting for {flow.step.name} {until}"
    if machine.state is State.FAILED and flow is not None:
        return flow.detail
    return machine.address or ("" if machine.server_type is None else standing.mac(machine))


def _clock(at: datetime) -> str:
    """Return the time of day, with the day of the week where that is not today."""
    return f"{at:%H:%M}" if at.date() == datetime.now(UTC).date() else f"{at:%a %H:%M}"


def _phases(machine: MachineView) -> list[Mark]:
    came = standing.phase(machine)
    reached = -1 if came is Phase.FAILED else ORDER.index(came)
    done = came is Phase.READY
    return [
        Mark(
            name=phase.value, mark="past" if done or n < reached else "now" if n == reached else ""
        )
        for n, phase in enumerate(ORDER)
        if phase is not Phase.REGISTERED
    ]
