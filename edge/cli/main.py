"""`sprout`: every workflow from the command line.  Results on stdout, all else on stderr."""

import config.lean  # noqa: F401 - before structlog, which it keeps small

# isort: split

import os
import sys
from typing import Final

import typer

from edge.cli import completing
from edge.cli.client import EXIT_CODES, Told
from edge.cli.commands import PLAIN, Catalogue, Entry, lazy

_WORDS: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""What follows the machine is the remote command's, dashes too."""

CATALOGUE: Final[Catalogue] = {
    "Machines": {
        "machines": Entry("edge.cli.verbs:VERBS", "Register machines, and ask things of them."),
        "hosts": Entry("edge.cli.hosts:HOSTS", "Those that are rebuilt with Proxmox VE."),
        "why": Entry("edge.cli.workflows:why", "Say what a machine waits for, and from whom."),
        "wait": Entry("edge.cli.waiting:WAIT", "Wait for a state, an end or an approval."),
        "workflows": Entry("edge.cli.workflows:WORKFLOWS", "What was asked, and how it goes."),
        "discoveries": Entry("edge.cli.discoveries:DISCOVERIES", "Machines that nobody entered."),
        "ip-allocations": Entry("edge.cli.workflows:ALLOCATIONS", "Addresses of machines."),
        "events": Entry("edge.cli.events:EVENTS", "What happens to machines; live streams."),
        "ssh": Entry(
            "edge.cli.processes:ssh", "Open a shell on a machine.", raw=True, settings=_WORDS
        ),
    },
    "Before machines": {
        "sites": Entry("edge.cli.sites:SITES", "Places where machines stand."),
        "networks": Entry("edge.cli.networks:NETWORKS", "Where they get addresses."),
        "artifacts": Entry("edge.cli.inventory:ARTIFACTS", "Where files of images lie."),
        "images": Entry("edge.cli.inventory:IMAGES", "Operating systems."),
        "isos": Entry("edge.cli.isos:ISOS", "ISOs of Proxmox VE, made images."),
        "profiles": Entry("edge.cli.inventory:PROFILES", "What an installed machine is told."),
        "sync-jobs": Entry("edge.cli.jobs:SYNC_JOBS", "Files brought to sites ahead of use."),
        "integration-jobs": Entry("edge.cli.jobs:INTEGRATION_JOBS", "What sites exchange."),
    },
    "Who may, and who did": {
        "day2-actions": Entry("edge.cli.day2:ACTIONS", "What can be asked of machines."),
        "approvals": Entry("edge.cli.day2:APPROVALS", "A person's word for one action."),
        "action-executions": Entry("edge.cli.day2:EXECUTIONS", "What was done on machines."),
        "policy-decisions": Entry("edge.cli.day2:DECISIONS", "How requests were judged."),
        "policy": Entry("edge.cli.policy:POLICY", "Try requests on a policy file."),
        "audit": Entry("edge.cli.audit:AUDIT", "Who asked for what; was it changed since?"),
        "tokens": Entry("edge.cli.tokens:TOKENS", "What programs show at the API."),
        "login": Entry("edge.cli.login:login", "Log in by a browser, at the issuer."),
        "logout": Entry("edge.cli.login:logout", "Log out."),
        "whoami": Entry("edge.cli.login:whoami", "Who you are here, and what you may."),
        "login-url": Entry("edge.cli.processes:login_url", "Let a browser in, once."),
        "hash-password": Entry("edge.cli.processes:hash_password", "For the admin's password."),
    },
    "Running Sprout": {
        "up": Entry("edge.cli.processes:up", "Run all of it on this machine.", raw=True),
        "edge": Entry("edge.cli.processes:edge", "Run the edge: API and pages.", raw=True),
        "control": Entry("edge.cli.processes:control", "Run a control process.", raw=True),
        "site": Entry("edge.cli.processes:SITE", "Run a site, or check the one that runs."),
        "check-config": Entry(
            "edge.cli.check_config:check_config", "Say what is wrong in a file of settings."
        ),
        "rack": Entry("edge.cli.processes:RACK", "Virtual machines with BMCs, for rehearsal."),
        "providers": Entry(
            "edge.cli.providers:PROVIDERS", "Other systems that hold addresses and names."
        ),
        "actors": Entry("edge.cli.queues:actors", "Who answers to messages."),
        "dead-letters": Entry(
            "edge.cli.queues:DEAD_LETTERS", "Messages that nobody could work on."
        ),
        "openapi": Entry("edge.cli.about:openapi", "Print the contract of the API, as JSON."),
        "completion": Entry(
            "edge.cli.completing:completion", "Complete words and names in a shell.", raw=True
        ),
        "version": Entry("edge.cli.about:version", "Print the version."),
    },
}
"""Every command; where it is, and what it is for."""

APP: Final = typer.Typer(
    cls=lazy(CATALOGUE),
    help="Bare metal from the first DHCPDISCOVER to a running, audited host.",
    epilog="Exit status: " + ", ".join(f"{n} {words}" for n, words in EXIT_CODES.items()) + ".",
    pretty_exceptions_enable=False,
    **PLAIN,
)


@APP.callback()
def sprout() -> None:
    """Say nothing of its own: the words are the catalogue's."""


def run() -> None:
    """`sprout`, also called `sprout-cli`."""
    try:
        completing.answer()
        APP()
    except Told as exc:
        exc.show()
        sys.exit(exc.status)
    except BrokenPipeError:
        # Whoever read has seen enough; nothing is left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_edge() -> None:
    """`sprout-api`: another name of `sprout edge`."""
    sys.argv[1:1] = ["edge"]
    run()


def run_site() -> None:
    """`sprout-site-agent`: another name of `sprout site`."""
    sys.argv[1:1] = ["site"]
    run()
