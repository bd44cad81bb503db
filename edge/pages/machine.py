"""One machine: what it waits for, how its boot goes, what it is, what may be asked of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from edge.access import does, may
from edge.pages import frame, progress, standing
from edge.pages.tiles import tile
from edge.wording import size
from models import boards, lists, queries
from models.actions import ACTIONS, ALLOCATE, Action
from models.commands import handing_out
from models.kinds import Kind
from models.paging import Ask
from models.views import EvidenceView, MachineView
from models.why import why

OPERATIONS: Final = 10
"""Newest workflows of one page."""

EVIDENCE: Final = 50

AILING: Final = 3
"""Parts that are not well, of a machine, which its page names."""

blueprint: Final = Blueprint("machine", __name__)


@blueprint.get("/machines/<uuid:machine>")
@does("machine.read")
def show(machine: UUID) -> ResponseReturnValue:
    """Show one machine."""
    return page(queries.machine(machine))


def page(view: MachineView) -> str:
    """Return the page of one machine, with what it is as a host where it is one."""
    rows = queries.timeline(view.id, limit=progress.ROWS)
    agents = queries.agents(view.site_id)
    now = datetime.now(UTC)
    flow = view.workflow
    operations = lists.workflows(machine_id=view.id, ask=Ask(limit=OPERATIONS))
    return render_template(
        "machine.html",
        machine=view,
        tile=tile(view, agents),
        why=why(view, agents, rows, now, allocator=handing_out.words(view.id, view.state)),
        flow=flow,
        stages=[] if flow is None else progress.stages(flow, rows, now),
        facts=_facts(view),
        log=progress.log(rows, whole="whole" in request.args),
        here=request.full_path.rstrip("?"),
        operations=operations,
        host=standing.of(view, operations),
        evidence=_evidence(view),
        tones=progress.TONES,
        verbs=_verbs(view),
        may_cancel=may("workflow.cancel", view.site_id),
        commands=_commands(view),
    )


def _commands(machine: MachineView) -> list[str]:
    if machine.server_type is None:
        path, command = f"/v1/machines/{machine.id}", f"sprout machines show {machine.hostname}"
    else:
        path, command = f"/api/hosts/{machine.id}", f"sprout hosts show {machine.hostname}"
    return frame.commands(path, command)


def _verbs(machine: MachineView) -> list[tuple[str, Action]]:
    """Return what the caller may ask of the machine as it is now."""
    return [
        (name, action)
        for name, action in ACTIONS.items()
        if name not in _elsewhere(machine)
        and machine.state in action.states
        and may(f"machine.{name}", machine.site_id)
    ]


def _elsewhere(machine: MachineView) -> frozenset[str]:
    """Return the verbs that the page does not offer: a host is rebuilt, and needs nothing before.

    Nobody is asked to switch what has no BMC, where a rebuild would ask him.
    """
    if machine.server_type is None:
        return frozenset({ALLOCATE})
    return _NOT_OF_HOSTS | (frozenset() if boards.driven(machine.bmc) else _BY_BMC)


_NOT_OF_HOSTS: Final = frozenset({ALLOCATE, Kind.COMMISSION, Kind.PROVISION, Kind.REPROVISION})
_BY_BMC: Final = frozenset(
    {Kind.IMAGE, Kind.BOOT_SOURCE, Kind.POWER_ON, Kind.POWER_OFF, Kind.REBOOT}
)


def _evidence(machine: MachineView) -> Mapping[UUID, list[EvidenceView]]:
    """Return what the machine's tasks brought up, by workflow."""
    found: dict[UUID, list[EvidenceView]] = {}
    for each in lists.evidence(machine.id, ask=Ask(limit=EVIDENCE)):
        found.setdefault(each.workflow_id, []).append(each)
    return found


def _facts(machine: MachineView) -> list[tuple[str, str]]:
    found = machine.facts
    system = found.get("system") or {}
    told = {
        "Model": " ".join(filter(None, (system.get("manufacturer"), system.get("model")))),
        "Serial": system.get("serial"),
        "UUID": system.get("uuid"),
        "Architecture": machine.architecture,
        "Memory": f"{machine.memory_mib / 1024:.3g} GiB" if machine.memory_mib else "",
        "Health": _health(found),
        "Profile": machine.profile_ref,
        "Labels": ", ".join(f"{k}={v}" for k, v in machine.labels.items()),
    }
    disks = [("Disk", disk_words(disk)) for disk in found.get("disks", ())]
    nics = [(i.name, " ".join(filter(None, (i.mac, i.address)))) for i in machine.interfaces]
    tests = [("Test", _test_words(test)) for test in found.get("tests", ())]
    rows = [*told.items(), *disks, *nics, *tests]
    return [(name, str(value)) for name, value in rows if value]


def _test_words(test: Mapping[str, Any]) -> str:
    """Return what was tested, how it went, and why it was skipped or failed."""
    words = (test.get(name) for name in ("name", "subject", "outcome", "detail"))
    return " ".join(str(word) for word in words if word)


def _health(found: Mapping[str, Any]) -> str:
    told = (found.get("health"), *found.get("ailing", ())[:AILING])
    return ", ".join(str(each) for each in told if each)


def disk_words(disk: Mapping[str, Any]) -> str:
    """Return what tells one disk from another."""
    model, name = disk.get("model"), disk.get("serial") or disk.get("wwn")
    room = size(int(disk.get("bytes") or 0)) if disk.get("bytes") else ""
    return " ".join(str(word) for word in (model, room, name) if word)
