"""How a sync job is carried on: its task granted to an agent, heard of, and granted anew.

Rule 1: its task is one as a machine's are: one at a time, by lease, each of a higher epoch.
Rule 2: what an agent has done stays done: whoever has the next task begins with what is there.
Rule 3: a failure counts only where nothing came meanwhile; a job that moves is not given up.
Rule 4: locks are taken in this order: machines, sync jobs, tasks.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from models.commands import agents, contact, sync_files, tasks
from models.commands.moves import now
from models.database import database
from models.errors import Invalid, NotReady
from models.job_views import WAITS_FOR, JobState, Mode
from models.observations import URGENT, Observation, Seen
from models.steps import CAPABILITY
from models.steps import Task as TaskKind
from models.tables import SyncJob, Task

OPEN: Final = (JobState.WAITING.value, JobState.RUNNING.value)

TASK_S: Final = 6 * 3600
"""Seconds that one task may take; the job goes on with another."""

TRIES: Final = 5
"""Failures in which nothing came, one after another, after which a job is given up."""

BACKOFF_S: Final = 10
"""Seconds before the second try, doubled for each further one."""

FINDINGS: Final = 100
"""How many of an agent's findings are kept with the job."""

HEARD: Final = URGENT | {Seen.TASK_PROGRESS}

_NEEDED: Final = CAPABILITY[TaskKind.SYNC]
_COUNTS: Final = {
    "files_done": 1 << 31,
    "files_total": 1 << 31,
    "bytes_done": 1 << 62,
    "bytes_total": 1 << 62,
}
"""What an agent counts, and what it must stay below."""


def lapsed() -> list[UUID]:
    """Return tasks of jobs whose lease is over, the oldest first."""
    return tasks.lapsed(of=Task.sync_job_id)


def due(limit: int = 100) -> list[UUID]:
    """Return open jobs that are to be looked at now, the oldest first."""
    late = SyncJob.state.in_(OPEN) & (SyncJob.wake_at < now())
    query = SyncJob.select(SyncJob.id).where(late).order_by(SyncJob.wake_at).limit(limit)
    return [row.id for row in query]


def begun(job_id: UUID) -> None:
    """Hand a job that was just recorded to an agent, in the caller's transaction, if one lives."""
    job = _locked(job_id)
    if job is not None:
        _grant(job)
        job.save()


def look(job_id: UUID) -> None:
    """Do what time demands of a job; safe to repeat."""
    with database.atomic():
        job = _locked(job_id)
        if job is None or job.state not in OPEN or job.wake_at > now():
            return
        if job.deadline_at <= now():
            _end(job, JobState.FAILED, f"its time is over: {job.detail}")
        elif job.task_id is None:
            _grant(job)
        else:
            _again(job, "the agent did not end it in time", counts=True)
        job.save()


def lose(task_id: UUID) -> None:
    """Take a job's task from an agent whose lease is over, and let another have it."""
    task: Task = Task.get_by_id(task_id)
    with database.atomic():
        job = _locked(task.sync_job_id)
        if job is None or not tasks.taken(Task.get_by_id(task_id), _NEEDED):
            return
        if job.task_id == task_id and job.state in OPEN:
            holder = contact.of(task.agent_id)
            job.task_id, job.detail, job.wake_at = None, f"{holder.hostname} lost its lease", now()
            job.save()


def cancelled(job: SyncJob, detail: str) -> None:
    """End *job*, whose lock is held; late reports move nothing."""
    _end(job, JobState.CANCELLED, detail)
    job.save()


def hold(reports: Iterable[Observation]) -> tuple[UUID, ...]:
    """Lock the jobs that *reports* are of, before any of it is changed; return their ids."""
    named = [task for each in reports if (task := _task_of(each)) is not None]
    if not named:
        return ()
    rows = Task.select(Task.sync_job_id).where(Task.id.in_(named) & ~Task.sync_job_id.is_null())
    jobs = {row.sync_job_id for row in rows}
    list(
        SyncJob.select(SyncJob.id)
        .where(SyncJob.id.in_(list(jobs)))
        .order_by(SyncJob.id)
        .for_update()
    )
    return tuple(job for job in jobs if job is not None)


def reported(agent: UUID, seen: Observation, jobs: Collection[UUID]) -> None:
    """Take in what *agent* says of a task of one of *jobs*, whose locks are held."""
    task_id = _task_of(seen)
    if task_id is None or not jobs:
        return
    task: Task | None = Task.get_or_none(
        (Task.id == task_id) & (Task.agent_id == agent) & Task.sync_job_id.in_(list(jobs))
    )
    if task is None or task.finished_at is not None:
        return
    held, job = task.state in tasks.HELD, SyncJob.get_by_id(task.sync_job_id)
    _noted(task, seen, held=held)
    if isinstance(fence := seen.data.get("fence"), int) and 0 <= fence < 2**31:
        job.fence = max(job.fence, fence)  # this database was restored
    if held and job.task_id == task.id and job.state in OPEN:
        _moved(job, agent, seen)
    job.save()


def _task_of(seen: Observation) -> UUID | None:
    """Return the task that *seen* tells of, None for what moves no job."""
    if seen.kind not in HEARD:
        return None
    try:
        return UUID(str(seen.data.get("task")))
    except ValueError:
        return None


def _noted(task: Task, seen: Observation, *, held: bool) -> None:
    if seen.kind is Seen.TASK_PROGRESS:
        return
    if seen.kind is Seen.TASK_STARTED:
        task.state = "started" if task.state == "granted" else task.state
    else:
        done = seen.kind is Seen.TASK_DONE
        task.state = ("done" if done else "failed") if held else task.state
        task.result, task.finished_at = dict(_part(seen.data, "result")), now()
    task.save()


def _moved(job: SyncJob, agent: UUID, seen: Observation) -> None:
    data = seen.data
    match seen.kind:
        case Seen.TASK_STARTED:
            job.detail = f"{contact.of(agent).hostname} is at it"
        case Seen.TASK_PROGRESS:
            _count(job, _part(data, "counts"))
            job.detail = str(data.get("doing", ""))[:1000]
        case Seen.TASK_DONE:
            _done(job, _part(data, "result"))
        case _:
            _count(job, _part(data, "counts"))
            _failed(job, data)


def _count(job: SyncJob, counts: Mapping[str, Any]) -> None:
    """Take in how far a task is; what came means that no earlier failure counts."""
    before = job.bytes_done
    for name, limit in _COUNTS.items():
        value = counts.get(name)
        if type(value) is int and 0 <= value < limit:
            setattr(job, name, value)
    if job.bytes_done > before:
        job.attempt = 0


def _done(job: SyncJob, result: Mapping[str, Any]) -> None:
    _count(job, _part(result, "counts"))
    found = result.get("findings")
    job.findings = [_finding(each) for each in found[:FINDINGS]] if isinstance(found, list) else []
    how = JobState.FAILED if result.get("failed") else JobState.SUCCEEDED
    _end(job, how, str(result.get("told", ""))[:1000])


def _finding(each: object) -> dict[str, str]:
    told = each if isinstance(each, Mapping) else {}
    return {name: str(told.get(name, ""))[:500] for name in ("path", "what", "detail")}


def _failed(job: SyncJob, data: Mapping[str, Any]) -> None:
    why = str(data.get("reason", ""))[:1000]
    if any(data.get(word) for word in ("unknown", "lost", "cancelled")):
        _again(job, why, counts=False)
    elif data.get("retryable"):
        _again(job, why, counts=True)
    else:
        _end(job, JobState.FAILED, why)


def _again(job: SyncJob, why: str, *, counts: bool) -> None:
    _abandoned(job)
    job.attempt += counts
    if job.attempt >= TRIES:
        _end(job, JobState.FAILED, why)
        return
    pause = BACKOFF_S * 2 ** (job.attempt - 1) if counts and job.attempt else tasks.LOOK_S
    _later(job, now() + timedelta(seconds=pause), why)


def _later(job: SyncJob, when: datetime, why: str) -> None:
    job.detail, job.wake_at = why, min(when, job.deadline_at)


def _grant(job: SyncJob) -> None:
    """Hand the job's task to an agent; look again later while none may have it."""
    busy = tasks.busy_until(Task.sync_job_id == job.id)
    if busy is not None:
        _later(job, busy, "an earlier task of this job has not ended")
        return
    avoid = tasks.last_loser(Task.sync_job_id == job.id)
    try:
        agent = agents.newest_live(job.site_id, _NEEDED, sticky=job.agent_id, avoid=avoid)
        told = sync_files.params(job)
    except NotReady:
        waits = f"waiting for {WAITS_FOR[Mode(job.mode)]}"
        _later(job, now() + timedelta(seconds=tasks.LOOK_S), waits)
        return
    except Invalid as exc:
        _end(job, JobState.FAILED, str(exc))
        return
    _handed(job, agent.id, told)
    job.detail = f"handed to {agent.hostname}"


def _handed(job: SyncJob, agent: UUID, told: Mapping[str, Any]) -> None:
    job.fence += 1
    deadline = min(now() + timedelta(seconds=TASK_S), job.deadline_at)
    brief = {name: value for name, value in told.items() if name == "mode"}
    task = Task.create(
        sync_job_id=job.id,
        site_id=job.site_id,
        agent_id=agent,
        kind=TaskKind.SYNC.value,
        params=brief,
        epoch=job.fence,
        attempt=job.attempt + 1,
        state="granted",
        lease_expires_at=now() + timedelta(seconds=tasks.RENEWED_S),
        deadline_at=deadline,
    )
    seconds = max(1.0, (deadline - now()).total_seconds())
    body = {"machine": str(job.id), "params": dict(told), "deadline_s": seconds}
    tasks.send(task, body, request_id=job.request_id, left_s=seconds)
    job.state, job.task_id, job.agent_id, job.wake_at = "running", task.id, agent, deadline


def _end(job: SyncJob, how: JobState, detail: str) -> None:
    _abandoned(job)
    job.state, job.detail, job.finished_at = how.value, detail, now()


def _abandoned(job: SyncJob) -> None:
    if job.task_id is not None:
        tasks.called_off(Task.id == job.task_id, request_id=job.request_id)
    job.task_id = None


def _locked(job_id: UUID | None) -> SyncJob | None:
    return SyncJob.first_where("id = %s FOR NO KEY UPDATE", str(job_id))


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}
