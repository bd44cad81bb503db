"""`sprout policy test`: what a request would meet under a policy file.  Asks no edge."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID, uuid4

import typer

from edge.cli import show
from edge.cli.client import REFUSED, Told
from edge.cli.commands import Commands

if TYPE_CHECKING:
    from models.policy import Approval, Asked

POLICY: Final = Commands("What policy would say.")

_FORM: Final = (
    'Its form: {"action": "reboot", "actor": "ada", "role": "operator", "site": "ams-1", "at": '
    '"2026-12-24T12:00:00Z", "machine": {"state": "active", "commissioned": true}, "parameters": '
    '{}, "running": 0, "approval": {"by": "bob", "role": "admin"}}; only action is needed.'
)


@POLICY.command("test", epilog=_FORM)
def tried(
    request: Annotated[Path, typer.Argument(help="A JSON file with the request.")],
    file: Annotated[Path | None, typer.Option(help="Policy file; else what is built in.")] = None,
) -> None:
    """Judge a request by a policy file: status 0 when it is allowed, 3 when it is refused."""
    from config.policy import BadFile, read
    from models import policy_file
    from models.commands.policy_source import parsed
    from models.policy import judge

    try:
        rules = policy_file.default() if file is None else parsed(read(file), file)
    except BadFile as exc:
        raise Told(str(exc)) from exc
    found = judge(_asked(request), rules)
    told = {
        "allowed": found.allowed,
        "rule": found.rule,
        "reason": found.reason,
        "wouldChange": found.would_change,
        "policy": rules.digest,
    }
    show.record(told)
    if not found.allowed:
        raise typer.Exit(REFUSED)


def _asked(path: Path) -> "Asked":
    from models.actions import ACTIONS, digest
    from models.lifecycle import State
    from models.policy import Asked
    from models.roles import Role

    try:
        given: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        machine: Mapping[str, Any] = given.get("machine") or {}
        subject = UUID(machine["id"]) if "id" in machine else uuid4()
        asked = Asked(
            action=given["action"],
            actor=str(given.get("actor", "ada")),
            role=Role(given.get("role", "admin")),
            site=str(given.get("site", "")),
            at=_moment(given.get("at")),
            machine=subject,
            hostname=str(machine.get("hostname", "MACHINE")),
            state=State(machine["state"]) if "state" in machine else None,
            commissioned=bool(machine.get("commissioned", True)),
            parameters=digest(given.get("parameters") or {}),
            running=int(given.get("running", 0)),
            approval=_approval(given, subject),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Told(f"{path}: this is no request ({exc})", _FORM) from exc
    if asked.action not in ACTIONS:
        raise Told(f"{path}: there is no action {asked.action}", f"One of: {', '.join(ACTIONS)}.")
    return asked


def _approval(given: Mapping[str, Any], machine: UUID) -> "Approval | None":
    from models.actions import digest
    from models.policy import Approval, Binding
    from models.roles import Role

    said: Mapping[str, Any] | None = given.get("approval")
    if said is None:
        return None
    bound = Binding(said.get("boundTo", "machine"))
    named = said.get("parameters", given.get("parameters") or {})
    return Approval(
        id=UUID(said["id"]) if "id" in said else uuid4(),
        machine=machine,
        action=str(said.get("action", given["action"])),
        approved=said.get("decision", "approved") == "approved",
        by=str(said["by"]),
        role=Role(said.get("role", "admin")),
        expires_at=_moment(said.get("expiresAt"), datetime.max.replace(tzinfo=UTC)),
        used=bool(said.get("used", False)),
        parameters=None if bound is Binding.MACHINE else digest(named),
        receipts=bound is Binding.RECEIPTS,
    )


def _moment(text: str | None, otherwise: datetime | None = None) -> datetime:
    if text is None:
        return otherwise or datetime.now(UTC)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
