"""`sprout`: every workflow from the command line.  Results on stdout, all else on stderr."""

import importlib.metadata
import sys
from collections.abc import Callable
from typing import Final

import click
import typer

from edge.cli import inventory, machines, processes, workflows

APP: Final = typer.Typer(
    help="Bare metal from the first DHCPDISCOVER to a running, audited host.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for _name, _group in {
    "sites": inventory.SITES,
    "networks": inventory.NETWORKS,
    "machines": machines.MACHINES,
    "artifacts": inventory.ARTIFACTS,
    "images": inventory.IMAGES,
    "profiles": inventory.PROFILES,
    "workflows": workflows.WORKFLOWS,
    "ip-allocations": workflows.ALLOCATIONS,
    "audit": workflows.AUDIT,
    "rack": processes.RACK,
}.items():
    APP.add_typer(_group, name=_name)

_VERBS: Final[dict[str, Callable[..., None]]] = {
    "up": processes.up,
    "edge": processes.edge,
    "control": processes.control,
    "site": processes.site,
    "why": workflows.why,
    "ssh": processes.ssh,
    "login-url": processes.login_url,
}
for _name, _verb in _VERBS.items():
    APP.command(_name)(_verb)


@APP.command("version")
def version() -> None:
    """Print the version."""
    click.echo(importlib.metadata.version("sprout"))


def run() -> None:
    """`sprout`, also called `sprout-cli`."""
    APP()


def run_edge() -> None:
    """`sprout-api`: another name of `sprout edge`."""
    sys.argv[1:1] = ["edge"]
    APP()


def run_site() -> None:
    """`sprout-site-agent`: another name of `sprout site`."""
    sys.argv[1:1] = ["site"]
    APP()
