"""`sprout up|edge|control|site|rack|ssh|login-url|…`: the processes, and the ways in."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from edge.cli import show, terminal
from edge.cli.client import Told, api
from edge.cli.commands import PLAIN, Commands
from edge.cli.options import MachineName

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings
    from edge.cli.local.up import Step

SITE: Final = Commands(
    "Run a site, or check the one that runs.", invoke_without_command=True, no_args_is_help=False
)
RACK: Final = typer.Typer(help="Virtual machines with BMCs, for rehearsal.", **PLAIN)
MODULES: Final = {
    "edge": "edge.serve",
    "agents": "edge.agents",
    "events": "edge.live",
    "control": "actors.control",
    "site": "actors.site",
}


def become(module: str, *arguments: str) -> None:
    """Replace this process by `python -m module`."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - no shell


def edge(
    agents: Annotated[
        bool, typer.Option("--agents", help="The listener of sites' agents instead: mutual TLS.")
    ] = False,
) -> None:
    """Run the edge: API and pages."""
    become(MODULES["agents" if agents else "edge"])


def control() -> None:
    """Run a control process: engine, relay, reaper."""
    become(MODULES["control"])


@SITE.callback()
def site(
    context: typer.Context,
    identity: Annotated[
        bool,
        typer.Option("--identity", help="Print the URI that its certificate must name, and end."),
    ] = False,
) -> None:
    """Run a site's processes: agent, DHCP, TFTP, boot HTTP."""
    if context.invoked_subcommand is not None:
        return
    become(MODULES["site"], *(["--identity"] if identity else []))


@SITE.command("check")
def site_check() -> None:
    """Play firmware of each kind against the site that runs here, and say what it meets.

    Exit status: 0 machines boot, 1 something failed, 2 the settings or rights are not enough.
    """
    become(MODULES["site"], "--check", *(["--json"] if show.for_programs() else []))


def up(
    rack: Annotated[int, typer.Option(help="Machines to rack and provision.")] = 0,
    firmware: Annotated[str, typer.Option(help="bios or uefi.")] = "uefi",
    once: Annotated[
        bool, typer.Option("--once", help="End when all are active: status 0, else 1.")
    ] = False,
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="Play the machines: as any user, in any number."),
    ] = False,
    speed: Annotated[float, typer.Option(help="Of simulated machines: 2 halves their times.")] = 1,
    inventory: Annotated[
        str,
        typer.Option(help="image: build the inventory image, and commission by it; else by BMC."),
    ] = "bmc",
    config: Annotated[
        Path | None,
        typer.Option(help="Run from this provisioning.yaml; the environment wins over it."),
    ] = None,
) -> None:
    """Run all of Sprout on this machine, with its own database and broker."""
    from edge.cli import rack as choreography

    own: tuple[Callable[[Settings], Step], ...] = ()
    if config is not None:
        # A third of the supervisor's memory, which lasts as long as Sprout runs.
        from edge.cli import premises

        own = premises.prepared(config)
    wanted = choreography.Wanted(
        machines=rack,
        firmware=firmware,
        once=once,
        simulated=simulated,
        speed=speed,
        inventory=inventory == "image",
    )
    raise typer.Exit(choreography.up(wanted, *own))


def login_url() -> None:
    """Print a URL that signs a browser in, once."""
    show.made(api().post("/v1/sign-in-codes", {}), "it is good once, for a short while", name="url")


def hash_password() -> None:
    """Print what SPROUT_ADMIN_PASSWORD_HASH is to hold; reads the password, or standard input."""
    from edge import passwords

    typed = sys.stdin.isatty()
    password = (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        if typed
        else sys.stdin.readline().rstrip("\n")
    )
    if not passwords.LEAST <= len(password) <= passwords.MOST:
        raise Told(f"want {passwords.LEAST} to {passwords.MOST} characters")
    terminal.out(passwords.hashed(password))


@RACK.command("up", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def rack_up(context: typer.Context) -> None:
    """Run a rack until Ctrl-C: --machines N --firmware bios|uefi [--state FOLDER]."""
    _rack("up", context.args)


@RACK.command("check", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def rack_check(context: typer.Context) -> None:
    """Say what is missing to run a rack here."""
    _rack("check", context.args)


def _rack(verb: str, arguments: list[str]) -> None:
    import importlib.util

    if importlib.util.find_spec("deploy") is None:
        raise Told(
            "the rack is a tool of development, and not installed here",
            "Run this from a checkout of Sprout.",
        )
    from config.settings import Settings

    if verb == "up" and not any(word.startswith("--state") for word in arguments):
        arguments = [*arguments, "--state", str(Settings.load().data_dir / "rack")]
    become("deploy.rack", verb, *arguments)


def ssh(
    machine: MachineName, command: Annotated[list[str] | None, typer.Argument()] = None
) -> None:
    """Open a shell on a machine, its host key pinned at its first boot."""
    from edge.cli import ssh as door

    found: dict[str, Any] = api().get(f"/v1/machines/{machine}")
    raise typer.Exit(door.enter(found, command or []))
