"""`sprout workflows|ip-allocations|why`: what is done, was done, and is waited for."""

from typing import Annotated, Final

import click
import typer

from edge.cli import follow, show
from edge.cli.client import api
from edge.cli.options import Named, OfMachine
from edge.cli.show import AsJson

WORKFLOWS: Final = typer.Typer(help="What was asked, and how it goes.", no_args_is_help=True)
ALLOCATIONS: Final = typer.Typer(help="Addresses of machines.", no_args_is_help=True)


@WORKFLOWS.command("list")
def listed(machine_id: OfMachine = "", as_json: AsJson = False) -> None:
    """List workflows, the newest first."""
    columns = {
        "kind": "kind",
        "state": "state",
        "machine": "machineId",
        "id": "id",
        "detail": "detail",
    }
    show.rows(api().items("/v1/workflows", machineId=machine_id), columns, as_json=as_json)


@WORKFLOWS.command("show")
def shown(workflow: Named, as_json: AsJson = False) -> None:
    """Show one workflow."""
    show.record(api().get(f"/v1/workflows/{workflow}"), as_json=as_json)


@WORKFLOWS.command("events")
def events(
    workflow: Named,
    follow_it: Annotated[bool, typer.Option("--follow", help="Wait for its end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what was seen of a workflow."""
    client = api()
    if follow_it:
        follow.workflow(client, workflow)
    columns = {"at": "at", "source": "source", "kind": "kind", "data": "data"}
    show.rows(client.items(f"/v1/workflows/{workflow}/events"), columns, as_json=as_json)


@WORKFLOWS.command("cancel")
def cancel(workflow: Named, reason: Annotated[str, typer.Option()] = "") -> None:
    """Stop a running workflow; its machine becomes failed."""
    api().post(f"/v1/workflows/{workflow}/cancel", {"reason": reason} if reason else {})
    click.echo("cancelled", err=True)


@ALLOCATIONS.command("list")
def allocations(machine_id: OfMachine = "", as_json: AsJson = False) -> None:
    """List addresses."""
    columns = {"address": "address", "mac": "mac", "state": "state", "machine": "machineId"}
    show.rows(api().items("/v1/ip-allocations", machineId=machine_id), columns, as_json=as_json)


def why(machine: Named, as_json: AsJson = False) -> None:
    """Say what a machine waits for, until when, and from whom."""
    told = api().get(f"/v1/machines/{machine}/why")
    if as_json:
        show.record(told, as_json=True)
        return
    click.echo(told["sentence"])
    for name, words in (("until", "Until"), ("evidence", "Last sign"), ("nextAction", "Next")):
        if told.get(name):
            click.echo(f"{words}: {told[name]}")
