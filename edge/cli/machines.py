"""`sprout machines`: register them, and ask them to do things."""

from typing import Annotated, Any, Final

import typer

from edge.cli import options, records, show, terminal
from edge.cli.client import Told, api
from edge.cli.commands import Commands
from edge.cli.completing import states
from edge.cli.options import AtSite, MachineName, OfSite, given, labels, pairs
from models.differences import sentence

MACHINES: Final = Commands("Physical machines.")

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

BMC: Final = "protocol=,address=,username=,secretRef=,system="
DISK: Final = "serial=,wwn=,minBytes="

Reason = Annotated[str, typer.Option(help="Why; kept in the audit.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it to its end.")]


@MACHINES.command("create")
def create(
    site_id: AtSite,
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
    body = {
        "hostname": hostname,
        "architecture": architecture,
        "interfaces": _interfaces(interface or []),
        **described(bmc=bmc, root_disk=root_disk, label=label or []),
        "memoryMib": memory_mib,
        "diskBytes": disk_bytes,
    }
    client = api()
    site = options.site_id(client, site_id)
    answer = client.post("/v1/machines", {"siteId": site, **given(body)})
    show.made(answer, f"registered {hostname}; next: sprout machines commission {hostname}")


def _interfaces(words: list[str]) -> list[dict[str, Any]]:
    made = [pairs(text, _INTERFACE, "--interface") for text in words]
    return [{"name": each.get("id", f"eth{number}")} | each for number, each in enumerate(made)]


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
    state: Annotated[str, typer.Option(help="Only this state.", autocompletion=states)] = "",
    search: Annotated[str, typer.Option(help="Part of a host name or MAC.")] = "",
    site_id: OfSite = "",
    architecture: Annotated[str, typer.Option(help="x86_64 or arm64.")] = "",
    label: Annotated[list[str] | None, typer.Option(help="name=value; all must match.")] = None,
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
    query = {"state": state, "search": search, "siteId": site_id, "architecture": architecture}
    show.rows(api().items("/v1/machines", **query, label=label or ""), columns)


@MACHINES.command("show")
def shown(machine: MachineName) -> None:
    """Show one machine, by host name or id."""
    found = api().get(f"/v1/machines/{machine}")
    show.record(found, workflow=_flow, differences=_differences)


def _differences(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['severity']}: {sentence(row)}" for row in rows]


def _flow(flow: dict[str, Any]) -> str:
    return f"{flow['kind']} {flow['state']}  {flow['id']}"


@MACHINES.command("timeline")
def timeline(machine: MachineName) -> None:
    """Show what was seen of a machine, and when."""
    columns = {"at": "at", "source": "source", "kind": "kind", "data": "data"}
    show.rows(api().items(f"/v1/machines/{machine}/timeline"), columns)


@MACHINES.command("evidence")
def evidence(
    machine: MachineName,
    name: Annotated[str, typer.Argument(help="Its name or SHA-256: print what it holds.")] = "",
) -> None:
    """List what tasks of a machine brought up, or print the newest of a name."""
    found = api().items(f"/v1/machines/{machine}/evidence")
    if not name:
        columns = {each: each for each in ("at", "name", "size", "sha256")}
        show.rows(found, columns)
        return
    named = next((each for each in found if name in {each["name"], each["sha256"]}), None)
    if named is None:
        known = ", ".join(sorted({each["name"] for each in found}))
        raise Told(f"{machine} has no evidence {name}", f"It has: {known or 'none'}.")
    for piece in api().content(named["url"]):
        terminal.content(piece)


@MACHINES.command("update")
def update(
    machine: MachineName,
    interface: Annotated[
        list[str] | None, typer.Option(help="All of them: name=,macAddress=,pxeEnabled=")
    ] = None,
    bmc: Annotated[str, typer.Option(help=BMC)] = "",
    root_disk: Annotated[str, typer.Option(help=DISK)] = "",
    label: Annotated[list[str] | None, typer.Option(help="name=value; all of them.")] = None,
    loader: Annotated[
        list[str] | None, typer.Option(help="KIND=LOADER, such as uefi-x64=shimx64.efi.")
    ] = None,
    memory_mib: Annotated[int | None, typer.Option()] = None,
    disk_bytes: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Change what was entered of a machine; what is not named stays."""
    body = {
        **described(bmc=bmc, root_disk=root_disk, label=label or []),
        "loaders": labels(loader or [], "--loader"),
        "interfaces": _interfaces(interface or []),
        "memoryMib": memory_mib,
        "diskBytes": disk_bytes,
    }
    answer = api().call("PATCH", f"/v1/machines/{machine}", body=given(body))[0]
    show.made(answer, f"changed {answer['hostname']}: version {answer['version']}")


@MACHINES.command("delete")
def delete(machine: MachineName) -> None:
    """Forget a machine that was never used, or is retired."""
    records.delete("machine", f"/v1/machines/{machine}")
