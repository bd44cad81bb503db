"""Errands as rows: asked for, taken under a lease, held, given up.  Their ends: `outcomes`.

Rule 1: a lease counts by the database's clock alone, since control processes have many.
Rule 2: each taking has a higher fence than those before it; what an older one brings is dropped.
Rule 3: an errand is done again under the same key, however often its doer dies.
Rule 4: of a lane one runs at a time; one that was given up counts until nothing comes of it more.
"""

import time
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from peewee import IntegrityError

from models import messages, outbox
from models.commands.moves import now
from models.database import database
from models.engine import Outcome
from models.errands import LEASE_S, QUIET_S, Held
from models.errands import Errand as Name
from models.errors import DomainError
from models.messages import Actor
from models.steps import Step
from models.tables import Errand, Machine, Workflow

Asked = Callable[[Machine, Workflow, str], dict[str, Any] | None]

_TAKE: Final = """
UPDATE errands SET state = 'running', fence = fence + 1,
    wake_at = now() + %s * interval '1 second'
WHERE id = (SELECT id FROM errands e WHERE finished_at IS NULL AND wake_at <= now()
        AND deadline_at > now() AND name = ANY(%s)
        AND (lane = '' OR NOT EXISTS (SELECT FROM errands o
            WHERE o.lane <> '' AND o.lane = e.lane AND o.id <> e.id
                AND (o.state = 'running' OR (o.state = 'abandoned' AND o.fence > 0
                    AND o.finished_at > now() - %s * interval '1 second'))))
    ORDER BY wake_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, name, subject, key, params, fence, request_id,
    extract(epoch FROM deadline_at - now())::float8"""

_RENEW: Final = """
UPDATE errands SET wake_at = now() + %s * interval '1 second'
WHERE id = %s AND fence = %s AND state = 'running' RETURNING id"""

_GIVE_BACK: Final = """
UPDATE errands SET wake_at = now() WHERE id = %s AND fence = %s AND state = 'running'"""


def ask(
    name: Name,
    subject: UUID,
    key: str,
    *,
    params: Mapping[str, Any],
    deadline_s: float,
    tries: int = 1,
    backoff_s: int = 2,
    wait_s: float = 0.0,
    lane: str = "",
    site_id: UUID | None = None,
    request_id: str = "",
) -> UUID:
    """Ask, in the caller's transaction, for an errand that is no workflow's; return its id.

    It ends once: done, failed, or out of time after *deadline_s* seconds; until then it is tried
    *tries* times, with a pause of *backoff_s* seconds that doubles, first after *wait_s* seconds.
    Its end is told to `outcomes.ENDS`.  Those of one *lane* are done one at a time.  Raises
    peewee's IntegrityError while an errand with this key is open.
    """
    return _asked(
        name=name.value,
        subject=subject,
        site_id=site_id,
        key=key,
        lane=lane,
        params=dict(params),
        tries=tries,
        backoff_s=backoff_s,
        request_id=request_id,
        wake_at=now() + timedelta(seconds=wait_s),
        deadline_at=now() + timedelta(seconds=deadline_s),
    )


def grant(machine: Machine, flow: Workflow, step: Step, asked: Asked) -> None:
    """Ask for the errand of a workflow's *step*, for what *asked* says under its key.

    None of it passes the step at once, and what cannot even be asked is refused.  `lane` of what is
    asked is the errand's lane.
    """
    flow.task_id, flow.outcome = None, Outcome.OPEN.value
    assert step.errand is not None  # noqa: S101 - for the type checker
    key = f"{flow.id}/{step.name}/{machine.epoch}"
    try:
        with database.atomic():
            params = asked(machine, flow, key)
    except DomainError as exc:
        flow.outcome, flow.detail = Outcome.REFUSED.value, exc.hinted
        return
    if params is None:
        flow.outcome = Outcome.DONE.value
        return
    flow.task_id = _asked(
        name=step.errand.value,
        subject=flow.id,
        workflow_id=flow.id,
        site_id=machine.site_id,
        key=key,
        lane=str(params.get("lane", "")),
        params=dict(step.params) | params,
        request_id=flow.request_id,
        deadline_at=flow.deadline_at,
    )


def _asked(**columns: Any) -> UUID:
    fresh = {"state": "waiting", "fence": 0, "attempt": 1, "detail": "", "wake_at": now()}
    row = Errand.create(**({"tries": 1, "backoff_s": 2} | fresh | columns))
    kwargs = {"errand": str(row.id), "request_id": row.request_id}
    body = messages.encoded(Actor.ERRAND, messages.CONTROL_QUEUE, kwargs, now=time.time())
    outbox.promise(messages.CONTROL_QUEUE, body)
    return UUID(str(row.id))


def take(names: Collection[Name]) -> Held | None:
    """Take the errand that waits longest of those that are *names*; None if none is to be done."""
    known = [name.value for name in names]
    try:
        with database.atomic():
            row = database.execute_sql(_TAKE, (LEASE_S, known, QUIET_S)).fetchone()
    except IntegrityError:  # another process took one of the same lane at this moment
        return None
    if row is None:
        return None
    errand, name, subject, key, params, fence, request_id, left_s = row
    return Held(
        id=UUID(str(errand)),
        name=Name(name),
        subject=UUID(str(subject)),
        key=key,
        params=params,
        fence=fence,
        request_id=request_id,
        left_s=left_s,
    )


def renew(held: Held) -> bool:
    """Hold an errand for LEASE_S seconds more; whether it is still the caller's."""
    return database.execute_sql(_RENEW, (LEASE_S, held.id, held.fence)).fetchone() is not None


def give_back(held: Held) -> None:
    """Let another process take an errand now; what was done of it is done again."""
    database.execute_sql(_GIVE_BACK, (held.id, held.fence))


def abandon(flow: Workflow) -> None:
    """Stop waiting for the workflow's open errand: whatever it brings is dropped."""
    Errand.update(state="abandoned", finished_at=now()).where(
        (Errand.workflow_id == flow.id) & Errand.finished_at.is_null()
    ).execute()


def under_way_s(subject: UUID, key: str) -> float:
    """Return the seconds for which an errand that was given up may still have an effect."""
    given_up = (
        (Errand.subject == subject)
        & (Errand.key == key)
        & (Errand.state == "abandoned")
        & (Errand.fence > 0)
        & (Errand.finished_at > now() - timedelta(seconds=QUIET_S))
    )
    return float(QUIET_S) if Errand.select().where(given_up).exists() else 0.0


def drop(subject: UUID, name: Name) -> None:
    """Abandon the open errands of *subject* that no workflow waits for."""
    Errand.update(state="abandoned", finished_at=now()).where(_open(subject, name)).execute()


def withdraw(subject: UUID, name: Name) -> bool:
    """Do the same unless one of them is being done; whether it was done.

    They are locked until the caller's transaction ends: who takes errands passes over them.
    """
    rows = Errand.select(Errand.state).where(_open(subject, name)).for_update()
    if any(row.state == "running" for row in list(rows)):
        return False
    drop(subject, name)
    return True


def _open(subject: UUID, name: Name) -> Any:
    return (
        (Errand.subject == subject)
        & (Errand.name == name.value)
        & Errand.workflow_id.is_null()
        & Errand.finished_at.is_null()
    )
