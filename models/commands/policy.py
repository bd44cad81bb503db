"""The policy in force, and its judgements: each is kept, whether it lets through or not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from models import audit, policy_file, roles
from models.actions import digest
from models.audit import Caller
from models.commands.moves import now
from models.database import database, in_turn
from models.errors import ApprovalNeeded, ApprovalUnfit, Forbidden, Unknown
from models.lifecycle import State
from models.policy import (
    Approval,
    Asked,
    Consent,
    Judgement,
    Policy,
    Refusal,
    consent,
    inputs,
    judge,
    judge_approver,
)
from models.roles import Role
from models.tables import Approval as ApprovalRow
from models.tables import Machine, PolicyDecision, Site, Workflow

_LOCK: Final = "sprout.destructive"
_REFUSED: Final[Mapping[Refusal, type[Forbidden]]] = MappingProxyType(
    {
        Refusal.DENIED: Forbidden,
        Refusal.NEEDED: ApprovalNeeded,
        Refusal.UNFIT: ApprovalUnfit,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a verb is asked: why, with which parameters (as REST has them), by which approval."""

    reason: str = ""
    approval_id: UUID | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One judgement, as it is kept."""

    id: UUID
    at: datetime
    caller: Caller
    asked: Asked
    site: UUID
    judgement: Judgement
    policy: str


_source: list[Callable[[], Policy]] = [policy_file.default]


def follow(source: Callable[[], Policy]) -> None:
    """Have *source* say which policy is in force, for this process; it may raise NotReady."""
    _source[0] = source


def in_force() -> Policy:
    """Return the policy that is in force now.  Raises NotReady where none could ever be read."""
    return _source[0]()


def permitted(caller: Caller, machine: Machine, action: str, order: Order) -> Decision:
    """Judge *action* on *machine*, whose lock is held; keep the judgement; use up the approval.

    Raises Forbidden, which bears the judgement: it is kept by `keep`, outside of the transaction
    that the refusal ends.
    """
    policy = in_force()
    slug = Site.get_by_id(machine.site_id).slug
    if policy.limit(action, slug):
        _alone(machine.site_id)
    approval = _approval(order.approval_id)
    asked = _asked(caller, machine, action, policy, slug)
    asked = replace(asked, parameters=digest(order.parameters), approval=approval)
    return _decided(caller, asked, machine.site_id, policy)


def foreseen(caller: Caller, machine: Machine, action: str) -> Judgement:
    """Return how *action* would be judged now without an approval; nothing is kept or locked."""
    policy = in_force()
    slug = Site.get_by_id(machine.site_id).slug
    return judge(_asked(caller, machine, action, policy, slug), policy)


def _asked(caller: Caller, machine: Machine, action: str, policy: Policy, slug: str) -> Asked:
    return Asked(
        action=action,
        actor=caller.name,
        role=role_of(caller, slug),
        site=slug,
        at=now(),
        machine=machine.id,
        hostname=machine.hostname,
        state=State(machine.state),
        commissioned=machine.commissioned_at is not None,
        running=_running(machine.site_id, policy) if policy.limit(action, slug) else 0,
        person=caller.person,
    )


def permitted_at(
    caller: Caller, site: Site, action: str, parameters: Mapping[str, Any]
) -> Decision:
    """Judge an *action* that is asked of *site*.  Raises Forbidden."""
    asked = Asked(
        action=action,
        actor=caller.name,
        role=role_of(caller, site.slug),
        site=site.slug,
        at=now(),
        parameters=digest(parameters),
    )
    return _decided(caller, asked, site.id, in_force())


def to_approve(caller: Caller, machine: Machine, action: str) -> Consent | None:
    """Return what policy wants of an approval of *action*, if *caller* may give it.

    Raises Forbidden.
    """
    policy = in_force()
    slug = Site.get_by_id(machine.site_id).slug
    asked = _asked(caller, machine, action, policy, slug)
    refused = judge_approver(asked, policy)
    if refused is not None:
        raise _refusal(_decision(caller, asked, machine.site_id, policy, refused))
    return consent(policy, action, slug)


def keep(refusal: Forbidden) -> UUID:
    """Keep the judgement of *refusal*, in a transaction of its own; return its id."""
    decision = refusal.decision
    assert isinstance(decision, Decision)  # noqa: S101 - for the type checker
    with database.atomic():
        _write(decision)
    return decision.id


def use(decision: Decision, workflow: UUID) -> None:
    """Use up the approval that *decision* rests on, if it does, for *workflow*."""
    approval = decision.asked.approval
    if approval is None:
        return
    ApprovalRow.update(used_at=now(), used_by=decision.caller.name, workflow_id=workflow).where(
        (ApprovalRow.id == approval.id) & ApprovalRow.used_at.is_null()
    ).execute()
    audit.record(
        decision.caller,
        "approval.use",
        kind="approval",
        id=approval.id,
        site=decision.site,
        machine=decision.asked.machine,
        data={"action": decision.asked.action, "workflow": str(workflow), "by": approval.by},
    )


def _decided(caller: Caller, asked: Asked, site: UUID, policy: Policy) -> Decision:
    decision = _decision(caller, asked, site, policy, judge(asked, policy))
    if not decision.judgement.allowed:
        raise _refusal(decision)
    _write(decision)
    return decision


def _decision(
    caller: Caller, asked: Asked, site: UUID, policy: Policy, judgement: Judgement
) -> Decision:
    return Decision(
        id=uuid4(),
        at=asked.at,
        caller=caller,
        asked=asked,
        site=site,
        judgement=judgement,
        policy=policy.digest,
    )


def _refusal(decision: Decision) -> Forbidden:
    found = decision.judgement
    kind = found.refusal or Refusal.DENIED
    return _REFUSED[kind](
        found.reason,
        decision=decision,
        field="" if kind is Refusal.DENIED else "/approvalId",
        hint=f"{found.would_change} The rule is {found.rule}.",
    )


def _write(decision: Decision) -> None:
    asked, found = decision.asked, decision.judgement
    PolicyDecision.ensure(
        id=decision.id,
        at=decision.at,
        actor=decision.caller.name,
        action=asked.action,
        machine_id=asked.machine,
        site_id=decision.site,
        allowed=found.allowed,
        rule=found.rule,
        reason=found.reason,
        would_change=found.would_change,
        approval_id=None if asked.approval is None else asked.approval.id,
        inputs=dict(inputs(asked)),
        policy=decision.policy,
        request_id=decision.caller.request_id,
    )


def _alone(site: UUID) -> None:
    """Wait until nobody else's destructive action is judged at *site*; until commit, none is."""
    in_turn(f"{_LOCK}/{site}")


def _running(site: UUID, policy: Policy) -> int:
    """Return how many destructive actions run at *site*."""
    running = Workflow.select().where(
        (Workflow.site_id == site)
        & (Workflow.state == "running")
        & Workflow.kind.in_(sorted(policy.destructive))
    )
    return int(running.count())


def _approval(approval_id: UUID | None) -> Approval | None:
    """Return the approval that was named, its row locked until the transaction ends."""
    if approval_id is None:
        return None
    row: ApprovalRow | None = (
        ApprovalRow.select().where(ApprovalRow.id == approval_id).for_update().first()
    )
    if row is None:
        raise Unknown(
            f"there is no approval {approval_id}",
            field="/approvalId",
            hint="List them with: sprout approvals list",
        )
    return Approval(
        id=row.id,
        machine=row.machine_id,
        action=row.action,
        approved=row.decision == "approved",
        by=row.decided_by,
        role=None if row.role is None else Role(row.role),
        expires_at=row.expires_at,
        used=row.used_at is not None,
        parameters=row.parameters_sha256,
        receipts=row.receipts is not None,
        person=row.person,
    )


def role_of(caller: Caller, slug: str) -> Role | None:
    """Return the highest role of *caller* at the site with the slug *slug*."""
    return roles.held(caller.grants, slug)
