"""Waits, and tells on standard error how it goes; an API that is away for a while is waited for."""

import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from edge.cli import terminal
from edge.cli.client import AWAY, FAILED, LATE, Api, Told

EVERY_S: Final = 0.5
FOREVER: Final = math.inf

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+|\d+(?:\.\d+)?", re.ASCII)
_MARKS: Final = {"done": "✓", "running": "●", "failed": "✗", "cancelled": "-", "pending": "·"}
_PLAIN_MARKS: Final = {
    "done": "+",
    "running": ">",
    "failed": "x",
    "cancelled": "-",
    "pending": ".",
}

Tell = Callable[[str], None]
Flow = Mapping[str, Any]
_Found = TypeVar("_Found")


def seconds(text: str) -> float:
    """Return `90`, `90s`, `1h30m` in seconds.  Raises Told."""
    if not _DURATION.fullmatch(text):
        raise Told(f"{text!r} is no duration", "Such as 90s, 30m or 1h30m.", status=2)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    return float(sum(float(number) * _UNITS[unit or "s"] for number, unit in parts))


def until(look: Callable[[], _Found | None], what: str, deadline_s: float = FOREVER) -> _Found:
    """Return what *look* finds in the end.  Raises Told, with LATE after *deadline_s*."""
    ends, away = time.monotonic() + deadline_s, False
    while True:
        try:
            found = look()
            away = False
        except Told as exc:
            if exc.status != AWAY:
                raise
            if not away:
                terminal.tell(f"{exc.message}\n  waiting for it")
            found, away = None, True
        if found is not None:
            return found
        if time.monotonic() >= ends:
            raise Told(f"{what}: not within {deadline_s:.0f} s", status=LATE)
        time.sleep(EVERY_S)


def step_of(flow: Flow) -> str:
    """Return the name of the step that *flow* stands at, or how it ended."""
    running = (step["name"] for step in flow["steps"] if step["state"] == "running")
    return str(next(running, flow["state"]))


def workflow(api: Api, identifier: str, deadline_s: float = FOREVER) -> dict[str, Any]:
    """Return the workflow when it has ended, telling each step.

    Raises Told if it failed, or with LATE after *deadline_s*.
    """
    shown = _Live() if terminal.is_live() else _Plain()

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(f"/v1/workflows/{identifier}")
        shown.show(found)
        return None if found["state"] == "running" else found

    ended = until(look, f"the end of workflow {identifier}", deadline_s)
    if ended["state"] != "succeeded":
        raise Told(
            f"{ended['kind']} {ended['state']}: {ended['detail'] or 'without a reason'}",
            f"More: sprout workflows events {identifier}; sprout why {ended['machineId']}",
            status=FAILED,
        )
    return ended


class _Plain:
    """Tells a line for each step that is another than before: for logs."""

    def __init__(self) -> None:
        self._before: dict[str, str] = {}
        self._began = time.monotonic()

    def show(self, flow: Flow) -> None:
        for line in changes(self._before, flow):
            terminal.tell(f"{time.monotonic() - self._began:6.1f} s  {line}")
        self._before = {step["name"]: step["state"] for step in flow["steps"]}
        self._before[""] = flow["state"]


class _Live:
    """Writes all steps anew, in place."""

    def __init__(self) -> None:
        self._lines = 0
        self._began = time.monotonic()
        self._since: dict[str, float] = {}

    def show(self, flow: Flow) -> None:
        now = time.monotonic()
        ran = now - self._since.setdefault(step_of(flow), now)
        lines = list(picture(flow, ran, now - self._began))
        terminal.redraw(lines, self._lines)
        self._lines = len(lines)


def changes(before: Mapping[str, str], flow: Flow) -> Iterator[str]:
    """Yield a line for each step whose state is another than *before*, and for the end."""
    for step in flow["steps"]:
        if step["state"] not in {"pending", before.get(step["name"])}:
            yield f"{step['name']}  {_said(step)}"
    if flow["state"] not in {"running", before.get("")}:
        yield f"{flow['kind']} {flow['state']}"


def picture(flow: Flow, ran_s: float, took_s: float) -> Iterator[str]:
    """Yield the lines of a live view: *ran_s* is how long the current step was watched."""
    utf8 = (sys.stderr.encoding or "").lower().startswith("utf")
    marks = _MARKS if utf8 else _PLAIN_MARKS
    yield f"{flow['kind']}  {flow['state']}  {took_s:.0f} s"
    widest = max((terminal.width(step["name"]) for step in flow["steps"]), default=0)
    for step in flow["steps"]:
        name = terminal.padded(step["name"], widest)
        running = step["state"] == "running"
        told = f"  {ran_s:.0f} s, {_said(step)}" if running else ""
        yield f"  {marks.get(step['state'], '?')} {name}{told}"


def _said(step: Mapping[str, Any]) -> str:
    if step["state"] != "running":
        return str(step["state"])
    return f"waits for {step['party']}: {step['expects']} (at most {step['deadlineS']} s)"
