"""What a person sees: the fleet as tiles, and one machine with its timeline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge import discovered
from edge.access import does, visible_sites
from edge.wording import TONES, duration, percent, sentence
from models import lists, queries
from models.errors import NotFound
from models.lifecycle import WORKING, State
from models.observations import Seen
from models.paging import Ask
from models.phases import ORDER, Phase
from models.views import AgentView, MachineView, ObservationView, WorkflowView
from models.why import Why, why
from models.workflows import Progress

PAGE: Final = 200
"""Tiles of one page."""

ROWS: Final = 300
"""Newest timeline rows of one page."""

blueprint: Final = Blueprint("pages", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One segment or step: *mark* is past, now, later, done or failed."""

    name: str
    mark: str
    took: str = ""
    percent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    id: UUID
    hostname: str
    site: str
    simulated: bool
    state: str
    tone: str
    phase: str
    phases: Sequence[Mark]
    working: bool
    sentence: str
    short: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    id: int
    at: datetime
    source: str
    sentence: str
    applied: bool
    data: str
    after: str


@blueprint.get("/")
@does("machine.read")
def machines() -> ResponseReturnValue:
    """Show the fleet; state and search stand in the URL."""
    state = _state(request.args.get("state", ""))
    query = request.args.get("q", "").strip()[:100]
    sites = visible_sites()
    ask = Ask(cursor=request.args.get("after", ""), limit=PAGE)
    found = lists.machines(among=sites, state=state, search=query, ask=ask)
    agents = queries.agents(among=sites)
    now = datetime.now(UTC)
    return render_template(
        "machines.html",
        tiles=[_tile(machine, agents, now) for machine in found],
        next_page=_next(found.next, state, query),
        counts={s.value: count for s, count in queries.counts(among=sites).items()},
        tones=TONES,
        state="" if state is None else state.value,
        query=query,
        here=request.full_path.rstrip("?"),
        commands=_commands("/v1/machines", "sprout machines list"),
        **discovered.newest(),
    )


@blueprint.get("/machines/<uuid:machine>")
@does("machine.read")
def machine(machine: UUID) -> ResponseReturnValue:
    """Show one machine: what it waits for, its boot, its facts and its timeline."""
    view = queries.machine(machine)
    rows = queries.timeline(view.id, limit=ROWS)
    agents = queries.agents(view.site_id)
    now = datetime.now(UTC)
    flow = view.workflow
    return render_template(
        "machine.html",
        machine=view,
        tile=_tile(view, agents, now),
        why=why(view, agents, rows, now),
        flow=flow,
        steps=[] if flow is None else _steps(flow, rows, now),
        facts=_facts(view),
        timeline=_rows(rows),
        commands=_commands(f"/v1/machines/{view.id}", f"sprout machines show {view.hostname}"),
    )


@blueprint.get("/fragments/tiles/<uuid:machine>")
@does("machine.read")
def tile(machine: UUID) -> ResponseReturnValue:
    """Show one tile, for a page that heard that it changed."""
    view = queries.machine(machine)
    agents = queries.agents(view.site_id)
    return render_template("parts/tile.html", tile=_tile(view, agents, datetime.now(UTC)))


def _state(word: str) -> State | None:
    try:
        return State(word) if word else None
    except ValueError:
        raise NotFound(f"no state {word}", hint=f"One of: {', '.join(State)}") from None


def _next(cursor: str | None, state: State | None, query: str) -> str | None:
    if cursor is None:
        return None
    word = None if state is None else state.value
    return url_for("pages.machines", state=word, q=query or None, after=cursor)


def _tile(machine: MachineView, agents: Sequence[AgentView], now: datetime) -> Tile:
    of_site = [agent for agent in agents if agent.site_id == machine.site_id]
    told = why(machine, of_site, (), now)
    return Tile(
        id=machine.id,
        hostname=machine.hostname,
        site=machine.site_slug,
        simulated=machine.labels.get("simulated") == "true",
        state=machine.state.value,
        tone=TONES[machine.state],
        phase=machine.phase.value,
        phases=_phases(machine),
        working=machine.state in WORKING,
        sentence=told.sentence,
        short=_short(machine, told),
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


def _steps(flow: WorkflowView, rows: Sequence[ObservationView], now: datetime) -> list[Mark]:
    begun, ended = _times(flow, rows, Seen.STEP_BEGUN), _times(flow, rows, Seen.STEP_DONE)
    written = _written(flow, rows)
    marks = []
    for number, step in enumerate(flow.steps):
        start, end = begun.get(step.name), ended.get(step.name)
        mark = _mark(flow, number)
        stop = end or (now if mark == "now" else flow.finished_at)
        took = "" if start is None or stop is None else duration((stop - start).total_seconds())
        share = written if mark == "now" and step.until is Seen.INSTALLED else None
        marks.append(Mark(name=step.name, mark=mark, took=took, percent=share))
    return marks


def _written(flow: WorkflowView, rows: Sequence[ObservationView]) -> int | None:
    own = (r for r in rows if r.run_id == flow.run_id and r.kind == Seen.INSTALL_PROGRESS)
    return max((share for row in own if (share := percent(row.data)) is not None), default=None)


def _mark(flow: WorkflowView, number: int) -> str:
    if number < flow.index or flow.progress is Progress.SUCCEEDED:
        return "done"
    if number > flow.index:
        return "later"
    return "now" if flow.progress is Progress.RUNNING else "failed"


def _times(
    flow: WorkflowView, rows: Sequence[ObservationView], kind: Seen
) -> Mapping[str, datetime]:
    own = (row for row in rows if row.workflow_id == flow.id and row.kind == kind)
    return {str(row.data["step"]): row.at for row in own if "step" in row.data}


def _facts(machine: MachineView) -> list[tuple[str, str]]:
    found = machine.facts
    system = found.get("system") or {}
    disks = [f"{d.get('serial') or d.get('wwn')}: {_gib(d)}" for d in found.get("disks", ())]
    told = {
        "Model": " ".join(filter(None, (system.get("manufacturer"), system.get("model")))),
        "Serial": system.get("serial"),
        "UUID": system.get("uuid"),
        "Architecture": machine.architecture,
        "Memory": f"{found['memory_mib']} MiB" if found.get("memory_mib") else "",
        "Disks": ", ".join(disks),
        "Health": found.get("health"),
        "Labels": ", ".join(f"{k}={v}" for k, v in machine.labels.items()),
    }
    nics = [(i.name, " ".join(filter(None, (i.mac, i.address)))) for i in machine.interfaces]
    return [(name, str(value)) for name, value in [*told.items(), *nics] if value]


def _gib(disk: Mapping[str, Any]) -> str:
    return f"{int(disk.get('bytes') or 0) / (1 << 30):.1f} GiB"


def _rows(rows: Sequence[ObservationView]) -> list[Row]:
    shown = []
    before: datetime | None = None
    for row in rows:
        after = "" if before is None else duration(max(0.0, (row.at - before).total_seconds()))
        before = row.at
        shown.append(
            Row(
                id=row.id,
                at=row.at,
                source=row.source,
                sentence=sentence(row.kind, row.data),
                applied=row.applied,
                data=json.dumps(row.data, indent=1, sort_keys=True) if row.data else "",
                after=after,
            )
        )
    return list(reversed(shown))


def _commands(path: str, command: str) -> list[str]:
    root = request.host_url.rstrip("/")
    return [f'curl -H "Authorization: Bearer $SPROUT_API_TOKEN" {root}{path}', command]
