"""A person says that what a workflow asked of him is done."""

from uuid import UUID

from models import audit
from models.audit import Caller
from models.commands import begin
from models.commands.moves import locked, noted
from models.database import database
from models.engine import Outcome
from models.errors import IllegalTransition, NotFound
from models.kinds import Kind, Progress
from models.observations import Seen
from models.steps import Step, StepKind
from models.tables import Machine, Workflow
from models.workflows import of_params


def confirm(caller: Caller, workflow_id: UUID, step: str, *, reason: str = "") -> None:
    """Record that *step*, which a person was asked for, is done, and have the workflow go on.

    *step* is named, so that what is said twice is not taken for the next one's.  What is confirmed
    already stays so.  Raises NotFound or IllegalTransition.
    """
    with database.atomic():
        known: Workflow | None = Workflow.get_or_none(Workflow.id == workflow_id)
        if known is None:
            raise NotFound(f"no workflow {workflow_id}")
        machine = locked(known.machine_id)
        flow = Workflow.get_by_id(workflow_id)
        asked = _asked(flow, step)
        if flow.outcome == Outcome.DONE.value:
            return
        _record(caller, machine, flow, step, reason=reason)
        flow.outcome = Outcome.DONE.value
        flow.save()
        _see_power(machine, asked)
        begin.promise(flow)


def _asked(flow: Workflow, name: str) -> Step:
    """Return the step *name*, if it is what *flow* asks of a person now."""
    if flow.state != Progress.RUNNING.value:
        raise IllegalTransition(f"the workflow has {flow.state}: it waits for nobody")
    steps = of_params(Kind(flow.kind), flow.params).steps
    step = steps[flow.step] if flow.step < len(steps) else None
    if step is None or step.kind is not StepKind.CONFIRMATION or flow.attempt == 0:
        who = "control" if step is None else step.party.value
        raise IllegalTransition(
            f"the workflow waits for {who}, and asks nobody to confirm anything",
            hint=f"See what it waits for: sprout workflows show {flow.id}",
        )
    if step.name != name:
        raise IllegalTransition(
            f"the workflow asks for {step.name}, not for {name!r}",
            field="/step",
            hint=f"What is to be done: {step.expects}.",
        )
    return step


def _record(caller: Caller, machine: Machine, flow: Workflow, step: str, *, reason: str) -> None:
    told = {"step": step, "by": caller.name, "reason": reason}
    noted(machine, Seen.CONFIRMED, told, flow=flow)
    audit.record(
        caller,
        "workflow.confirm",
        kind="workflow",
        id=flow.id,
        site=flow.site_id,
        machine=machine.id,
        reason=reason,
        data={"step": step},
    )


def _see_power(machine: Machine, step: Step) -> None:
    power = step.params.get("power")
    if power is not None:
        machine.power = power
        machine.save()
