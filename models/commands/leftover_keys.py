"""The key of a rebuild that ended while its host still let it in: taken from there, then from here.

A join that goes well takes it away itself, and proves it.  Where a rebuild ends otherwise after its
host's first boot, an errand does; until that has ended the private half is kept, and no longer.
"""

from typing import Final
from uuid import UUID

from models.commands import errands, joins, run_keys
from models.commands.moves import noted
from models.errands import Ended
from models.errands import Errand as Name
from models.errors import NotReady
from models.kinds import Progress
from models.observations import Seen
from models.tables import Errand, Machine, Run, RunKey, Workflow

KEPT_S: Final = 600.0
"""Seconds for which a host that cannot be reached is tried."""

_TRIES: Final = 8


def close(machine: Machine, flow: Workflow) -> None:
    """Have the key of *flow*'s run, which is over, be nowhere; the machine's lock is held."""
    assert flow.run_id is not None  # noqa: S101 - for the type checker
    if not _let_in(flow):
        run_keys.forget(flow.run_id)
        return
    join = _join(flow)
    wait_s = 0.0 if join is None else errands.under_way_s(flow.id, join.key)
    try:
        told = joins.reached(machine, flow)
    except NotReady as exc:
        _end(machine, flow, Seen.KEY_LEFT, {"node": joins.node(machine), "reason": str(exc)})
        return
    errands.ask(
        Name.RUN_KEY_REMOVE,
        flow.run_id,
        f"run-key/{flow.run_id}",
        params=told,
        deadline_s=KEPT_S + wait_s,
        tries=_TRIES,
        wait_s=wait_s,
        site_id=machine.site_id,
        request_id=flow.request_id,
    )


def _let_in(flow: Workflow) -> bool:
    """Whether the host of *flow* came so far that it lets the key in, and still may."""
    if flow.state not in {Progress.FAILED.value, Progress.CANCELLED.value}:
        return False
    run: Run = Run.get_by_id(flow.run_id)
    join = _join(flow)
    held = RunKey.select().where(RunKey.run_id == flow.run_id).exists()
    return bool(held and run.home_address and (join is None or join.state != "done"))


def _join(flow: Workflow) -> Errand | None:
    """Return the newest join of *flow*."""
    of_flow = (Errand.subject == flow.id) & (Errand.name == Name.CLUSTER_JOIN.value)
    row: Errand | None = Errand.select().where(of_flow).order_by(Errand.created_at.desc()).first()
    return row


def ended(run_id: UUID, how: Ended) -> None:
    """Write down whether the key was removed from its host; it is gone from here in either case."""
    run: Run | None = Run.get_or_none(Run.id == run_id)
    if run is None:  # its host was deleted, and the key with it
        return
    machine, flow = Machine.get_by_id(run.machine_id), Workflow.get_by_id(run.workflow_id)
    told = {"node": joins.node(machine)}
    if how.done:
        _end(machine, flow, Seen.KEY_REMOVED, told)
    else:
        _end(machine, flow, Seen.KEY_LEFT, told | {"reason": how.reason})


def _end(machine: Machine, flow: Workflow, kind: Seen, told: dict[str, str]) -> None:
    run = flow.run_id
    assert run is not None  # noqa: S101 - for the type checker
    run_keys.forget(run)
    noted(machine, kind, told, flow=flow, run=run)
    if kind is Seen.KEY_LEFT:
        left = f"the key of this rebuild may be on {told['node']} yet: {told['reason']}"
        flow.detail = f"{flow.detail}; {left}"
        flow.save(only=[Workflow.detail])
