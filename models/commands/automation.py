"""A command that came by message: through the same door as one over REST, and answered once."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import audit, automation, queries
from models.audit import Caller
from models.automation import Command
from models.commands import asks, policy
from models.commands.inventories import How
from models.database import database, in_turn
from models.errors import Denied, DomainError, Forbidden, Invalid
from models.kinds import Kind
from models.roles import Grant
from models.tables import AutomationCommand, Site
from models.workflows import AT_ONCE

Answer = dict[str, Any]
Grants = Mapping[str, Sequence[Grant]]


def obey(
    user: str | None, message_id: str | None, body: Mapping[str, Any], grants: Grants
) -> Answer:
    """Do what *body* asks, for *user*, whom the broker has proved; return the answer.

    The same message again is answered as before, and does nothing.  What is refused changes
    nothing but the audit.
    """
    caller = Caller(
        name=f"amqp:{user or 'anonymous'}",
        request_id=automation.shown(message_id or ""),
        grants=tuple(grants.get(user or "", ())),
    )
    try:
        if not user:
            raise Denied("the message bears no user_id that the broker has validated")
        if not message_id:
            raise Invalid("the message has no message_id", hint="It tells a repetition.")
        if message_id != caller.request_id:
            raise Invalid("the message_id is no id", hint="Up to 256 characters, all printable.")
        with database.atomic():
            return _once(caller, user, message_id, body, grants)
    except DomainError as exc:
        return _refused(caller, body, exc)


def _once(
    caller: Caller, user: str, message_id: str, body: Mapping[str, Any], grants: Grants
) -> Answer:
    command = automation.parse(body)
    digest = hashlib.sha256(repr(sorted(body.items(), key=str)).encode()).hexdigest()
    in_turn(f"{user}/{message_id}")
    known: AutomationCommand | None = AutomationCommand.get_or_none(
        (AutomationCommand.user_name == user) & (AutomationCommand.message_id == message_id)
    )
    if known is not None:
        if known.digest != digest:
            raise Invalid("another command came with this message_id", field="/message_id")
        return dict(known.answer)
    answer = _done(caller, command, grants.get(user, ()))
    AutomationCommand.create(user_name=user, message_id=message_id, digest=digest, answer=answer)
    return answer


def _done(caller: Caller, command: Command, grants: Sequence[Grant]) -> Answer:
    target, site = _found(command)
    slug = Site.get_by_id(site).slug
    if not any(grant.allows(command.verb, slug) for grant in grants):
        raise Denied(
            f"{caller.name} may not {command.verb} at {slug}",
            hint="Roles of users are set by SPROUT_AUTOMATION_USERS.",
        )
    flow = _VERBS[command.verb](caller, target, command)
    return {"v": 1, "ok": True, "workflow": str(flow), "href": f"/v1/workflows/{flow}"}


def _found(command: Command) -> tuple[UUID, UUID]:
    """Return what the command is about, and its site.  Raises NotFound."""
    if automation.FORMS[command.verb].target == "machine":
        machine = queries.machine(command.target)
        return machine.id, machine.site_id
    flow = queries.workflow(_uuid(command.target, "/workflow"))
    return flow.id, flow.site_id


def _why(command: Command) -> dict[str, Any]:
    return {"reason": command.reason, "approval_id": _id(command, "approvalId")}


def _system(command: Command) -> dict[str, Any]:
    return {
        "image_ref": command.params.get("imageRef"),
        "profile_ref": command.params.get("profileRef"),
        "network_id": _id(command, "networkId"),
        **_why(command),
    }


def _boot_source(caller: Caller, machine: UUID, command: Command) -> UUID:
    return asks.boot_source(
        caller,
        machine,
        command.params["bootSource"],
        persistent=command.params.get("persistent", False),
        http_boot_uri=command.params.get("httpBootUri", ""),
        **_why(command),
    )


def _image(caller: Caller, machine: UUID, command: Command) -> UUID:
    if "eject" in command.params:
        return asks.eject(caller, machine, **_why(command))
    source = command.params.get("bootSource", asks.MEDIA_SOURCE)
    return asks.media(caller, machine, command.params["mediaUrl"], source=source, **_why(command))


def _remote_task(caller: Caller, machine: UUID, command: Command) -> UUID:
    limit = command.params.get("timeLimitS")
    return asks.remote_task(
        caller,
        machine,
        command.params["command"],
        limit_s=None if limit is None else int(limit),
        **_why(command),
    )


def _release(caller: Caller, machine: UUID, command: Command) -> UUID:
    wipe, disks = command.params.get("wipe"), command.params.get("disks")
    return asks.release(caller, machine, wipe=wipe, disks=disks, **_why(command))


def _cancel(caller: Caller, flow: UUID, command: Command) -> UUID:
    asks.cancel(caller, flow, reason=command.reason)
    return flow


Verb = Callable[[Caller, UUID, Command], UUID]


def _how(command: Command) -> How | None:
    """Return by what a machine is to be commissioned.  Raises Invalid."""
    word = command.params.get("inventory")
    if word is not None and word not in set(How):
        raise Invalid(
            f"{word!r} is no way to take inventory",
            field="/inventory",
            hint=f"Choose one of {', '.join(How)}.",
        )
    return None if word is None else How(word)


def _power(kind: Kind) -> Verb:
    return lambda caller, machine, command: asks.power(caller, machine, kind, **_why(command))


def _moved(kind: Kind) -> Verb:
    return lambda caller, machine, command: asks.moved(caller, machine, kind, **_why(command))


_VERBS: Final[Mapping[str, Verb]] = MappingProxyType(
    {
        "machine.commission": lambda caller, machine, command: asks.commission(
            caller, machine, inventory=_how(command), **_why(command)
        ),
        "machine.provision": lambda caller, machine, command: asks.provision(
            caller, machine, **_system(command)
        ),
        "machine.reprovision": lambda caller, machine, command: asks.reprovision(
            caller, machine, **_system(command)
        ),
        "machine.image": _image,
        "machine.boot-source": _boot_source,
        "machine.remote-task": _remote_task,
        "machine.release": _release,
        "workflow.cancel": _cancel,
    }
    | {f"machine.{kind}": _power(kind) for kind in (Kind.POWER_ON, Kind.POWER_OFF, Kind.REBOOT)}
    | {f"machine.{kind}": _moved(kind) for kind in AT_ONCE}
)


def _id(command: Command, name: str) -> UUID | None:
    given = command.params.get(name)
    return None if given is None else _uuid(given, f"/params/{name}")


def _uuid(text: str, where: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("want an id", field=where) from None


def _refused(caller: Caller, body: Mapping[str, Any], why: DomainError) -> Answer:
    verb = body.get("command")
    target = body.get("machine", body.get("workflow", ""))
    action = verb if isinstance(verb, str) and verb in automation.FORMS else "automation.command"
    told = {"policyDecisionId": str(policy.keep(why))} if isinstance(why, Forbidden) else {}
    with database.atomic():
        audit.record(
            caller,
            action,
            kind="automation",
            id=automation.shown(target)[:64] if isinstance(target, str) else "",
            reason=str(why)[:500],
            refused=True,
        )
    problem = {"code": why.code, "detail": str(why), "field": why.field, "hint": why.hint}
    return {"v": 1, "ok": False, "problem": {n: v for n, v in problem.items() if v} | told}
