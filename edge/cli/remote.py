"""A command on a machine, followed: what it says is printed as it says it."""

import sys
from typing import Any

from edge.cli import follow, terminal
from edge.cli.client import FAILED, Api, Told


def followed(client: Api, workflow: str) -> None:
    """Print what the command of *workflow* says until it has ended.  Raises Told if it failed."""
    path, seen = f"/v1/workflows/{workflow}", 0

    def look() -> dict[str, Any] | None:
        nonlocal seen
        found: dict[str, Any] = client.get(path)  # first: what was said before its end is here then
        seen = _printed(client, f"{path}/events", seen)
        return None if found["state"] == "running" else found

    ended = follow.until(look, f"the end of workflow {workflow}")
    _printed(client, f"{path}/events", seen)
    if ended["state"] != "succeeded":
        raise Told(
            f"{ended['kind']} {ended['state']}: {ended['detail'] or 'without a reason'}",
            f"What is kept of it: sprout machines evidence {ended['machineId']}",
            status=FAILED,
        )


def _printed(client: Api, path: str, seen: int) -> int:
    """Print the pieces above the id *seen*; return the highest that was."""
    rows = client.items(path, kind="task-output", after=seen)
    for row in rows:
        text = str(row["data"].get("text", ""))
        bad = row["data"].get("stream") == "stderr"
        terminal.piece(sys.stderr if bad else sys.stdout, text)
    return max([seen, *(int(row["id"]) for row in rows)])
