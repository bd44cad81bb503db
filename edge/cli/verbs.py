"""`sprout machines VERB`: what is asked of machines; each prints the id of its workflow."""

from typing import Annotated, Any, Final

import typer

from edge.cli import follow, options, remote, show, terminal
from edge.cli.client import Api, Told, api
from edge.cli.completing import words
from edge.cli.machines import MACHINES, Reason, Wait
from edge.cli.options import (
    AtSite,
    ImageRef,
    MachineName,
    NetworkRef,
    ProfileRef,
    given,
    is_id,
    labels,
)

VERBS: Final = MACHINES
"""The same, with what is asked of machines."""

Approved = Annotated[
    str, typer.Option("--approval-id", help="The approval that it rests on, where one is needed.")
]


def _ask(machine: str, verb: str, body: dict[str, Any], *, wait: bool) -> None:
    client = api()
    flow = asked(client, machine, verb, body)
    identifier = flow["id"]
    if not wait:
        show.made(flow, f"promised; follow it with: sprout workflows watch {identifier}")
    elif show.for_programs():
        show.data(follow.workflow(client, identifier))
    else:
        terminal.out(identifier)
        follow.workflow(client, identifier)


def _why(reason: str, approval_id: str) -> dict[str, Any]:
    return {"reason": reason, "approvalId": approval_id}


def ask(client: Api, machine: str, verb: str, body: dict[str, Any]) -> str:
    """Ask for *verb*; return the id of its workflow."""
    return str(asked(client, machine, verb, body)["id"])


def asked(client: Api, machine: str, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for *verb*; return its workflow."""
    found: dict[str, Any] = client.post(f"/v1/machines/{machine}/{verb}", given(body))
    return found


@MACHINES.command("commission")
def commission(
    machine: MachineName,
    inventory: Annotated[
        str,
        typer.Option(
            help="bmc: of its BMC alone; image: it boots the inventory image too; auto.",
            autocompletion=words("auto", "bmc", "image"),
        ),
    ] = "",
    approval_id: Approved = "",
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """Take inventory by its BMC, and by itself where it can boot; it becomes available.

    By the inventory image it is powered off and on, and tested for a moment; no disk is written to.
    """
    body = {"inventory": inventory, **_why(reason, approval_id)}
    _ask(machine, "commission", body, wait=wait)


@MACHINES.command("provision")
def provision(
    machine: MachineName,
    image_ref: ImageRef,
    profile_ref: ProfileRef,
    network_id: NetworkRef = "",
    approval_id: Approved = "",
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """Install an operating system: WIPES the machine's root disk.

    Without --network-id on the site's only network for provisioning.
    """
    body = {
        "imageRef": image_ref,
        "profileRef": profile_ref,
        "networkId": _network_id(machine, network_id),
        **_why(reason, approval_id),
    }
    _ask(machine, "provision", body, wait=wait)


def _network_id(machine: str, network: str) -> str:
    """Return the id of the *network* of the machine's site, given its id or name."""
    if not network or is_id(network):
        return network
    client = api()
    site = client.get(f"/v1/machines/{machine}")["siteId"]
    rows = client.items("/v1/networks", siteId=site)
    named = [str(row["id"]) for row in rows if row["name"] == network]
    if not named:
        known = ", ".join(str(row["name"]) for row in rows)
        raise Told(f"the machine's site has no network {network}", f"It has: {known or 'none'}.")
    return named[0]


@MACHINES.command("boot-source")
def boot_source(
    machine: MachineName,
    boot_source: Annotated[
        str,
        typer.Option(
            help="pxe, disk, cd, http or bios; none takes it back.",
            autocompletion=words("pxe", "disk", "cd", "http", "bios", "none"),
        ),
    ],
    persistent: Annotated[bool, typer.Option("--persistent", help="Not only once.")] = False,
    http_boot_uri: Annotated[
        str, typer.Option(help="What UEFI fetches, with http; else what DHCP says.")
    ] = "",
    approval_id: Approved = "",
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """Set what it boots from next."""
    body = {
        "bootSource": boot_source,
        "persistent": persistent or None,
        "httpBootUri": http_boot_uri,
        **_why(reason, approval_id),
    }
    _ask(machine, "boot-source", body, wait=wait)


@MACHINES.command("reprovision")
def reprovision(
    machine: MachineName,
    image_ref: ImageRef = "",
    profile_ref: ProfileRef = "",
    network_id: NetworkRef = "",
    approval_id: Approved = "",
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """Install an active machine anew: WIPES its root disk.

    What is not named stays: image, profile, network.
    """
    body = {
        "imageRef": image_ref,
        "profileRef": profile_ref,
        "networkId": _network_id(machine, network_id),
        **_why(reason, approval_id),
    }
    _ask(machine, "reprovision", body, wait=wait)


@MACHINES.command("image")
def image(
    machine: MachineName,
    media_url: Annotated[str, typer.Option(help="Where its BMC fetches the media.")] = "",
    boot_source: Annotated[str, typer.Option(help="virtual-media.")] = "virtual-media",
    eject: Annotated[bool, typer.Option("--eject", help="Take out what is inserted.")] = False,
    approval_id: Approved = "",
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """Insert an image as virtual media, and boot from it next; or eject it."""
    what = {"mediaUrl": media_url, "bootSource": boot_source, "eject": eject or None}
    _ask(machine, "image", what | _why(reason, approval_id), wait=wait)


@MACHINES.command("remote-task")
def remote_task(
    machine: MachineName,
    command: Annotated[str, typer.Option(help="A program and its words; no shell reads it.")],
    time_limit_s: Annotated[int | None, typer.Option(help="Seconds that it may take.")] = None,
    approval_id: Approved = "",
    reason: Reason = "",
    followed: Annotated[
        bool, typer.Option("--follow", help="Print what it says, while it says it.")
    ] = False,
    wait: Wait = False,
) -> None:
    """Run a command of the site's list on its system, as root; what it says is evidence."""
    body = {"command": command, "timeLimitS": time_limit_s, **_why(reason, approval_id)}
    if followed:
        client = api()
        remote.followed(client, ask(client, machine, "remote-task", body))
    else:
        _ask(machine, "remote-task", body, wait=wait)


@MACHINES.command("release")
def release(
    machine: MachineName,
    wipe: Annotated[
        str,
        typer.Option(
            help="signatures, which is no full wipe, or none.",
            autocompletion=words("signatures", "none"),
        ),
    ] = "",
    disks: Annotated[
        str, typer.Option(help="all, or root.", autocompletion=words("all", "root"))
    ] = "",
    approval_id: Approved = "",
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """WIPES its disks' partition tables, switches it off, frees its address."""
    _ask(machine, "release", {"wipe": wipe, "disks": disks} | _why(reason, approval_id), wait=wait)


def _plain(verb: str, words: str) -> None:
    """Add a verb that has no parameters of its own."""

    def asked(
        machine: MachineName, approval_id: Approved = "", reason: Reason = "", wait: Wait = False
    ) -> None:
        _ask(machine, verb, _why(reason, approval_id), wait=wait)

    MACHINES.command(verb, help=words)(asked)


for _verb, _words in {
    "power-on": "Switch it on; on already is no error.",
    "power-off": "Switch it off; off already is no error.",
    "reboot": "Switch it off, then on.",
    "retire": "Take it out of use for good.",
    "maintenance": "Put it into maintenance.",
    "resume": "Bring it back from maintenance.",
    "clear": "Say that what failed is mended.",
    "deallocate": "Give an allocated machine back.",
}.items():
    _plain(_verb, _words)


@MACHINES.command("allocate")
def allocate(
    site_id: AtSite,
    count: Annotated[int, typer.Option(help="So many, or none.")] = 1,
    label: Annotated[list[str] | None, typer.Option(help="name=value; all must match.")] = None,
    architecture: Annotated[str, typer.Option()] = "",
    min_memory_mib: Annotated[int | None, typer.Option()] = None,
    min_disk_bytes: Annotated[int | None, typer.Option(help="Of the largest disk.")] = None,
    reason: Reason = "",
) -> None:
    """Hand out machines that are free, all or none."""
    client = api()
    body = {
        "siteId": options.site_id(client, site_id),
        "count": count,
        "labels": labels(label or []),
        "architecture": architecture,
        "minMemoryMib": min_memory_mib,
        "minDiskBytes": min_disk_bytes,
        "reason": reason,
    }
    found = client.post("/v1/machines/allocate", given(body))["items"]
    show.rows(found, {"hostname": "hostname", "state": "state", "id": "id"})
