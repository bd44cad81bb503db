"""Waits for a workflow and tells on standard error how it goes."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from edge.cli import terminal
from edge.cli.client import Api, Told

EVERY_S: Final = 0.5

Tell = Callable[[str], None]


def step_of(flow: Mapping[str, Any]) -> str:
    """Return the name of the step that *flow* stands at, or how it ended."""
    running = (step["name"] for step in flow["steps"] if step["state"] == "running")
    return str(next(running, flow["state"]))


def workflow(api: Api, identifier: str, *, tell: Tell = terminal.tell) -> dict[str, Any]:
    """Return the workflow when it has ended, telling each step.  Raises Told if it failed."""
    step = ""
    began = time.monotonic()
    while True:
        found: dict[str, Any] = api.get(f"/v1/workflows/{identifier}")
        if found["state"] != "running":
            break
        now = step_of(found)
        if now != step:
            step = now
            tell(f"{time.monotonic() - began:6.1f} s  {step}")
        time.sleep(EVERY_S)
    tell(f"{time.monotonic() - began:6.1f} s  {found['state']}")
    if found["state"] != "succeeded":
        raise Told(str(found["detail"] or found["state"]), "More: sprout why MACHINE")
    return found
