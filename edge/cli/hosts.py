"""`sprout hosts`: machines with a server type, which are rebuilt with Proxmox VE."""

from typing import Annotated, Any, Final

import typer

from edge.cli import follow, show, terminal
from edge.cli.client import Api, Told, api
from edge.cli.commands import Commands
from edge.cli.machines import Reason, Wait
from edge.cli.options import HostName, given
from edge.cli.verbs import Approved

HOSTS: Final = Commands("Machines with a server type, rebuilt with Proxmox VE.")

_COLUMNS: Final[show.Columns] = {
    "hostname": "hostname",
    "state": "state",
    "server type": "server_type",
    "mac": "mac",
    "ip": "ip",
    "image": "image",
    "id": "id",
}


@HOSTS.command("register")
def register(
    hostname: Annotated[str, typer.Option(help="Taken once, in any case of its letters.")],
    mac: Annotated[str, typer.Option(help="Of the network card that it boots from.")],
    server_type: Annotated[
        str, typer.Option(help="A key of the file of server types: its disk, its network card.")
    ],
) -> None:
    """Register a host, at the site of the settings or the only one; prints its id."""
    body = {"hostname": hostname, "mac": mac, "server_type": server_type}
    made = api().post("/api/hosts", body)
    show.made(made, f"registered {hostname}; next: sprout hosts rebuild {hostname} --wait")


@HOSTS.command("list")
def listed(
    search: Annotated[str, typer.Option(help="Part of a host name, MAC or address.")] = "",
) -> None:
    """List hosts, and where each stands."""
    show.rows(api().items("/api/hosts", search=search), _COLUMNS)


@HOSTS.command("show")
def shown(host: HostName) -> None:
    """Show one host, and what is done to it or was done last."""
    show.record(api().get(f"/api/hosts/{host}"), operation=_operation)


def _operation(operation: dict[str, Any]) -> str:
    waits = f": waits for {operation['party']}: {operation['expects']}" if operation["step"] else ""
    why = f": {operation['detail']}" if operation["detail"] else ""
    return f"{operation['kind']} {operation['state']}  {operation['id']}{waits}{why}"


@HOSTS.command("rebuild")
def rebuild(
    host: HostName, approval_id: Approved = "", reason: Reason = "", wait: Wait = False
) -> None:
    """Install Proxmox VE on a host: WIPES its disk.  Prints the operation's id.

    A host without a BMC is then to be powered on by you, and to boot from the network.
    """
    client = api()
    body = given({"reason": reason, "approval_id": approval_id})
    begun = client.post(f"/api/hosts/{host}/rebuild", body)
    if wait:
        _followed(client, host, begun)
    else:
        show.made(begun, f"promised; follow it with: sprout hosts watch {host}")


@HOSTS.command("watch")
def watch(host: HostName) -> None:
    """Show how what is done to a host goes, live on a terminal; status 1 when it fails.

    A connection that is lost is made again.
    """
    client = api()
    _followed(client, host, _newest(client, host))


@HOSTS.command("cancel")
def cancel(host: HostName, reason: Reason = "") -> None:
    """End what is done to a host; the host has failed then, and can be rebuilt."""
    client = api()
    operation = _newest(client, host)
    answer = client.post(f"/v1/workflows/{operation['id']}/cancel", given({"reason": reason}))
    show.done(answer, f"cancelled {operation['kind']} of {host}")


@HOSTS.command("delete")
def delete(host: HostName) -> None:
    """Forget a host that nothing is done to, and on which nothing runs."""
    answer, _ = api().call("DELETE", f"/api/hosts/{host}")
    show.done(answer, f"deleted host {answer['hostname']}")


def _newest(client: Api, host: str) -> dict[str, Any]:
    """Return what is done to *host*, or was done last.  Raises Told."""
    operation: dict[str, Any] | None = client.get(f"/api/hosts/{host}")["operation"]
    if operation is None:
        raise Told(
            f"nothing was asked of {host} yet", f"Install it with: sprout hosts rebuild {host}"
        )
    return operation


def _followed(client: Api, host: str, operation: dict[str, Any]) -> None:
    """Follow *operation* to its end, and show where *host* stands then.  Raises Told."""
    if not show.for_programs():
        terminal.out(operation["id"])
    follow.workflow(client, operation["id"])
    found = client.get(f"/api/hosts/{host}")
    if show.for_programs():
        show.data(found)
    else:
        terminal.tell(f"{found['hostname']} is {found['state']}, at {found['ip'] or 'no address'}")
