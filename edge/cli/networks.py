"""`sprout networks`: where machines get addresses, and how DHCP answers them there."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, Final
from urllib.parse import unquote

import typer

from edge.cli import options, records, show
from edge.cli.client import Api, Told, api
from edge.cli.commands import Commands
from edge.cli.options import AtSite, NetworkName, OfSite, camel, labels

NETWORKS: Final = Commands("Networks of a site.")


def _pool(found: Mapping[str, Any]) -> str:
    return f"{found['poolStart']}-{found['poolEnd']}" if found["poolStart"] else ""


_COLUMNS: Final[show.Columns] = {
    "name": "name",
    "cidr": "cidr",
    "from": "rangeStart",
    "to": "rangeEnd",
    "dhcp": "dhcpMode",
    "pool": _pool,
    "purpose": "purpose",
    "id": "id",
}
_CLEARED: Final[Mapping[str, Any]] = {"domain": "", "loaders": {}}
NOTHING: Final = "-"
"""What is written for a value that is to be cleared."""


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _routes(pairs: list[str]) -> list[dict[str, str]]:
    found = []
    for text in pairs:
        to, equals, via = text.partition("=")
        if not equals:
            raise Told(f"--route {text!r}: want NETWORK=VIA, such as 10.9.0.0/16=10.77.0.2")
        found.append({"to": to.strip(), "via": via.strip()})
    return found


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "dns": _words,
    "ntp": _words,
    "search": _words,
    "routes": _routes,
    "loaders": partial(labels, option="--loader"),
}
"""Fields that are lists, and how each is read; all others are sent as they are."""


def _fields(**options: Any) -> dict[str, Any]:
    """Return what was given, as the body of a request; NOTHING clears."""
    found: dict[str, Any] = {}
    for field, value in options.items():
        if value in (None, "", []):
            continue
        name = camel(field)
        if value in (NOTHING, [NOTHING]):
            found[name] = _CLEARED.get(name, [] if name in _READ else None)
        else:
            found[name] = _READ[name](value) if name in _READ else value
    return found


_MODES: Final = (
    "How DHCP answers. reserved: machines of the inventory alone. full: leases from the pool to "
    "all others too. proxy: boot options beside another DHCP server, which gives the addresses. "
    "off: not a word."
)

Start = Annotated[str, typer.Option(help="First address for machines of the inventory.")]
End = Annotated[str, typer.Option(help="Last address for machines of the inventory.")]
Gateway = Annotated[str, typer.Option(help="The default router.")]
Dns = Annotated[str, typer.Option(help="DNS servers, between commas.")]
Ntp = Annotated[str, typer.Option(help="Time servers, between commas.")]
Domain = Annotated[str, typer.Option(help="Domain of the machines' names.")]
Search = Annotated[str, typer.Option(help="Domains that short names are looked up in.")]
Mtu = Annotated[int | None, typer.Option(help="Bytes of a packet at most; DHCP tells it.")]
BootUrl = Annotated[str, typer.Option(help="Boot HTTP; else the agent's own.")]
PoolStart = Annotated[str, typer.Option(help="First address for all others; see --dhcp-mode.")]
PoolEnd = Annotated[str, typer.Option(help="Last address for all others; see --dhcp-mode.")]
DhcpMode = Annotated[str, typer.Option(help=_MODES)]
Lease = Annotated[int | None, typer.Option(help="Seconds that a lease is given for.")]
Routes = Annotated[
    list[str] | None,
    typer.Option("--route", help="NETWORK=VIA, such as 10.9.0.0/16=10.77.0.2; may be repeated."),
]
Loader = Annotated[
    list[str] | None,
    typer.Option(help="KIND=LOADER, such as uefi-x64=shimx64.efi; may be repeated, - clears."),
]
Strangers = Annotated[
    bool | None,
    typer.Option(
        "--strangers-boot/--no-strangers-boot",
        help="With mode proxy: boot machines too that nobody entered.",
    ),
]
AnswerRs = Annotated[
    bool | None,
    typer.Option(
        "--answer-rs/--no-answer-rs",
        help="Answer IPv6 router solicitations with nothing, so that iPXE does not wait 16 s.",
    ),
]


@NETWORKS.command("create")
def create(
    site_id: AtSite,
    name: Annotated[str, typer.Option(help="For people.")],
    cidr: Annotated[str, typer.Option(help="Such as 10.77.0.0/24.")],
    range_start: Start,
    range_end: End,
    gateway: Gateway = "",
    dns: Dns = "",
    purpose: Annotated[str, typer.Option(help="Machines boot from provisioning alone.")] = (
        "provisioning"
    ),
    domain: Domain = "",
    boot_base_url: BootUrl = "",
    mtu: Mtu = None,
    pool_start: PoolStart = "",
    pool_end: PoolEnd = "",
    dhcp_mode: DhcpMode = "",
    ntp: Ntp = "",
    search: Search = "",
    route: Routes = None,
    lease_s: Lease = None,
    strangers_boot: Strangers = None,
    answer_rs: AnswerRs = None,
    loader: Loader = None,
) -> None:
    """Record a network; prints its id.

    DHCP for whoever comes: --dhcp-mode full --pool-start 10.77.0.100 --pool-end 10.77.0.199.
    Beside the DHCP server that is there: --dhcp-mode proxy.
    """
    client = api()
    fields = _fields(
        name=name,
        cidr=cidr,
        range_start=range_start,
        range_end=range_end,
        gateway=gateway,
        dns=dns,
        purpose=purpose,
        domain=domain,
        boot_base_url=boot_base_url,
        mtu=mtu,
        pool_start=pool_start,
        pool_end=pool_end,
        dhcp_mode=dhcp_mode,
        ntp=ntp,
        search=search,
        routes=route,
        lease_s=lease_s,
        strangers_boot=strangers_boot,
        answer_rs=answer_rs,
        loaders=loader,
    )
    body = {"siteId": options.site_id(client, site_id), **fields}
    answer = client.post("/v1/networks", body)
    show.made(answer, f"created network {answer['name']}")


@NETWORKS.command("update")
def update(
    network: NetworkName,
    site_id: OfSite = "",
    name: Annotated[str, typer.Option(help="For people.")] = "",
    range_start: Start = "",
    range_end: End = "",
    gateway: Gateway = "",
    dns: Dns = "",
    domain: Domain = "",
    boot_base_url: BootUrl = "",
    mtu: Mtu = None,
    pool_start: PoolStart = "",
    pool_end: PoolEnd = "",
    dhcp_mode: DhcpMode = "",
    ntp: Ntp = "",
    search: Search = "",
    route: Routes = None,
    lease_s: Lease = None,
    strangers_boot: Strangers = None,
    answer_rs: AnswerRs = None,
    loader: Loader = None,
) -> None:
    """Change a network, by id or name; what is not named stays, and - clears a value.

    The site's agents are told at once; whether they have it, sprout sites health SITE says.
    """
    client = api()
    found = _found(client, network, site_id)
    fields = _fields(
        name=name,
        range_start=range_start,
        range_end=range_end,
        gateway=gateway,
        dns=dns,
        domain=domain,
        boot_base_url=boot_base_url,
        mtu=mtu,
        pool_start=pool_start,
        pool_end=pool_end,
        dhcp_mode=dhcp_mode,
        ntp=ntp,
        search=search,
        routes=route,
        lease_s=lease_s,
        strangers_boot=strangers_boot,
        answer_rs=answer_rs,
        loaders=loader,
    )
    body = {"version": found["version"], **fields}
    answer, _ = client.call("PATCH", f"/v1/networks/{found['id']}", body=body)
    show.done(answer, f"network {answer['name']} is at version {answer['version']}")


def _found(client: Api, ref: str, site: str) -> dict[str, Any]:
    """Return the one network with this id or name.  Raises Told."""
    rows = client.items("/v1/networks", siteId=site)
    named = [row for row in rows if unquote(ref) in (row["id"], row["name"])]
    if len(named) != 1:
        which = "no network is" if not named else f"{len(named)} networks are"
        raise Told(
            f"{which} called {unquote(ref)}",
            "List them with: sprout networks list, or add --site-id.",
        )
    return named[0]


@NETWORKS.command("delete")
def delete(network: NetworkName, site_id: OfSite = "") -> None:
    """Forget a network, by id or name, that nothing has an address of."""
    found = _found(api(), network, site_id)
    records.delete("network", f"/v1/networks/{found['id']}")


@NETWORKS.command("list")
def listed(site_id: OfSite = "") -> None:
    """List networks."""
    show.rows(api().items("/v1/networks", siteId=site_id), _COLUMNS)


@NETWORKS.command("show")
def shown(network: NetworkName, site_id: OfSite = "") -> None:
    """Show one network, by id or name."""
    show.record(_found(api(), network, site_id))
