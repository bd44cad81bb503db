"""The three ways between a rack's machines and a site, as network namespaces."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path

from deploy.rack import bridge, netns
from deploy.rack.rack import Rack
from models.bootnet import Mode
from tests.services import process
from tests.services.neighbour import INTERFACE, neighbour, space

GATEWAY, FOREIGN = "10.77.0.1", "10.77.0.2"
FAR, NEAR = "10.66.0.1", "10.66.0.2"
POOL = (IPv4Address("10.77.0.100"), IPv4Address("10.77.0.199"))


class Way(StrEnum):
    """Where addresses come from, and what lies between."""

    FULL = "full"
    PROXY = "proxy"
    """dnsmasq gives addresses, the site says what to boot."""
    RELAY = "relay"
    """The site is on another network, behind ISC's relay, and leases to nobody that has a plan."""


@dataclass(frozen=True)
class Stand:
    """Where the site's processes are to stand: namespace, interface, address; and in which mode."""

    namespace: str
    interface: str
    address: str
    mode: Mode


@contextmanager
def laid(way: Way, rack: Rack, folder: Path, hosts: dict[str, str]) -> Iterator[Stand]:
    """Lay *way* for *rack*; *hosts* are the addresses of its machines by MAC, if any has one yet.

    Logs in *folder*.
    """
    with ExitStack() as stack:
        match way:
            case Way.FULL:
                yield Stand(rack.namespace, bridge.NAME, GATEWAY, Mode.FULL)
            case Way.PROXY:
                foreign_server(stack, rack.namespace, folder)
                yield Stand(rack.namespace, bridge.NAME, GATEWAY, Mode.PROXY)
            case Way.RELAY:
                namespace = _relay(stack, rack, folder)
                yield Stand(namespace, "u1", FAR, Mode.RESERVED if hosts else Mode.FULL)


def foreign_server(stack: ExitStack, rack: str, folder: Path, *more: str) -> None:
    """A server on *rack*'s bridge that gives addresses of its own choice; *more* is it told.

    It says not a word of booting.
    """
    namespace = stack.enter_context(neighbour(rack, f"{FOREIGN}/24"))
    words = [
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file"),
        *("--port=0", "--no-ping", "--log-dhcp", "--log-facility=-", "--leasefile-ro"),
        *(f"--interface={INTERFACE}", "--bind-interfaces", f"--dhcp-range={POOL[0]},{POOL[1]}"),
        f"--dhcp-option=option:router,{GATEWAY}",
        *more,
    ]
    _run(stack, netns.command(namespace, *words), folder / "dnsmasq.log")


def _relay(stack: ExitStack, rack: Rack, folder: Path) -> str:
    """A router with a relay, the rack's network on one side; return the namespace beyond it."""
    namespace = stack.enter_context(space("way"))
    netns.ip("link", "add", "u0", "netns", rack.namespace, "type", "veth", "peer", "u1",
             "netns", namespace)  # fmt: skip
    netns.ip("-n", rack.namespace, "addr", "add", f"{NEAR}/24", "dev", "u0")
    netns.ip("-n", rack.namespace, "link", "set", "u0", "up")
    netns.ip("-n", namespace, "addr", "add", f"{FAR}/24", "dev", "u1")
    netns.ip("-n", namespace, "link", "set", "u1", "up")
    netns.ip("-n", namespace, "route", "add", str(rack.gateway.network), "via", NEAR)
    netns.inside(rack.namespace, lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
    words = ["dhcrelay", "-4", "-d", "--no-pid", "-a", "-id", bridge.NAME, "-iu", "u0", FAR]
    _run(stack, netns.command(rack.namespace, *words), folder / "relay.log")
    return namespace


def _run(stack: ExitStack, command: list[str], log: Path) -> None:
    stack.callback(process.stop, process.launch(command, log))
