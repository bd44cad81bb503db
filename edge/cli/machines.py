"""`sprout machines`: register them, and ask them to do things."""

from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

import click
import typer

from edge.cli import follow, show
from edge.cli.client import Api, Told, api
from edge.cli.options import Named, OfSite, given, labels, pairs
from edge.cli.show import AsJson

MACHINES: Final = typer.Typer(help="Physical machines.", no_args_is_help=True)

_INTERFACE: Final = {
    "id": "id",
    "name": "name",
    "macAddress": "macAddress",
    "pxeEnabled": "pxeEnabled",
    "networkName": "networkName",
}
_BMC: Final = {
    "protocol": "protocol",
    "address": "address",
    "system": "system",
    "username": "username",
    "secretRef": "secretRef",
    "verifyTls": "verifyTls",
}
_DISK: Final = {"serial": "serial", "wwn": "wwn", "minBytes": "minBytes"}

BMC: Final = "address=,username=,secretRef=,system="
DISK: Final = "serial=,wwn=,minBytes="

Reason = Annotated[str, typer.Option(help="Why; kept in the audit.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it to its end.")]


@MACHINES.command("create")
def create(
    site_id: Annotated[str, typer.Option(help="Id or slug of the site.")],
    hostname: Annotated[str, typer.Option()],
    architecture: Annotated[str, typer.Option()] = "x86_64",
    interface: Annotated[
        list[str] | None, typer.Option(help="name=,macAddress=,pxeEnabled=,networkName=")
    ] = None,
    bmc: Annotated[str, typer.Option(help=BMC)] = "",
    root_disk: Annotated[str, typer.Option(help=DISK)] = "",
    label: Annotated[list[str] | None, typer.Option(help="name=value")] = None,
    memory_mib: Annotated[int | None, typer.Option()] = None,
    disk_bytes: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Register a machine; prints its id."""
    client = api()
    body = {
        "siteId": client.get(f"/v1/sites/{quote(site_id, safe='')}")["id"],
        "hostname": hostname,
        "architecture": architecture,
        "interfaces": [pairs(text, _INTERFACE, "--interface") for text in interface or []],
        **described(bmc=bmc, root_disk=root_disk, label=label or []),
        "memoryMib": memory_mib,
        "diskBytes": disk_bytes,
    }
    for number, made in enumerate(body["interfaces"]):
        made.setdefault("name", made.get("id", f"eth{number}"))
    answer = client.post("/v1/machines", given(body))
    click.echo(answer["id"])
    click.echo(f"registered {hostname}", err=True)


def described(*, bmc: str, root_disk: str, label: list[str]) -> dict[str, Any]:
    """Return labels, BMC and root disk as a body has them.  Raises Told."""
    disk = pairs(root_disk, _DISK, "--root-disk")
    if "minBytes" in disk:
        disk["minBytes"] = int(disk["minBytes"])
    board = pairs(bmc, _BMC, "--bmc")
    return {
        "labels": labels(label),
        "bmc": {"protocol": "redfish"} | board if board else None,
        "rootDisk": disk,
    }


@MACHINES.command("list")
def listed(
    state: Annotated[str, typer.Option(help="Only this state.")] = "",
    search: Annotated[str, typer.Option(help="Part of a host name or MAC.")] = "",
    site_id: OfSite = "",
    as_json: AsJson = False,
) -> None:
    """List machines."""
    columns = {
        "hostname": "hostname",
        "state": "state",
        "phase": "phase",
        "power": "power",
        "address": "address",
        "image": "imageRef",
        "id": "id",
    }
    found = api().items("/v1/machines", state=state, search=search, siteId=site_id)
    show.rows(found, columns, as_json=as_json)


@MACHINES.command("show")
def shown(machine: Named, as_json: AsJson = False) -> None:
    """Show one machine, by host name or id."""
    show.record(api().get(f"/v1/machines/{machine}"), as_json=as_json)


@MACHINES.command("timeline")
def timeline(machine: Named, as_json: AsJson = False) -> None:
    """Show what was seen of a machine, and when."""
    columns = {"at": "at", "source": "source", "kind": "kind", "data": "data"}
    show.rows(api().items(f"/v1/machines/{machine}/timeline"), columns, as_json=as_json)


@MACHINES.command("evidence")
def evidence(
    machine: Named,
    name: Annotated[str, typer.Argument(help="Its name or SHA-256: print what it holds.")] = "",
    as_json: AsJson = False,
) -> None:
    """List what tasks of a machine brought up, or print the newest of a name."""
    found = api().items(f"/v1/machines/{machine}/evidence")
    if not name:
        columns = {each: each for each in ("at", "name", "size", "sha256")}
        show.rows(found, columns, as_json=as_json)
        return
    named = next((each for each in found if name in {each["name"], each["sha256"]}), None)
    if named is None:
        known = ", ".join(sorted({each["name"] for each in found}))
        raise Told(f"{machine} has no evidence {name}", f"It has: {known or 'none'}.")
    for piece in api().content(named["url"]):
        click.echo(piece, nl=False)


def _ask(machine: str, verb: str, body: dict[str, Any], *, wait: bool) -> None:
    client = api()
    identifier = ask(client, machine, verb, body)
    click.echo(identifier)
    if wait:
        follow.workflow(client, identifier)
    else:
        click.echo(f"promised; follow it with: sprout workflows events {identifier}", err=True)


def ask(client: Api, machine: str, verb: str, body: dict[str, Any]) -> str:
    """Ask for *verb*; return the id of its workflow."""
    path = f"/v1/machines/{machine}/{verb}"
    _, headers = client.call("POST", path, body=given(body))
    return str(headers["Location"]).rpartition("/")[2]


@MACHINES.command("commission")
def commission(machine: Named, reason: Reason = "", wait: Wait = False) -> None:
    """Take the BMC's inventory; the machine becomes available."""
    _ask(machine, "commission", {"reason": reason}, wait=wait)


@MACHINES.command("provision")
def provision(
    machine: Named,
    image_ref: Annotated[str, typer.Option()],
    profile_ref: Annotated[str, typer.Option()],
    network_id: Annotated[str, typer.Option(help="Id or name; else the site's only one.")] = "",
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """Install an operating system: WIPES the machine's root disk."""
    body = {
        "imageRef": image_ref,
        "profileRef": profile_ref,
        "networkId": _network_id(machine, network_id),
        "reason": reason,
    }
    _ask(machine, "provision", body, wait=wait)


def _network_id(machine: str, network: str) -> str:
    """Return the id of the *network* of the machine's site, given its id or name."""
    if not network or _is_id(network):
        return network
    client = api()
    site = client.get(f"/v1/machines/{machine}")["siteId"]
    rows = client.items("/v1/networks", siteId=site)
    named = [str(row["id"]) for row in rows if row["name"] == network]
    if not named:
        known = ", ".join(str(row["name"]) for row in rows)
        raise Told(f"the machine's site has no network {network}", f"It has: {known or 'none'}.")
    return named[0]


def _is_id(word: str) -> bool:
    try:
        UUID(word)
    except ValueError:
        return False
    return True


@MACHINES.command("power-on")
def power_on(machine: Named, reason: Reason = "", wait: Wait = False) -> None:
    """Switch it on; on already is no error."""
    _ask(machine, "power-on", {"reason": reason}, wait=wait)


@MACHINES.command("power-off")
def power_off(machine: Named, reason: Reason = "", wait: Wait = False) -> None:
    """Switch it off; off already is no error."""
    _ask(machine, "power-off", {"reason": reason}, wait=wait)


@MACHINES.command("reboot")
def reboot(machine: Named, reason: Reason = "", wait: Wait = False) -> None:
    """Switch it off, then on."""
    _ask(machine, "reboot", {"reason": reason}, wait=wait)


@MACHINES.command("boot-source")
def boot_source(
    machine: Named,
    boot_source: Annotated[str, typer.Option(help="pxe, disk, cd, http or bios.")],
    persistent: Annotated[bool, typer.Option("--persistent", help="Not only once.")] = False,
    reason: Reason = "",
    wait: Wait = False,
) -> None:
    """Set what it boots from next."""
    body = {"bootSource": boot_source, "persistent": persistent or None, "reason": reason}
    _ask(machine, "boot-source", body, wait=wait)
