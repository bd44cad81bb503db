"""`sprout day2-actions|approvals|action-executions|policy-decisions`: asked, approved, judged."""

import json
from typing import Annotated, Any, Final

import typer

from edge.cli import options, show
from edge.cli.client import Told, api
from edge.cli.commands import Commands
from edge.cli.completing import words
from edge.cli.options import ActionName, AtMachine, Named, OfMachine, OfSite, given

ACTIONS: Final = Commands("What can be asked of machines.")
APPROVALS: Final = Commands("Words for one action on one machine.")
EXECUTIONS: Final = Commands("What was done on machines.")
DECISIONS: Final = Commands("How requests were judged.")


@ACTIONS.command("list")
def actions(site_id: OfSite = "") -> None:
    """List what can be asked of machines, as policy has it now."""
    columns = {
        "action": "name",
        "role": "leastRole",
        "approval": "requiresApproval",
        "states": "states",
        "what": "description",
    }
    show.rows(api().get("/v1/day2-actions", siteId=site_id)["items"], columns)


@APPROVALS.command("create")
def approve(
    machine_id: AtMachine,
    action: ActionName,
    decision: Annotated[
        str, typer.Option(help="approved or denied.", autocompletion=words("approved", "denied"))
    ] = "approved",
    reason: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    parameters: Annotated[
        str, typer.Option(help="JSON: it is good for these parameters alone.")
    ] = "",
    expires_in_s: Annotated[int | None, typer.Option(help="Seconds that it is good for.")] = None,
) -> None:
    """Approve one action on one machine, once; prints the approval's id."""
    body = {
        "machineId": machine_id,
        "action": action,
        "decision": decision,
        "reason": reason,
        "parameters": _json(parameters),
        "expiresInS": expires_in_s,
    }
    made = api().post("/v1/approvals", given(body))
    show.made(made, f"{decision}: {action}, good until {show.cell(made['expiresAt'])}")


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError as exc:
        raise Told(f"--parameters: this is no JSON: {exc}") from exc


@APPROVALS.command("list")
def approvals(
    machine_id: OfMachine = "",
    site_id: OfSite = "",
    is_open: Annotated[
        bool, typer.Option("--open", help="Only those that still let something happen.")
    ] = False,
) -> None:
    """List approvals, the newest first."""
    columns = {
        "action": "action",
        "state": "state",
        "by": "decidedBy",
        "expires": "expiresAt",
        "machine": "machine",
        "id": "id",
    }
    query = {"machineId": machine_id, "siteId": site_id, "open": "true" if is_open else ""}
    client = api()
    found = client.items("/v1/approvals", **query)
    show.rows(found if show.for_programs() else options.with_names(client, found), columns)


@APPROVALS.command("show")
def approval(approval: Named) -> None:
    """Show one approval."""
    show.record(api().get(f"/v1/approvals/{approval}"))


@EXECUTIONS.command("list")
def executions(machine_id: OfMachine = "", site_id: OfSite = "") -> None:
    """List what was done on machines, the newest first."""
    columns = {
        "at": "startedAt",
        "action": "action",
        "state": "state",
        "by": "requestedBy",
        "detail": "detail",
        "id": "id",
    }
    found = api().items("/v1/action-executions", machineId=machine_id, siteId=site_id)
    show.rows(found, columns)


@EXECUTIONS.command("show")
def execution(execution: Named) -> None:
    """Show one action execution."""
    show.record(api().get(f"/v1/action-executions/{execution}"))


@EXECUTIONS.command("evidence")
def evidence(execution: Named) -> None:
    """List what an action execution brought up."""
    columns = {each: each for each in ("at", "name", "size", "sha256")}
    show.rows(api().items(f"/v1/action-executions/{execution}/evidence"), columns)


@DECISIONS.command("list")
def decisions(
    machine_id: OfMachine = "",
    site_id: OfSite = "",
    allowed: Annotated[
        bool | None, typer.Option("--allowed/--refused", help="Only those, or only the others.")
    ] = None,
) -> None:
    """List how requests were judged, the newest first."""
    columns = {
        "at": "at",
        "actor": "actor",
        "action": "action",
        "allowed": "allowed",
        "rule": "rule",
        "reason": "reason",
        "id": "id",
    }
    query = {"machineId": machine_id, "siteId": site_id}
    judged = "" if allowed is None else str(allowed).lower()
    found = api().items("/v1/policy-decisions", **query, allowed=judged)
    show.rows(found, columns)


@DECISIONS.command("show")
def decision(decision: Named) -> None:
    """Show one policy decision, and what would change it."""
    show.record(api().get(f"/v1/policy-decisions/{decision}"))
