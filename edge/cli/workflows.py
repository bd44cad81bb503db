"""`sprout workflows|ip-allocations|why`: what is done, was done, and is waited for."""

from typing import Annotated, Final

import typer

from edge.cli import follow, show, terminal
from edge.cli.client import api
from edge.cli.commands import Commands
from edge.cli.options import Named, OfMachine, given

WORKFLOWS: Final = Commands("What was asked, and how it goes.")
ALLOCATIONS: Final = Commands("Addresses of machines.")


@WORKFLOWS.command("list")
def listed(machine_id: OfMachine = "") -> None:
    """List workflows, the newest first."""
    columns = {
        "kind": "kind",
        "state": "state",
        "machine": "machineId",
        "id": "id",
        "detail": "detail",
    }
    show.rows(api().items("/v1/workflows", machineId=machine_id), columns)


@WORKFLOWS.command("show")
def shown(workflow: Named) -> None:
    """Show one workflow."""
    show.record(api().get(f"/v1/workflows/{workflow}"))


@WORKFLOWS.command("events")
def events(
    workflow: Named,
    follow_it: Annotated[bool, typer.Option("--follow", help="Wait for its end.")] = False,
) -> None:
    """Show what was seen of a workflow."""
    client = api()
    if follow_it:
        follow.workflow(client, workflow)
    columns = {"at": "at", "source": "source", "kind": "kind", "data": "data"}
    show.rows(client.items(f"/v1/workflows/{workflow}/events"), columns)


@WORKFLOWS.command("cancel")
def cancel(workflow: Named, reason: Annotated[str, typer.Option()] = "") -> None:
    """Stop a running workflow; its machine becomes failed."""
    answer = api().post(f"/v1/workflows/{workflow}/cancel", given({"reason": reason}))
    show.done(answer, "cancelled")


@ALLOCATIONS.command("list")
def allocations(machine_id: OfMachine = "") -> None:
    """List addresses."""
    columns = {"address": "address", "mac": "mac", "state": "state", "machine": "machineId"}
    show.rows(api().items("/v1/ip-allocations", machineId=machine_id), columns)


def why(machine: Named) -> None:
    """Say what a machine waits for, until when, and from whom."""
    told = api().get(f"/v1/machines/{machine}/why")
    if show.for_programs():
        show.data(told)
        return
    terminal.out(told["sentence"])
    for name, words in (("until", "Until"), ("evidence", "Last sign"), ("nextAction", "Next")):
        if told.get(name):
            terminal.out(f"{words}: {show.cell(told[name])}")
