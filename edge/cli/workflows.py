"""`sprout workflows|ip-allocations|why`: what is done, was done, and is waited for."""

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from edge.cli import follow, options, show, terminal
from edge.cli.client import Api, Told, api
from edge.cli.commands import Commands
from edge.cli.completing import names, words
from edge.cli.options import MachineName, OfMachine, OfSite, WorkflowId, given, is_id

WORKFLOWS: Final = Commands("What was asked, and how it goes.")
ALLOCATIONS: Final = Commands("Addresses of machines.")


_STATES: Final = words("running", "succeeded", "failed", "cancelled")


@WORKFLOWS.command("list")
def listed(
    machine_id: OfMachine = "",
    site_id: OfSite = "",
    state: Annotated[
        str, typer.Option(help="running, succeeded, failed or cancelled.", autocompletion=_STATES)
    ] = "",
    kind: Annotated[str, typer.Option(help="What was asked for, such as provision.")] = "",
) -> None:
    """List workflows, the newest first."""
    columns = {
        "kind": "kind",
        "state": "state",
        "machine": "machine",
        "id": "id",
        "detail": "detail",
    }
    query = {"machineId": machine_id, "siteId": site_id, "state": state, "kind": kind}
    client = api()
    found = client.items("/v1/workflows", **query)
    show.rows(found if show.for_programs() else options.with_names(client, found), columns)


@WORKFLOWS.command("show")
def shown(workflow: WorkflowId) -> None:
    """Show one workflow."""
    show.record(api().get(f"/v1/workflows/{workflow}"), steps=_steps)


def _steps(steps: list[dict[str, Any]]) -> str:
    return "\n".join(f"{step['state']}  {step['name']}  ({step['party']})" for step in steps)


@WORKFLOWS.command("events")
def events(
    workflow: WorkflowId,
    follow_it: Annotated[bool, typer.Option("--follow", help="Wait for its end.")] = False,
) -> None:
    """Show what was seen of a workflow."""
    client = api()
    if follow_it:
        follow.workflow(client, workflow)
    columns = {"at": "at", "source": "source", "kind": "kind", "data": "data"}
    show.rows(client.items(f"/v1/workflows/{workflow}/events"), columns)


@WORKFLOWS.command("watch")
def watch(
    workflow: Annotated[
        str,
        typer.Argument(
            help="Its id, or the machine's id or host name.",
            autocompletion=names("/v1/machines", "hostname"),
        ),
    ],
) -> None:
    """Show a workflow's steps as they go, live on a terminal; status 1 when it fails.

    A connection that is lost is made again.
    """
    client = api()
    ended = follow.workflow(client, _meant(client, workflow))
    show.made(ended, "", name="state")


def _meant(client: Api, word: str) -> str:
    """Return the id of the workflow that *word* names, or that its machine does.  Raises Told."""
    if is_id(word):
        try:
            return str(client.get(f"/v1/workflows/{word}")["id"])
        except Told as exc:
            if exc.http != 404:
                raise
    machine = client.get(f"/v1/machines/{quote(word, safe='')}")
    if machine["workflow"] is None:
        raise Told(
            f"nothing was asked of {machine['hostname']} yet",
            f"What can be: sprout machines --help; what it waits for: sprout why {word}",
        )
    return str(machine["workflow"]["id"])


@WORKFLOWS.command("cancel")
def cancel(workflow: WorkflowId, reason: Annotated[str, typer.Option()] = "") -> None:
    """Stop a running workflow; its machine becomes failed."""
    answer = api().post(f"/v1/workflows/{workflow}/cancel", given({"reason": reason}))
    show.done(answer, "cancelled")


@WORKFLOWS.command("confirm")
def confirm(
    workflow: WorkflowId,
    step: Annotated[str, typer.Option(help="What is done; what it asks for now, if empty.")] = "",
    reason: Annotated[str, typer.Option()] = "",
) -> None:
    """Say that what a workflow asks of a person at the machine is done."""
    client = api()
    named = step or _asked(client.get(f"/v1/workflows/{workflow}"))
    body = given({"step": named, "reason": reason})
    show.done(client.post(f"/v1/workflows/{workflow}/confirm", body), f"confirmed {named}")


def _asked(flow: dict[str, Any]) -> str:
    """Return the step that *flow* asks of a person now.  Raises Told."""
    now = [each for each in flow["steps"] if each["state"] == "running"]
    asked = [str(each["name"]) for each in now if each["kind"] == "confirmation"]
    if not asked:
        raise Told("the workflow asks nobody to confirm anything", f"See: sprout why {flow['id']}")
    return asked[0]


@ALLOCATIONS.command("list")
def allocations(machine_id: OfMachine = "") -> None:
    """List addresses."""
    columns = {"address": "address", "mac": "mac", "state": "state", "machine": "machineId"}
    show.rows(api().items("/v1/ip-allocations", machineId=machine_id), columns)


def why(machine: MachineName) -> None:
    """Say what a machine waits for, until when, and from whom."""
    told = api().get(f"/v1/machines/{machine}/why")
    if show.for_programs():
        show.data(told)
        return
    terminal.out(told["sentence"])
    for name, heading in (("until", "Until"), ("evidence", "Last sign"), ("nextAction", "Next")):
        if told.get(name):
            terminal.out(f"{heading}: {show.cell(told[name])}")
