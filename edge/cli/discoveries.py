"""`sprout discoveries`: machines that nobody entered, which asked to boot."""

from typing import Annotated, Final

import typer

from edge.cli import show
from edge.cli.client import Api, api
from edge.cli.commands import Commands
from edge.cli.machines import BMC, DISK, Reason, described
from edge.cli.options import Named, OfSite, given

DISCOVERIES: Final = Commands("Machines that nobody entered, which asked to boot.")

_COLUMNS: Final = {
    "mac": "mac",
    "state": "state",
    "architecture": "architecture",
    "first seen": "firstSeen",
    "last seen": "lastSeen",
    "times": "times",
    "relay": "relay",
    "site": "siteSlug",
    "id": "id",
}


@DISCOVERIES.command("list")
def listed(
    state: Annotated[
        str, typer.Option(help="new, accepted or ignored; empty: all of them.")
    ] = "new",
    site_id: OfSite = "",
) -> None:
    """List machines that asked to boot and are none of ours, the newest first."""
    found = api().items("/v1/discoveries", state=state, siteId=site_id)
    show.rows(found, _COLUMNS)


@DISCOVERIES.command("show")
def shown(discovery: Named) -> None:
    """Show one discovery."""
    show.record(api().get(f"/v1/discoveries/{discovery}"))


@DISCOVERIES.command("accept")
def accept(
    discovery: Named,
    hostname: Annotated[
        str, typer.Option(help="What the machine is to be called; else after its MAC.")
    ] = "",
    architecture: Annotated[str, typer.Option(help="Else what the machine says itself.")] = "",
    interface_name: Annotated[str, typer.Option(help="Of the interface it boots from.")] = "",
    bmc: Annotated[str, typer.Option(help=BMC)] = "",
    root_disk: Annotated[str, typer.Option(help=DISK)] = "",
    label: Annotated[list[str] | None, typer.Option(help="name=value")] = None,
) -> None:
    """Make a machine of a discovery; prints the machine's id."""
    client = api()
    body = {
        "hostname": hostname or _named(client, discovery),
        "architecture": architecture,
        "interfaceName": interface_name,
        **described(bmc=bmc, root_disk=root_disk, label=label or []),
    }
    answer = client.post(f"/v1/discoveries/{discovery}/accept", given(body))
    show.made(answer, f"registered {answer['hostname']}")


def _named(client: Api, discovery: str) -> str:
    """Return what a machine is called that nobody gave a name: `node-` and its MAC."""
    found = client.get(f"/v1/discoveries/{discovery}")
    return f"node-{found['mac'].replace(':', '')}"


@DISCOVERIES.command("ignore")
def ignore(discovery: Named, reason: Reason = "") -> None:
    """Have a discovery no longer shown as new."""
    answer = api().post(f"/v1/discoveries/{discovery}/ignore", given({"reason": reason}))
    show.done(answer, f"{answer['mac']} is ignored; it can still be accepted")
