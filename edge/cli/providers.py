"""`sprout providers`: other systems that hold addresses, names and reservations for machines."""

from typing import Annotated, Final, Literal

import typer

from edge.cli import show
from edge.cli.commands import Commands
from edge.cli.processes import become

PROVIDERS: Final = Commands("Try a provider against the contract.")

Capability = Literal["network", "ipam", "dhcp", "dns", "hardware_testing", "allocation"]


@PROVIDERS.command("check")
def check(
    cap: Annotated[Capability, typer.Option(help="What it provides.")],
    url: Annotated[str, typer.Option(help="Its base URL.")],
    token_ref: Annotated[
        str, typer.Option(help="Where its token is kept: env:NAME, vault:PATH#KEY.")
    ] = "",
    network: Annotated[
        str, typer.Option(help="A network that it serves, and has two free addresses.")
    ] = "192.0.2.0/24",
) -> None:
    """Make, show, repeat and undo things at a provider, as the contract has it.

    Names are of the check's own.  Exit status: 0 it keeps to the contract, 1 it does not.
    """
    words = ["--cap", cap, "--url", url, "--network", network]
    words += ["--token-ref", token_ref] if token_ref else []
    become("actors.providers", *words, *(["--json"] if show.for_programs() else []))
