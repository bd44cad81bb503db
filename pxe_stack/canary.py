"""The canary: plays firmware against the site that serves here, and says what a machine would meet.

It is a client as any other, and takes nothing: no lease, no discovery, no row of a timeline.  Runs
in a process of its own, which ends: scapy is large.
"""

import http.client
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from models.bootnet import Mode
from pxe_stack import canary_dhcp, canary_dns, canary_mark, firmware, tftp_client
from pxe_stack.boot_entry import BY_MAC
from pxe_stack.canary_clients import CLIENTS, PROXY, Client
from pxe_stack.canary_dhcp import Heard
from pxe_stack.canary_dns import Names
from pxe_stack.canary_findings import Finding, Foreign, Level, Report
from pxe_stack.packets import SERVER_PORT

__all__ = ["Finding", "Foreign", "Level", "Report", "Target", "check"]

TIMEOUT_S: Final = 2
LARGEST: Final = 64 * 1024 * 1024
_SCRIPT: Final = b"#!ipxe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The site as it serves: None where a service is off; *mode* is of its own network, if told."""

    key: bytes = field(repr=False)
    boot_url: str
    interface: str | None = None
    address: str | None = None
    dhcp_port: int = SERVER_PORT
    tftp_address: str | None = None
    tftp_port: int = 69
    mode: Mode | None = None
    names: Names | None = None


class Unserved(Exception):
    """What a machine would have fetched did not come; says why."""


def check(target: Target, listen_s: float = canary_dhcp.LISTEN_S) -> Report:
    """Play every client against *target*.  Raises OSError where this process may not."""
    began = time.monotonic()
    heard = _asked(target, listen_s)
    findings = [_fetched("http", "health", f"{target.boot_url}/healthz", target, needed=True)]
    for client in CLIENTS:
        findings += _played(client, [each for each in heard if each.client == client.name], target)
    if target.interface and target.address and target.dhcp_port == SERVER_PORT:
        findings += _proxied(target, target.interface, target.address)
    if target.names is not None:
        findings += canary_dns.check(target.names, target.boot_url)
    foreign = _foreign(heard)
    if target.interface:
        findings += _of_servers(foreign, target.mode)
    seconds = time.monotonic() - began
    return Report(findings=findings, foreign=foreign, seconds=seconds)


def _asked(target: Target, listen_s: float) -> list[Heard]:
    if target.interface is None:
        return []
    return canary_dhcp.discover(
        target.key,
        CLIENTS,
        interface=target.interface,
        port=target.dhcp_port,
        listen_s=listen_s,
    )


def _played(client: Client, heard: Sequence[Heard], target: Target) -> list[Finding]:
    if target.interface is None:
        usual = _usual(client, target)
        unserved = client.ipxe or not ("://" in usual or target.tftp_address)
        return [] if unserved else [_loaded(client, usual, "", target)]
    ours = [each for each in heard if each.ours and each.server == target.address]
    if target.mode is Mode.OFF:
        level = Level.FAILED if ours else Level.OK
        return [Finding(client.name, "offer", level, "DHCP is off on this network")]
    if not ours:
        return [Finding(client.name, "offer", Level.FAILED, "nobody of this site has answered")]
    offer = ours[0]
    named = offer.file or "nothing to start"
    address = offer.address or "no address"
    told = Finding(
        client.name,
        "offer",
        Level.OK if offer.file else Level.FAILED,
        f"{address} from {offer.server}, {named}",
    )
    if not offer.file:
        return [told]
    loaded = _loaded(client, offer.file, offer.next_server, target)
    return [told, loaded, *_staged(client, offer.file, offer.next_server, target)]


def _staged(client: Client, file: str, next_server: str, target: Target) -> list[Finding]:
    """Fetch what a signed first stage asks for next, and what a GRUB asks for then."""
    folder, slash, first = file.rpartition("/")
    second = firmware.SECOND.get(first)
    if client.ipxe or second is None:
        return []
    server = f"tftp://{next_server or target.tftp_address}:{target.tftp_port}"
    url = f"{folder}{slash}{second}" if slash else f"{server}/{second}"
    found = [_fetched(client.name, "second stage", url, target, needed=client.needed)]
    if second.startswith("grub"):
        menu = f"{target.boot_url if slash else server}/grub/{BY_MAC}{client.mac}"
        found.append(_fetched(client.name, "script", menu, target, needed=client.needed))
    return found


def _usual(client: Client, target: Target) -> str:
    """Return what a DHCP server of somebody else is told to name for *client*."""
    row = firmware.ARCHITECTURES[client.architecture]
    return f"{target.boot_url}/loaders/{row.loader}" if row.http else row.loader


def _loaded(client: Client, file: str, next_server: str, target: Target) -> Finding:
    if client.ipxe:
        return _fetched(client.name, "script", file, target, needed=True, begins=_SCRIPT)
    server = next_server or target.tftp_address
    if "://" not in file:
        file = f"tftp://{server}:{target.tftp_port}/{file}"
    return _fetched(client.name, "loader", file, target, needed=client.needed)


def _fetched(
    client: str, what: str, url: str, target: Target, *, needed: bool, begins: bytes = b""
) -> Finding:
    began = time.monotonic()
    try:
        body = fetch(url)
    except Unserved as exc:
        return Finding(client, what, Level.FAILED if needed else Level.WARNING, f"{url}: {exc}")
    if not (body and body.startswith(begins)):
        return Finding(client, what, Level.FAILED, f"{url} begins with {body[:20]!r}")
    ms = (time.monotonic() - began) * 1000
    return Finding(client, what, Level.OK, f"{url}: {len(body):,} bytes in {ms:.0f} ms")


def _proxied(target: Target, interface: str, address: str) -> list[Finding]:
    if target.mode is Mode.OFF:
        return []
    heard = canary_dhcp.at_4011(target.key, PROXY, interface=interface, address=address)
    if heard is None or not heard.ours or not heard.file:
        return [Finding(PROXY.name, "port 4011", Level.FAILED, "no answer with a file to start")]
    told = Finding(PROXY.name, "port 4011", Level.OK, f"{heard.file} from {heard.server}")
    return [told, _loaded(PROXY, heard.file, heard.next_server, target)]


def _foreign(heard: Iterable[Heard]) -> list[Foreign]:
    found: dict[tuple[str, str], Foreign] = {}
    for each in heard:
        if not each.ours:
            told = Foreign(each.server, each.mac, each.address, each.file)
            before = found.get((each.server, each.mac))
            found[each.server, each.mac] = told if before is None or told.file else before
    return list(found.values())


def _of_servers(foreign: Sequence[Foreign], mode: Mode | None) -> list[Finding]:
    """Judge who else answers: in mode proxy there should be one, that gives addresses."""
    if not foreign and mode is Mode.PROXY:
        detail = "no other DHCP server gives machines their addresses"
        return [Finding("all", "servers", Level.WARNING, detail)]
    if not foreign:
        return [Finding("all", "servers", Level.OK, "no foreign DHCP server answers")]
    return [_of_server(each, mode) for each in foreign]


def _of_server(each: Foreign, mode: Mode | None) -> Finding:
    who = f"DHCP server {each.address} at {each.mac}"
    if each.file:
        return Finding(
            "all", "servers", Level.WARNING, f"foreign {who} has machines start {each.file}"
        )
    if mode is Mode.PROXY:
        return Finding("all", "servers", Level.OK, f"{who} gives addresses")
    return Finding("all", "servers", Level.WARNING, f"foreign {who} offers {each.offered}")


def fetch(url: str) -> bytes:
    """Return what is at the tftp: or http: *url*.  Raises Unserved."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "tftp":
            name, port = parts.path.removeprefix("/"), parts.port or 69
            return tftp_client.fetch(parts.hostname or "", port, name, TIMEOUT_S)
        return _get(parts.hostname or "", parts.port or 80, parts.path)
    except (tftp_client.Unfetched, OSError, ValueError, http.client.HTTPException) as exc:
        raise Unserved(str(exc) or type(exc).__name__) from exc


def _get(host: str, port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path or "/", headers={"User-Agent": canary_mark.AGENT})
        answer = connection.getresponse()
        body = answer.read(LARGEST)
        if answer.status != http.client.OK:
            raise Unserved(f"{answer.status} {answer.reason}")
        return body
    finally:
        connection.close()
