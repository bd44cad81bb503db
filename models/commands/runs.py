"""Addresses, runs and boot plans: what must stand before a machine may be powered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from typing import Any, Final
from uuid import UUID, uuid4

from models import boot_pins, installers
from models.bootplan import Action, Addressing, BootPlan, Document, File
from models.commands import addresses, agents, identities, remote, run_keys
from models.commands.moves import now
from models.database import database
from models.errors import Denied, Invalid, NotReady, Unknown
from models.installers import BOOTED, INSTALLERS, MEDIA, Installer
from models.phases import Phase
from models.steps import HAND_S, Trait
from models.tables import (
    Agent,
    Allocation,
    Artifact,
    Image,
    Interface,
    Machine,
    Network,
    Plan,
    Profile,
    Run,
    Workflow,
)

BOOT: Final = "http"
"""The capability of an agent that serves boot HTTP: a run's owner must."""

_HELD: Final = "FOR KEY SHARE"
"""A lock on what must not go until the transaction ends, and may change."""

VALID_FOR_S: Final = 6 * 3600
"""Seconds that an owner may serve a run without a word from control; a person may take HAND_S more
to boot the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is to be rendered for one run: plain values, no rows."""

    machine: UUID
    run: UUID
    action: Action = Action.INSTALL
    hostname: str
    mac: str
    addressing: Addressing
    prefix: str
    kernel_path: str
    initrd_path: str
    kernel_args: tuple[str, ...] = ()
    image_path: str = ""
    image_sha256: str = ""
    image_bytes: int = 0
    installer: str = Installer.IMAGE
    iso_path: str = ""
    older_media: bool = False
    cloud_config_template: str = ""
    ssh_keys: tuple[str, ...] = ()
    hardware: Mapping[str, str] = field(default_factory=dict)
    disk: Mapping[str, Any] = field(default_factory=dict)
    pin: str = ""


Render = Callable[[Intent], tuple[Document, ...]]
"""Renders an intent's documents; given by whoever runs the engine, since templates live above."""


def pxe_interface(machine: Machine) -> Interface:
    """Return the machine's one PXE-enabled interface.  Raises NotReady for none or several."""
    rows = list(
        Interface.select().where((Interface.machine_id == machine.id) & Interface.pxe_enabled)
    )
    if len(rows) != 1:
        raise NotReady(
            f"{machine.hostname} has {len(rows)} PXE-enabled interfaces, and needs exactly one",
            field="/interfaces",
            hint="Set pxeEnabled on the one interface that the firmware boots from.",
        )
    return rows[0]


def provisioning_network(machine: Machine, network_id: UUID | None) -> Network:
    """Return the named network, or the site's only one with purpose provisioning.

    Raises Unknown, Invalid or NotReady.
    """
    found = Network.select().where(Network.site_id == machine.site_id)
    of_site = found.for_update(_HELD)  # type: ignore[arg-type] # or a clause
    if network_id is not None:
        named: Network | None = of_site.where(Network.id == network_id).first()
        if named is None:
            raise Unknown(
                f"this site has no network {network_id}",
                field="/networkId",
                hint="List them with: sprout networks list",
            )
        if named.purpose != "provisioning":
            raise Invalid(
                f"network {named.name} is for {named.purpose}",
                field="/networkId",
                hint="Choose a network with purpose provisioning.",
            )
        return named
    rows = list(of_site.where((Network.purpose == "provisioning") & Network.gone_at.is_null()))
    if len(rows) != 1:
        raise NotReady(
            f"the site has {len(rows)} provisioning networks, and the request names none",
            field="/networkId",
            hint="Name one with networkId, or keep exactly one with purpose provisioning.",
        )
    return rows[0]


def owner(machine: Machine) -> Agent:
    """Return the agent that is to own the machine's next run.

    While another may still serve an older installing plan it is that one: an owner changes only by
    an acknowledged withdrawal, or when the plan has run out.  Raises NotReady.
    """
    served: Run | None = (
        Run.select()
        .where(
            (Run.machine_id == machine.id) & Run.withdrawn_at.is_null() & (Run.valid_until > now())
        )
        .order_by(Run.epoch.desc())
        .first()
    )
    if served is None:
        return agents.newest_live(machine.site_id, BOOT)
    holder = Agent.get_by_id(served.owner_id)
    if holder.last_seen_at <= agents.seen_since():
        raise NotReady(
            f"agent {holder.hostname} may still serve this machine's last installing plan, until "
            f"{served.valid_until:%H:%M:%S} UTC, and is out of contact",
            field="/siteId",
            hint="Bring the agent back, or wait until then.",
        )
    agents.demand_clock(holder)
    return agents.newest_live(machine.site_id, BOOT, sticky=holder.id)


def withdrawn(machine: Machine, agent_id: UUID, version: int) -> None:
    """Record that an agent holds a plan without authority: its older runs are over there."""
    Run.update(withdrawn_at=now()).where(
        (Run.machine_id == machine.id)
        & (Run.owner_id == agent_id)
        & (Run.plan_version < version)
        & Run.withdrawn_at.is_null()
    ).execute()


# What is of a later transaction than ours is of another cluster, from which this was restored.
_RENUMBER: Final = (
    "UPDATE agents SET held_before = NULL WHERE held_before > pg_current_xact_id()",
    "UPDATE plans SET changed = DEFAULT WHERE changed > pg_current_xact_id()",
    "UPDATE allocations SET let_go = pg_current_xact_id() WHERE let_go > pg_current_xact_id()",
)


def renumber() -> None:
    """Forget what transactions of another cluster said: the database may have been restored."""
    for statement in _RENUMBER:
        database.execute_sql(statement)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What a run is made for: *image* holds the kernel and the initramfs that it boots.

    *profile* and *hardware*, what a server type says, are for an install alone, *disk* for what
    wipes: which disk must be there, and `disks`.
    """

    action: Action
    image: Image
    network: Network
    profile: Profile | None = None
    disk: Mapping[str, Any] = field(default_factory=dict)
    hardware: Mapping[str, str] = field(default_factory=dict)


def prepare(machine: Machine, flow: Workflow, render: Render) -> None:
    """Give the machine an address, a run and an installing plan, and send the plan to its site."""
    boot = Boot(
        action=Action.INSTALL,
        image=Image.get_by_id(flow.params["image_id"]),
        profile=Profile.get_by_id(flow.params["profile_id"]),
        network=Network.get_by_id(flow.params["network_id"]),
        hardware=flow.params.get("hardware", {}),
    )
    plan = opened(machine, flow, boot, render)
    machine.image_id, machine.network_id = boot.image.id, boot.network.id
    machine.profile_id = flow.params["profile_id"]
    publish(machine, plan, request_id=flow.request_id)


def opened(machine: Machine, flow: Workflow, boot: Boot, render: Render) -> BootPlan:
    """Open a run of *flow* for *boot*, with an address; return its plan, which is to be published.

    Nothing may refuse between this and `publish`: the rows in hand outlive a refusal.
    """
    interface = pxe_interface(machine)
    allocation = addresses.allocated(machine, interface, boot.network)
    boots = owner(machine)
    run_id = uuid4()
    addressing = _addressing(boot.network, allocation)
    url = _boot_base_url(boot.network, boots)
    intent = _intent(machine, run_id, boot, mac=interface.mac, addressing=addressing)
    intent = replace(intent, pin=boot_pins.of(url, boots.advertise))
    documents = _as_approved(flow, render(intent))
    plan = BootPlan(
        machine=machine.id,
        site=machine.site_id,
        hostname=machine.hostname,
        mac=interface.mac,
        version=machine.plan_version + 1,
        action=boot.action,
        addressing=addressing,
        boot_base_url=url,
        run=run_id,
        epoch=machine.epoch + 1,
        owner=boots.id,
        documents=documents,
        files=_files(intent, boot.image.checksums),
        valid_for=VALID_FOR_S + (HAND_S if Trait.BY_HAND in flow.params.get("traits", ()) else 0),
        loaders=dict(machine.loaders),
    )
    _recorded(flow, plan)
    plan = _of_installer(machine, flow, plan, run_id)
    machine.epoch, machine.run_id, flow.run_id = plan.epoch, run_id, run_id
    return plan


def _of_installer(machine: Machine, flow: Workflow, plan: BootPlan, run: UUID) -> BootPlan:
    """Return *plan* with what an installer needs that asks for its answer: who asks, and a key."""
    if Trait.PROXMOX not in flow.params.get("traits", ()):
        return plan
    return replace(plan, caller=identities.caller(machine), ssh_key=run_keys.made(run))


def _recorded(flow: Workflow, plan: BootPlan) -> None:
    Run.create(
        id=plan.run,
        machine_id=plan.machine,
        workflow_id=flow.id,
        epoch=plan.epoch,
        plan_version=plan.version,
        owner_id=plan.owner,
        valid_for_s=plan.valid_for,
        phase=Phase.PXE_READY.value,
        receipts={d.name: d.receipt for d in plan.documents},
    )


def _as_approved(flow: Workflow, documents: tuple[Document, ...]) -> tuple[Document, ...]:
    """Return *documents*, if they are those that an approval names, where one does."""
    named = flow.params.get("receipts")
    if named is not None and named != {each.name: each.receipt for each in documents}:
        raise Denied("what was rendered is not what was approved: its receipts differ")
    return documents


def _intent(
    machine: Machine, run_id: UUID, boot: Boot, *, mac: str, addressing: Addressing
) -> Intent:
    image = boot.image
    prefix = Artifact.get_by_id(image.artifact_id).prefix
    return Intent(
        machine=machine.id,
        run=run_id,
        action=boot.action,
        hostname=machine.hostname,
        mac=mac,
        addressing=addressing,
        prefix=prefix,
        kernel_path=f"{prefix}/{image.kernel_path}",
        initrd_path=f"{prefix}/{image.initrd_path}",
        kernel_args=tuple(image.kernel_args),
        **(
            {"disk": boot.disk}
            if boot.profile is None
            else _written(machine, prefix, boot, boot.profile)
        ),
    )


def _written(machine: Machine, prefix: str, boot: Boot, profile: Profile) -> dict[str, Any]:
    """Return what of an intent is for an install alone."""
    image = boot.image
    medium = INSTALLERS[Installer(image.installer)].medium
    media = {} if medium is None else {MEDIA[medium]: f"{prefix}/{getattr(image, MEDIA[medium])}"}
    return {
        **media,
        "image_sha256": image.checksums.get(image.image_path, ""),
        "image_bytes": image.image_bytes,
        "installer": image.installer,
        "older_media": image.older_media,
        "cloud_config_template": profile.cloud_config_template,
        "ssh_keys": (*profile.ssh_keys, *remote.lets_in(machine)),
        "disk": installers.disk(image.installer, machine.root_disk, machine.facts),
        "hardware": boot.hardware,
    }


def _files(intent: Intent, checksums: Mapping[str, str]) -> tuple[File, ...]:
    roles = {role: getattr(intent, column) for role, column in {**BOOTED, **MEDIA}.items()}
    cut = len(intent.prefix) + 1
    return tuple(
        File(
            role=role,
            path=path,
            sha256=checksums[path[cut:]],
            size=intent.image_bytes if role in MEDIA else 0,
        )
        for role, path in roles.items()
        if path
    )


def _addressing(network: Network, allocation: Allocation) -> Addressing:
    return Addressing(
        address=allocation.address,
        prefix_length=IPv4Network(network.cidr).prefixlen,
        gateway=network.gateway,
        dns=tuple(network.dns),
        domain=network.domain,
        lease_s=network.lease_s,
    )


def _boot_base_url(network: Network, owner: Agent) -> str:
    url = network.boot_base_url or owner.advertise.get("boot_base_url")
    if not url:
        raise NotReady(
            f"agent {owner.hostname} advertises no boot address",
            field="/networkId",
            hint="Set SPROUT_BOOT_ADVERTISE_URL at the site, or bootBaseUrl on the network.",
        )
    return str(url).rstrip("/")


def withdraw(machine: Machine, *, request_id: str = "") -> None:
    """Replace the machine's plan by local boot, under a higher version; no plan, nothing to do."""
    current: Plan | None = Plan.get_or_none(Plan.machine_id == machine.id)
    if current is None:
        return
    old = BootPlan.decode(current.body)
    kept = ("machine", "site", "hostname", "mac", "addressing", "boot_base_url")
    local = BootPlan(
        **{name: getattr(old, name) for name in kept},
        version=machine.plan_version + 1,
        action=Action.LOCAL,
        loaders=dict(machine.loaders),
    )
    publish(machine, local, request_id=request_id)


def publish(machine: Machine, plan: BootPlan, *, request_id: str = "") -> None:
    """Store *plan* as the machine's, and promise it to every agent of the site that lives."""
    machine.plan_version = plan.version
    machine.save()
    body = plan.encode()
    row = {
        "site_id": plan.site,
        "version": plan.version,
        "digest": plan.digest,
        "body": body,
        "updated_at": now(),
    }
    (
        Plan.insert(machine_id=plan.machine, **row)
        .on_conflict(conflict_target=[Plan.machine_id], update=row)
        .execute()
    )
    for agent in agents.live(plan.site):
        agents.send_plans(
            agent.id,
            plan.site,
            [body],
            {"snapshot": False},
            machine=plan.machine,
            seq=plan.version,
            run=plan.run,
            epoch=plan.epoch,
            request_id=request_id,
        )
