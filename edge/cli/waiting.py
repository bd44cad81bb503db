"""`sprout wait`: until a machine is in a state, a workflow has ended, or somebody has approved."""

from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from edge.cli import follow, show, terminal
from edge.cli.client import FAILED, Api, Told, api
from edge.cli.commands import Commands
from edge.cli.completing import states
from edge.cli.options import ActionName, AtMachine, MachineName, WorkflowId

WAIT: Final = Commands("Wait for something to happen; status 6 when it does not in time.")

LOST: Final = frozenset({"failed", "retired"})
"""States that nothing else comes after by itself."""

Deadline = Annotated[str, typer.Option(help="How long at most, such as 90s, 30m or 1h30m.")]


@WAIT.command("machine")
def machine(
    machine: MachineName,
    state: Annotated[
        str, typer.Option(help="The state; several between commas.", autocompletion=states)
    ],
    deadline: Deadline = "1h",
) -> None:
    """Wait until a machine is in a state; status 1 when it has failed or is retired instead."""
    client, limit = api(), follow.seconds(deadline)
    wanted = {word.strip() for word in state.split(",") if word.strip()}
    told = ""

    def look() -> dict[str, Any] | None:
        nonlocal told
        found: dict[str, Any] = client.get(f"/v1/machines/{machine}")
        if found["state"] in wanted:
            return found
        sentence = str(client.get(f"/v1/machines/{machine}/why")["sentence"])
        if found["state"] in LOST:
            raise Told(sentence, f"More: sprout machines timeline {machine}", status=FAILED)
        if sentence != told:
            told = sentence
            terminal.tell(sentence)
        return None

    found = follow.until(look, f"{machine} {' or '.join(sorted(wanted))}", limit)
    show.made(found, "", name="state")


@WAIT.command("workflow")
def workflow(workflow: WorkflowId, deadline: Deadline = "1h") -> None:
    """Wait for the end of a workflow; status 1 when it failed or was cancelled."""
    ended = follow.workflow(api(), workflow, follow.seconds(deadline))
    show.made(ended, "", name="state")


@WAIT.command("approval")
def approval(
    machine_id: AtMachine,
    action: ActionName,
    deadline: Deadline = "1h",
) -> None:
    """Wait until somebody approves an action; prints the approval's id.

    Status 1 when somebody denies it meanwhile.
    """
    client, limit = api(), follow.seconds(deadline)
    machine = client.get(f"/v1/machines/{quote(machine_id, safe='')}")
    before = {row["id"] for row in _decided(client, machine["id"], action)}
    terminal.tell(f"waiting for a word on {action} of {machine['hostname']}, such as:")
    terminal.tell(f"  sprout approvals create --machine-id {machine['hostname']} --action {action}")

    def look() -> dict[str, Any] | None:
        for row in _decided(client, machine["id"], action):
            if row["state"] == "open":
                return row
            if row["state"] == "denied" and row["id"] not in before:
                told = f"{row['decidedBy']} denied it: {row['reason'] or 'without a reason'}"
                raise Told(told, f"More: sprout approvals show {row['id']}", status=FAILED)
        return None

    found = follow.until(look, f"an approval of {action}", limit)
    show.made(found, f"{found['decidedBy']} approved, until {show.cell(found['expiresAt'])}")


def _decided(client: Api, machine: str, action: str) -> list[dict[str, Any]]:
    return client.items("/v1/approvals", machineId=machine, action=action)
