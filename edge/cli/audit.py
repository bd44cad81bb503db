"""`sprout audit`: who asked for what, and whether anybody changed what was written of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.cli import show, terminal
from edge.cli.client import FAILED, PAGE, api
from edge.cli.commands import Commands
from edge.cli.completing import words
from edge.cli.options import OfMachine, OfSite

AUDIT: Final = Commands("Who asked for what.")


@AUDIT.command("list")
def audit(
    machine_id: OfMachine = "",
    site_id: OfSite = "",
    actor: Annotated[str, typer.Option(help="Only what this person or program did.")] = "",
    action: Annotated[str, typer.Option(help="Only this, such as machine.provision.")] = "",
    outcome: Annotated[
        str, typer.Option(help="done or refused.", autocompletion=words("done", "refused"))
    ] = "",
    request_id: Annotated[str, typer.Option(help="Only what came of this request.")] = "",
    limit: Annotated[int, typer.Option(help="Rows at most.", min=1, max=PAGE)] = 100,
) -> None:
    """List what was asked, the newest first."""
    columns = {
        "at": "at",
        "actor": "actor",
        "action": "action",
        "object": "objectId",
        "outcome": "outcome",
        "reason": "reason",
    }
    query = {
        "machineId": machine_id,
        "siteId": site_id,
        "actor": actor,
        "action": action,
        "outcome": outcome,
        "requestId": request_id,
    }
    page = api().get("/v1/audit", **query, limit=limit)
    show.rows(page["items"], columns)
    if page.get("next"):
        terminal.tell(f"the newest {limit} are shown; there are more")


@AUDIT.command("export")
def export(
    to: Annotated[typer.FileTextWrite, typer.Argument(help="File to write; - for stdout.")],
) -> None:
    """Write the whole audit and its seals, a JSON object a line, to be kept elsewhere."""
    links, records = _fetched()
    for name, found in (("seal", links), ("record", records)):
        to.writelines(f"{json.dumps({name: each})}\n" for each in found)
    terminal.tell(f"{len(records)} records under {len(links)} seals")


@AUDIT.command("verify")
def verify(
    file: Annotated[
        Path | None, typer.Option(help="An export; default: what the edge has now.")
    ] = None,
    expect: Annotated[
        str, typer.Option(help="A hash that was noted before, such as from control's log.")
    ] = "",
) -> None:
    """Say whether every record is as it was sealed; exit status 1 when one is not.

    The chain proves that nothing was changed between two seals.  That the whole chain was not made
    anew, only a hash proves that you noted elsewhere: give it as --expect.
    """
    from models import seals
    from models.seals import Seal

    links, records = _fetched() if file is None else _of_file(file)
    chain = [Seal(s["id"], tuple(s["ids"]), s["previous"], s["hash"]) for s in links]
    found = seals.verify({row["id"]: row for row in records}, chain, expect=expect)
    shown = {
        "records": len(records),
        "sealed": found.sealed,
        "unsealed": list(found.unsealed),
        "lastHash": found.last,
        "faults": list(found.faults),
    }
    if show.for_programs():
        show.data(shown)
    else:
        _tell(shown)
    if found.faults:
        raise typer.Exit(FAILED)


def _tell(shown: Mapping[str, Any]) -> None:
    show.record({name: shown[name] for name in ("records", "sealed", "lastHash")})
    waiting = shown["unsealed"]
    if waiting:
        terminal.tell(f"{len(waiting)} not sealed yet, from {waiting[0]}: is control running?")
    for fault in shown["faults"]:
        terminal.out(fault)
    terminal.out("CHANGED" if shown["faults"] else "as it was sealed")


def _fetched() -> tuple[list[Any], list[Any]]:
    """Return seals and records; seals first, so that what they cover is there."""
    links = api().items("/v1/audit-seals")
    return links, api().items("/v1/audit", sort="id")


def _of_file(file: Path) -> tuple[list[Any], list[Any]]:
    found: dict[str, list[Any]] = {"seal": [], "record": []}
    try:
        for line in file.read_text(encoding="utf8").splitlines():
            ((name, value),) = json.loads(line).items()
            found[name].append(value)
    except (OSError, ValueError, KeyError, AttributeError) as exc:
        raise typer.BadParameter(f"{file} is no export of the audit: {exc!r}") from exc
    return found["seal"], found["record"]
