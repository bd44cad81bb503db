"""`sprout discoveries`: machines that nobody entered, which asked to boot."""

from typing import Annotated, Final

import click
import typer

from edge.cli import show
from edge.cli.client import api
from edge.cli.machines import BMC, DISK, Reason, described
from edge.cli.options import Named, OfSite, given
from edge.cli.show import AsJson

DISCOVERIES: Final = typer.Typer(
    help="Machines that nobody entered, which asked to boot.", no_args_is_help=True
)

_COLUMNS: Final = {
    "mac": "mac",
    "state": "state",
    "architecture": "architecture",
    "first seen (UTC)": "first",
    "last seen (UTC)": "last",
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
    as_json: AsJson = False,
) -> None:
    """List machines that asked to boot and are none of ours, the newest first."""
    found = api().items("/v1/discoveries", state=state, siteId=site_id)
    if as_json:
        show.rows(found, _COLUMNS, as_json=True)
        return
    rows = [{**row, "first": row["firstSeen"][:19], "last": row["lastSeen"][:19]} for row in found]
    show.rows(rows, _COLUMNS, as_json=False)


@DISCOVERIES.command("show")
def shown(discovery: Named, as_json: AsJson = False) -> None:
    """Show one discovery."""
    show.record(api().get(f"/v1/discoveries/{discovery}"), as_json=as_json)


@DISCOVERIES.command("accept")
def accept(
    discovery: Named,
    hostname: Annotated[str, typer.Option(help="What the machine is to be called.")],
    architecture: Annotated[str, typer.Option(help="Else what the machine says itself.")] = "",
    interface_name: Annotated[str, typer.Option(help="Of the interface it boots from.")] = "",
    bmc: Annotated[str, typer.Option(help=BMC)] = "",
    root_disk: Annotated[str, typer.Option(help=DISK)] = "",
    label: Annotated[list[str] | None, typer.Option(help="name=value")] = None,
) -> None:
    """Make a machine of a discovery; prints the machine's id."""
    body = {
        "hostname": hostname,
        "architecture": architecture,
        "interfaceName": interface_name,
        **described(bmc=bmc, root_disk=root_disk, label=label or []),
    }
    answer = api().post(f"/v1/discoveries/{discovery}/accept", given(body))
    click.echo(answer["id"])
    click.echo(f"registered {answer['hostname']}", err=True)


@DISCOVERIES.command("ignore")
def ignore(discovery: Named, reason: Reason = "") -> None:
    """Have a discovery no longer shown as new."""
    answer = api().post(f"/v1/discoveries/{discovery}/ignore", given({"reason": reason}))
    click.echo(f"{answer['mac']} is ignored; it can still be accepted", err=True)
