"""`sprout`: every workflow from the command line.  Results on stdout, all else on stderr."""

import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import Final

import typer

from edge.cli import (
    audit,
    day2,
    discoveries,
    events,
    inventory,
    networks,
    policy,
    processes,
    queues,
    tokens,
    verbs,
    workflows,
)
from edge.cli.client import EXIT_CODES, Told, api

APP: Final = typer.Typer(
    help="Bare metal from the first DHCPDISCOVER to a running, audited host.",
    epilog="Exit status: " + ", ".join(f"{n} {words}" for n, words in EXIT_CODES.items()) + ".",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for _name, _group in {
    "sites": inventory.SITES,
    "networks": networks.NETWORKS,
    "machines": verbs.VERBS,
    "discoveries": discoveries.DISCOVERIES,
    "artifacts": inventory.ARTIFACTS,
    "images": inventory.IMAGES,
    "profiles": inventory.PROFILES,
    "workflows": workflows.WORKFLOWS,
    "day2-actions": day2.ACTIONS,
    "approvals": day2.APPROVALS,
    "action-executions": day2.EXECUTIONS,
    "policy-decisions": day2.DECISIONS,
    "policy": policy.POLICY,
    "ip-allocations": workflows.ALLOCATIONS,
    "audit": audit.AUDIT,
    "events": events.EVENTS,
    "dead-letters": queues.DEAD_LETTERS,
    "tokens": tokens.TOKENS,
    "rack": processes.RACK,
    "site": processes.SITE,
}.items():
    APP.add_typer(_group, name=_name)

_VERBS: Final[dict[str, Callable[..., None]]] = {
    "up": processes.up,
    "edge": processes.edge,
    "control": processes.control,
    "why": workflows.why,
    "actors": queues.actors,
    "ssh": processes.ssh,
    "login-url": processes.login_url,
    "hash-password": processes.hash_password,
}
# What follows the machine is the remote command's, dashes too.
_WORDS: Final = {"ssh": {"ignore_unknown_options": True, "allow_interspersed_args": False}}

for _name, _verb in _VERBS.items():
    APP.command(_name, context_settings=_WORDS.get(_name))(_verb)


@APP.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(importlib.metadata.version("sprout"))


@APP.command("openapi")
def openapi() -> None:
    """Print the contract of the API, as JSON."""
    typer.echo(json.dumps(api().get("/v1/openapi.json"), indent=2))


def run() -> None:
    """`sprout`, also called `sprout-cli`."""
    try:
        APP()
    except Told as exc:
        exc.show()
        sys.exit(exc.status)


def run_edge() -> None:
    """`sprout-api`: another name of `sprout edge`."""
    sys.argv[1:1] = ["edge"]
    run()


def run_site() -> None:
    """`sprout-site-agent`: another name of `sprout site`."""
    sys.argv[1:1] = ["site"]
    run()
