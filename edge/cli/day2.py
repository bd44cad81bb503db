"""`sprout day2-actions|approvals|action-executions|policy-decisions`: asked, approved, judged."""

import json
from typing import Annotated, Any, Final

import click
import typer

from edge.cli import show
from edge.cli.client import Told, api
from edge.cli.options import Named, OfMachine, OfSite, given
from edge.cli.show import AsJson

ACTIONS: Final = typer.Typer(help="What can be asked of machines.", no_args_is_help=True)
APPROVALS: Final = typer.Typer(help="Words for one action on one machine.", no_args_is_help=True)
EXECUTIONS: Final = typer.Typer(help="What was done on machines.", no_args_is_help=True)
DECISIONS: Final = typer.Typer(help="How requests were judged.", no_args_is_help=True)


@ACTIONS.command("list")
def actions(site_id: OfSite = "", as_json: AsJson = False) -> None:
    """List what can be asked of machines, as policy has it now."""
    columns = {
        "action": "name",
        "role": "leastRole",
        "approval": "requiresApproval",
        "states": "states",
        "what": "description",
    }
    show.rows(api().items("/v1/day2-actions", siteId=site_id), columns, as_json=as_json)


@APPROVALS.command("create")
def approve(
    machine_id: Annotated[str, typer.Option(help="Id or host name of the machine.")],
    action: Annotated[str, typer.Option(help="One of: sprout day2-actions list")],
    decision: Annotated[str, typer.Option(help="approved or denied.")] = "approved",
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
    click.echo(made["id"])
    click.echo(f"{decision}: {action}, good until {made['expiresAt']}", err=True)


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError as exc:
        raise Told(f"--parameters: this is no JSON: {exc}") from exc


@APPROVALS.command("list")
def approvals(machine_id: OfMachine = "", site_id: OfSite = "", as_json: AsJson = False) -> None:
    """List approvals, the newest first."""
    columns = {
        "action": "action",
        "state": "state",
        "by": "decidedBy",
        "expires": "expiresAt",
        "machine": "machineId",
        "id": "id",
    }
    found = api().items("/v1/approvals", machineId=machine_id, siteId=site_id)
    show.rows(found, columns, as_json=as_json)


@APPROVALS.command("show")
def approval(approval: Named, as_json: AsJson = False) -> None:
    """Show one approval."""
    show.record(api().get(f"/v1/approvals/{approval}"), as_json=as_json)


@EXECUTIONS.command("list")
def executions(machine_id: OfMachine = "", site_id: OfSite = "", as_json: AsJson = False) -> None:
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
    show.rows(found, columns, as_json=as_json)


@EXECUTIONS.command("show")
def execution(execution: Named, as_json: AsJson = False) -> None:
    """Show one action execution."""
    show.record(api().get(f"/v1/action-executions/{execution}"), as_json=as_json)


@EXECUTIONS.command("evidence")
def evidence(execution: Named, as_json: AsJson = False) -> None:
    """List what an action execution brought up."""
    columns = {each: each for each in ("at", "name", "size", "sha256")}
    show.rows(api().items(f"/v1/action-executions/{execution}/evidence"), columns, as_json=as_json)


@DECISIONS.command("list")
def decisions(machine_id: OfMachine = "", site_id: OfSite = "", as_json: AsJson = False) -> None:
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
    found = api().items("/v1/policy-decisions", machineId=machine_id, siteId=site_id)
    show.rows(found, columns, as_json=as_json)


@DECISIONS.command("show")
def decision(decision: Named, as_json: AsJson = False) -> None:
    """Show one policy decision, and what would change it."""
    show.record(api().get(f"/v1/policy-decisions/{decision}"), as_json=as_json)
