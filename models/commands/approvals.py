"""A person's word for one action on one machine: given, looked for, used up once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from models import audit
from models.actions import ACTIONS, ALLOCATE, digest, plain
from models.audit import Caller
from models.commands import policy
from models.commands.moves import announce, locked, now
from models.database import database
from models.errors import Invalid
from models.policy import Consent
from models.tables import Approval, Machine, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApproval:
    """What is said; *parameters* as REST has them, *receipts* by the name of each document."""

    machine_id: UUID
    action: str
    decision: str
    reason: str = ""
    parameters: Mapping[str, Any] | None = None
    receipts: Mapping[str, str] | None = None
    expires_s: int | None = None


def create_approval(caller: Caller, new: NewApproval) -> UUID:
    """Record an approval, or that it is denied.  Raises NotFound, Invalid or Forbidden."""
    if new.action not in ACTIONS or new.action == ALLOCATE:
        raise Invalid(
            f"there is no action {new.action}",
            field="/action",
            hint="List them with: sprout day2-actions list",
        )
    with database.atomic():
        machine = locked(new.machine_id)
        row = _written(caller, machine, new)
        audit.record(
            caller,
            "approval.create",
            kind="approval",
            id=row.id,
            site=machine.site_id,
            machine=machine.id,
            reason=new.reason,
            data={"action": new.action, "decision": new.decision},
        )
        announce(machine.id)
    return UUID(str(row.id))


def _written(caller: Caller, machine: Machine, new: NewApproval) -> Approval:
    slug = Site.get_by_id(machine.site_id).slug
    wanted = policy.to_approve(caller, machine, new.action)
    role = policy.role_of(caller, slug)
    given = None if new.parameters is None else plain(new.parameters)
    return Approval.create(
        id=uuid4(),
        machine_id=machine.id,
        site_id=machine.site_id,
        action=new.action,
        decision=new.decision,
        reason=new.reason,
        decided_by=caller.name,
        person=caller.person,
        role=None if role is None else role.value,
        parameters=given,
        parameters_sha256=None if given is None else digest(given),
        receipts=None if new.receipts is None else dict(new.receipts),
        expires_at=_expiry(new.expires_s, wanted),
    )


def _expiry(asked_s: int | None, wanted: Consent | None) -> datetime:
    """Return until when it is good: no longer than policy lets it be."""
    most = (wanted or Consent()).expires_s
    return now() + timedelta(seconds=most if asked_s is None else min(asked_s, most))
