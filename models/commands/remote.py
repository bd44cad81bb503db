"""Commands on a machine's system: what may be asked, where it is run, and whether twice."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from models import remote_commands, ssh_access
from models.commands import addresses, policy
from models.commands.moves import now
from models.errors import NotReady
from models.kinds import Kind
from models.policy import Policy
from models.remote_commands import Allowed
from models.steps import Task as TaskKind
from models.tables import Agent, Allocation, Machine, Site, Task, Workflow

TRUSTED_DAYS: Final = 30
"""An agent that was not heard for longer is let in by no machine that is installed from then on."""

_INSTALL: Final = "Provision it: its first boot tells its address and its host keys."


def allowed(site_id: UUID, rules: Policy | None = None) -> Allowed:
    """Return what machines of a site may be asked to run, as policy has it now."""
    slug = Site.get_by_id(site_id).slug
    return (rules or policy.in_force()).commands_at(slug)


def judged(machine: Machine, command: str, limit_s: int | None) -> dict[str, Any]:
    """Return what the task of *command* is sent, if the site's list holds it and it can be sent.

    Raises Invalid, NotListed, or NotReady for a machine whose system nobody knows.
    """
    argv = remote_commands.argv(command)
    listed = allowed(machine.site_id)
    reads = listed.judge(argv)
    seconds = listed.seconds(limit_s)
    _demand_host(machine)
    return {
        "command": command,
        "argv": list(argv),
        "limit_s": seconds,
        "only_reads": reads,
        "allowed": {
            "reads": [entry.text for entry in listed.reads],
            "changes": [entry.text for entry in listed.changes],
        },
    }


def host(flow: Workflow) -> dict[str, Any]:
    """Return where the machine's system is, for a workflow that runs a command there."""
    if flow.kind != Kind.REMOTE_TASK.value:
        return {}
    return {"host": host_of(Machine.get_by_id(flow.machine_id))}


def _demand_host(machine: Machine) -> None:
    found = host_of(machine)
    lacks = [name for name in ("address", "keys") if not found[name]]
    if lacks:
        what = {"address": "address", "keys": "known host key"}[lacks[0]]
        raise NotReady(f"{machine.hostname} has no {what} yet", hint=_INSTALL)


def host_of(machine: Machine) -> dict[str, Any]:
    """Return where the system of *machine* is, and by which keys it is known; empty if unknown."""
    row: Allocation | None = (
        Allocation.select(Allocation.address)
        .where((Allocation.machine_id == machine.id) & (Allocation.state == "active"))
        .order_by(Allocation.created_at.desc())
        .first()
    )
    keys = [key for key in machine.ssh_host_keys or () if ssh_access.public_key(key)]
    given = "" if row is None else row.address
    return {"address": addresses.home(machine.run_id) or given, "keys": keys}


def once(task: Task) -> bool:
    """Whether *task* must not be done again where nobody knows whether it was."""
    return task.kind == TaskKind.REMOTE_TASK.value and not task.params.get("only_reads")


def lets_in(machine: Machine) -> tuple[str, ...]:
    """Return the lines of authorized_keys by which *machine* lets the agents of its site in."""
    heard = Agent.last_seen_at > now() - timedelta(days=TRUSTED_DAYS)
    agents = Agent.select(Agent.advertise).where((Agent.site_id == machine.site_id) & heard)
    advertised = (row.advertise.get(ssh_access.ADVERTISED) for row in agents.order_by(Agent.id))
    return ssh_access.lines(advertised, machine.id)
