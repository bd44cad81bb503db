"""`sprout events follow`: what happens to machines, as it happens."""

import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer

from edge.cli import show, terminal
from edge.cli.client import AWAY, Api, Told, api
from edge.cli.commands import Commands
from edge.cli.options import OfMachine, OfSite
from edge.cli.processes import MODULES, become

EVENTS: Final = Commands(
    "Run the process of live streams, or follow what happens to machines.",
    invoke_without_command=True,
    no_args_is_help=False,
)

WAIT_S: Final = 8
"""Seconds that one question waits for its answer: less than the client's patience."""

AGAIN_S: Final = 2.0


@EVENTS.callback()
def serve(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Say whether one runs here: status 0, else 1.")
    ] = False,
) -> None:
    """Run the process that holds live streams, which the edge passes on to it."""
    if context.invoked_subcommand is None:
        become(MODULES["events"], *(["--check"] if check else []))


@EVENTS.command("follow")
def follow(
    machine: OfMachine = "",
    site: OfSite = "",
    kind: Annotated[str, typer.Option(help="Only this kind, such as provisioned.")] = "",
    after: Annotated[
        int, typer.Option(help="Go on after this position; -1: only what is new.")
    ] = -1,
) -> None:
    """Print events until Ctrl-C; a lost connection is made again, and nothing is missed."""
    query = {"machineId": machine, "siteId": site, "kind": kind}
    asked = {name: value for name, value in query.items() if value}
    for event in _events(api(), asked, after):
        show.each(event, line(event))


def _events(edge: Api, query: Mapping[str, Any], after: int) -> Iterator[dict[str, Any]]:
    position = _newest(edge) if after < 0 else after
    while True:
        try:
            page = edge.get("/v1/events", **query, after=position, wait=WAIT_S)
        except Told as exc:
            if exc.status != AWAY:
                raise
            terminal.tell(f"{exc}; trying again from {position}")
            time.sleep(AGAIN_S)
            continue
        yield from page["items"]
        position = page["next"]


def _newest(edge: Api) -> int:
    return int(edge.get("/v1/events", after=-1)["next"])


def line(event: Mapping[str, Any]) -> str:
    """Return an event as a person reads it."""
    data = event["data"]
    kind = event["type"].rpartition(".")[2]
    site = event["source"].split("/")[2]
    way = f"{data['from']} → {data['to']}" if "from" in data else data.get("state", "")
    why = data.get("detail") or data.get("reason") or ""
    what = f"{data['kind']} " if kind.startswith("workflow") else ""
    told = f"{event['time'][11:19]}  {site}/{event['subject']}  {kind}  {what}{way}"
    return told.rstrip() + (f"  ({why})" if why else "")
