"""What is asked of hosts: each is a machine with a server type, and goes through its verbs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import indent
from typing import Final
from uuid import UUID

from peewee import fn

from models import hosts, names, queries
from models.answering import Hardware
from models.audit import Caller
from models.boards import WAKE_ON_LAN
from models.commands import asks, conflicts, inventory, machines, server_types
from models.database import database
from models.errors import IllegalTransition, Invalid, NotFound, Taken
from models.hosts import Candidate, Move
from models.kinds import Kind
from models.lifecycle import State
from models.tables import Image, Machine, Profile, Workflow
from models.views import MachineView
from models.whereabouts import Sites

PROXMOX: Final = "proxmox"
"""The installer of hosts, and the reference of the profile that they have unless another is."""

ARCHITECTURE: Final = "x86_64"
"""Proxmox VE is made for no other."""

_WAKES: Final = {
    "protocol": WAKE_ON_LAN,
    "address": "",
    "system": "",
    "username": "",
    "secret_ref": "",
    "verify": True,
}

ANSWER: Final = """\
[global]
country = "us"
keyboard = "en-us"
timezone = "UTC"
mailto = "root@localhost.localdomain"

[network]
source = "from-dhcp"
"""
"""What the installer is told until somebody changes the profile: name, keys, callbacks and the root
password are Sprout's to decide, and a server type wins."""

PROFILE: Final = "#cloud-config\nproxmox: |\n" + indent(ANSWER, "  ")
"""The template of the profile that hosts have unless another is."""

_NAMED: Final = "another host or machine of this site has this name"
_SAME_NODE: Final = "another host is the node of this name, which has no domain, in a cluster"
_HINT: Final = "Choose another, or use the one that exists."


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHost:
    """What a host is made of; *server_type* is a key of the file that is followed."""

    site_id: UUID
    hostname: str
    mac: str
    server_type: str


def create(caller: Caller, new: NewHost) -> UUID:
    """Record a host, state registered.  Raises Invalid, Unknown, NotReady or Taken.

    Taken names each of host name and MAC that somebody has, the second as *also* of the first.
    """
    hostname = _hostname(new.hostname)
    mac = names.mac(new.mac, field="/mac")
    kind = server_types.named(new.server_type, field="/server_type")
    nic = inventory.NewInterface(name=kind.management_nic, mac=mac, pxe_enabled=True)
    _demand_free(caller, new.site_id, hostname, mac)
    try:
        return inventory.create_machine(
            caller,
            inventory.NewMachine(
                site_id=new.site_id,
                hostname=hostname,
                architecture=ARCHITECTURE,
                interfaces=[nic],
                labels={},
                bmc=_WAKES if kind.wake_on_lan else None,
                server_type=new.server_type,
            ),
        )
    except Taken as exc:  # of two at once
        raise _at_mac(exc) from exc


def _hostname(text: str) -> str:
    hostname = names.hostname(text, field="/hostname")
    if _node(hostname).isdigit():
        raise Invalid(
            "Proxmox VE takes no host name of digits alone",
            field="/hostname",
            hint="Put a letter into it, before the first dot, such as pve-01.",
        )
    return hostname


def _node(hostname: str) -> str:
    """Return what a cluster calls the host: its name without a domain."""
    return hostname.partition(".")[0]


def _demand_free(caller: Caller, site_id: UUID, hostname: str, mac: str) -> None:
    """Raise Taken with all that is."""
    found = [*_same_name(site_id, hostname), *_same_mac(caller, mac)]
    if found:
        found[0].also = tuple(found[1:])
        raise found[0]


def _same_name(site_id: UUID, hostname: str) -> list[Taken]:
    node = fn.SPLIT_PART(Machine.hostname, ".", 1) == _node(hostname)
    same = (Machine.hostname == hostname) | (Machine.server_type.is_null(is_null=False) & node)
    live = Machine.state != State.RETIRED.value
    row = Machine.get_or_none((Machine.site_id == site_id) & same & live)
    if row is None:
        return []
    said = _NAMED if row.hostname == hostname else _SAME_NODE
    return [Taken(f"{said}: {row.id}", field="/hostname", hint=_HINT)]


def _same_mac(caller: Caller, mac: str) -> list[Taken]:
    try:
        conflicts.demand_free_macs(caller, {mac: 0})
    except Taken as exc:
        return [_at_mac(exc)]
    return []


def _at_mac(exc: Taken) -> Taken:
    """Return *exc* of a machine's interfaces as it is told of a host, which has one MAC."""
    field = "/mac" if exc.field.startswith("/interfaces") else exc.field
    return Taken(str(exc), field=field, hint=exc.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a rebuild installs: references, and what the server type says.

    The profile may have to be made yet.
    """

    image_ref: str
    profile_ref: str
    hardware: Hardware


def choice(caller: Caller, host: MachineView, *, installer: str = PROXMOX) -> Choice:
    """Return what a rebuild of *host* installs, with its profile made where that is missing.

    Raises IllegalTransition, Unknown for a server type that is gone, or NotReady.
    """
    chosen = foreseen(host, installer=installer)
    if host.profile_ref is None:
        _make_profile(caller)
    return chosen


def foreseen(host: MachineView, *, installer: str = PROXMOX) -> Choice:
    """Return the same, and make nothing."""
    with _naming_its_holder(host):
        hosts.next_state(hosts.standing(host), Move.REBUILD)
    kind = server_types.named(host.server_type or "", field="")
    rows = Image.select(Image.ref, Image.is_default).where(
        (Image.installer == installer) & (Image.architecture == host.architecture)
    )
    found = [Candidate(ref=row.ref, is_default=row.is_default) for row in rows.order_by(Image.ref)]
    return Choice(
        image_ref=hosts.chosen_image(found),
        profile_ref=host.profile_ref or PROXMOX,
        hardware=Hardware.of(kind.stated()),
    )


def _make_profile(caller: Caller) -> None:
    """Make the profile of hosts where it is missing; it may be changed like any other."""
    with database.atomic():
        if Profile.get_or_none(Profile.ref == PROXMOX) is None:
            by = Caller(name="system", request_id=caller.request_id)
            inventory.create_profile(
                by, ref=PROXMOX, name="Proxmox VE", cloud_config_template=PROFILE, ssh_keys=[]
            )


def rebuild(
    caller: Caller,
    host: MachineView,
    chosen: Choice,
    *,
    reason: str = "",
    approval_id: UUID | None = None,
) -> UUID:
    """Ask for *chosen* on *host*: a provision workflow, whose id is returned.

    Raises DomainError.
    """
    with _naming_its_holder(host):
        return asks.provision(
            caller,
            host.id,
            image_ref=chosen.image_ref,
            profile_ref=chosen.profile_ref,
            hardware=chosen.hardware,
            reason=reason,
            approval_id=approval_id,
        )


@contextmanager
def _naming_its_holder(host: MachineView) -> Iterator[None]:
    """Name the operation that holds *host* in what is refused meanwhile."""
    try:
        yield
    except IllegalTransition as exc:
        held = Workflow.first_where(
            "machine_id = %s AND state = 'running' AND lifecycle", str(host.id)
        )
        if held is None:
            raise
        raise IllegalTransition(
            f"{exc}: the operation {held.id} holds it", field=exc.field, hint=exc.hint
        ) from exc


def delete(caller: Caller, host: MachineView) -> None:
    """Forget a host that no operation holds; one that failed, or was given back, retires first.

    Raises IllegalTransition, or what policy says.
    """
    if host.state is State.ACTIVE:
        raise IllegalTransition(
            "a host that is ready runs something, and is not forgotten",
            hint=f"Release it first: sprout machines release {host.hostname}",
        )
    with _naming_its_holder(host):
        if host.state in _RETIRES:
            asks.moved(caller, host.id, Kind.RETIRE, reason="the host is deleted")
        machines.delete_machine(caller, host.id)


_RETIRES: Final = frozenset({State.AVAILABLE, State.FAILED})


def host(machine_id: UUID | str) -> MachineView:
    """Return the host with this id or name.  Raises NotFound, of a machine that is none too."""
    found = queries.machine(machine_id, called="host")
    if found.server_type is None:
        raise NotFound(f"no host {machine_id}", hint="List them with: sprout hosts list")
    return found


def site_of_hosts(configured: str, among: Sites) -> UUID:
    """Return the site that new hosts are at, of those that the caller sees.  Raises NotReady."""
    slugs = [each.slug for each in queries.sites(among=among)]
    return queries.site(hosts.chosen_site(configured, slugs)).id
