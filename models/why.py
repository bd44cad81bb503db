"""What a machine waits for, until when, and from whom: a pure function of what is known of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from models.kinds import Progress
from models.lifecycle import State
from models.steps import Party, StepKind, Trait
from models.views import AgentView, MachineView, ObservationView, WorkflowView


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """*sentence* for a person; *until* is the deadline; *evidence* what was seen last."""

    sentence: str
    waiting: bool
    until: datetime | None = None
    party: str = ""
    evidence: str = ""
    next_action: str = ""


_AT_REST: Final[Mapping[State, tuple[str, str]]] = MappingProxyType(
    {
        State.REGISTERED: ("it is registered", "sprout machines commission {name}"),
        State.AVAILABLE: (
            "it is available",
            "sprout machines provision {name} --image-ref … --profile-ref …",
        ),
        State.ALLOCATED: ("it is allocated", "sprout machines provision {name} …"),
        State.ACTIVE: ("it is active", "sprout ssh {name}"),
        State.MAINTENANCE: ("it is in maintenance", "sprout machines resume {name}"),
        State.RETIRED: ("it is retired", ""),
    }
)
"""States in which nothing is waited for: how to say so, and what can be done next."""

_HOST_AT_REST: Final[Mapping[State, tuple[str, str]]] = MappingProxyType(
    {
        **dict.fromkeys(
            (State.REGISTERED, State.AVAILABLE, State.ALLOCATED),
            ("it is registered", "sprout hosts rebuild {name}"),
        ),
        State.ACTIVE: ("it is ready", "sprout ssh {name}"),
    }
)
"""The same of hosts, where it differs."""

_REMEDY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "plan-served": "See that its files lie unchanged at the site, or where the image says.",
        "netbooted": "See that the machine boots from the network: cable, boot order, PXE enabled.",
        "installing": "Look at its console: the kernel was fetched and has not reported.",
        "answered": "Look at its console: its boot files were fetched, and no installer has asked.",
        "inventoried": "Look at its console: what was fetched to take inventory has not reported.",
        "phoned-home": "Look at its console: does it boot from its disk, and reach the site?",
    }
)
"""What to look at when a step takes long, by the step's name."""

_BY_HAND: Final = (
    "Its next boot from the network is the one that this workflow waits for, and no other machine "
    "is served it. To stop it: {stop}"
)
_LEFT_ON: Final = (
    " Nobody can switch it off from here: its boot plan is withdrawn, so that its next boot from "
    "the network starts its own disk."
)


def why(
    machine: MachineView,
    agents: Sequence[AgentView],
    timeline: Sequence[ObservationView],
    now: datetime,
    *,
    allocator: str = "",
) -> Why:
    """Return what *machine* waits for; *timeline* is its newest rows in order.

    *allocator* is what is to be said of an external one.
    """
    flow = machine.workflow
    evidence = _evidence(timeline, now)
    if flow is not None and flow.progress is Progress.RUNNING:
        return _running(machine, flow, agents, evidence)
    if machine.state is State.FAILED:
        detail = flow.detail if flow is not None else ""
        sentence = f"{machine.hostname} waits for nothing: it failed ({detail or 'no reason'})."
        return Why(
            sentence=sentence + (_LEFT_ON if _is_left_on(flow) else ""),
            waiting=False,
            evidence=evidence,
            next_action=f"Mend the cause, then ask again: sprout {_verb(machine)}",
        )
    if allocator and machine.state is State.ALLOCATED:
        return Why(
            sentence=f"{machine.hostname} waits for the external allocator. {allocator}",
            waiting=True,
            party=Party.OUTSIDE.value,
            evidence=evidence,
            next_action=f"To give it back: sprout machines deallocate {machine.hostname}",
        )
    words, action = _at_rest(machine)
    beside = f" {allocator}" if allocator else ""
    return Why(
        sentence=f"{machine.hostname} waits for nothing: {words}.{_last(flow)}{beside}",
        waiting=False,
        evidence=evidence,
        next_action=action.format(name=machine.hostname),
    )


def _last(flow: WorkflowView | None) -> str:
    """Say why the last that was asked came to nothing, where that left the machine as it was."""
    if flow is None or flow.progress is not Progress.FAILED or not flow.detail:
        return ""
    return f" Its last {flow.kind} failed: {flow.detail}."


def _at_rest(machine: MachineView) -> tuple[str, str]:
    known = _AT_REST if machine.server_type is None else {**_AT_REST, **_HOST_AT_REST}
    words, action = known.get(machine.state, (f"it is {machine.state}", ""))
    if machine.state is State.ACTIVE and machine.labels.get("simulated") == "true":
        return words, "sprout machines timeline {name}"  # there is no system to log in to
    return words, action


def _running(
    machine: MachineView, flow: WorkflowView, agents: Sequence[AgentView], evidence: str
) -> Why:
    step = flow.step
    if step is None or flow.attempt == 0:
        return Why(
            sentence=f"{machine.hostname} waits for control to take up {flow.kind}.",
            waiting=True,
            until=flow.deadline_at,
            party=Party.CONTROL.value,
            evidence=evidence,
            next_action="If this lasts, see that the control process runs: sprout control",
        )
    ours = step.party in {Party.CONTROL, Party.OUTSIDE} or step.kind is StepKind.CONFIRMATION
    lost = not ours and not any(agent.live for agent in agents)
    note = _away(agents) if lost else (f" ({flow.detail})" if flow.detail else "")
    return Why(
        sentence=f"{machine.hostname} waits for {step.party.value}: {step.expects}.{note}",
        waiting=True,
        until=flow.deadline_at,
        party=step.party.value,
        evidence=evidence,
        next_action="Start an agent at the site: sprout site" if lost else _remedy(machine, flow),
    )


def _away(agents: Sequence[AgentView]) -> str:
    """Say since when a site is out of contact, and what that does to the deadline."""
    if not agents:
        return " No agent of its site is live."
    last = max(agent.last_seen_at for agent in agents)
    return (
        f" No agent of its site is live: out of contact since {last:%H:%M:%S} UTC. The deadline "
        "stands still until what the site saw meanwhile has arrived."
    )


def _is_by_hand(flow: WorkflowView | None) -> bool:
    return flow is not None and Trait.BY_HAND in flow.params.get("traits", ())


def _is_left_on(flow: WorkflowView | None) -> bool:
    return flow is not None and flow.run_id is not None and _is_by_hand(flow)


def _remedy(machine: MachineView, flow: WorkflowView) -> str:
    step = flow.step
    if step is not None and step.kind is StepKind.CONFIRMATION:
        return f"When it is done: sprout workflows confirm {flow.id}"
    name = "" if step is None else step.name
    if name == "netbooted" and _is_by_hand(flow):
        return _BY_HAND.format(stop=_stop(machine, flow))
    return _REMEDY.get(name, f"To stop it: {_stop(machine, flow)}")


def _stop(machine: MachineView, flow: WorkflowView) -> str:
    """Return the command that ends *flow*: a host goes by its name."""
    if machine.server_type is not None:
        return f"sprout hosts cancel {machine.hostname}"
    return f"sprout workflows cancel {flow.id}"


def _verb(machine: MachineView) -> str:
    """Return what to ask again: of a host, whatever failed, to be rebuilt."""
    if machine.server_type is not None:
        return f"hosts rebuild {machine.hostname}"
    flow = machine.workflow
    kind = "provision" if flow is None else flow.kind.value
    return f"machines {kind} {machine.hostname}"


def _evidence(timeline: Sequence[ObservationView], now: datetime) -> str:
    told = [row for row in timeline if row.source not in {"control", "operator"}]
    if not told:
        return "nothing was seen of it yet"
    last = told[-1]
    age = max(0, round((now - last.at).total_seconds()))
    return f"{last.kind} from {last.source}, {age} s ago"
