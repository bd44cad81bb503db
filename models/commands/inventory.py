"""Records that operators enter: judged whole, written with their audit, or refused."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final
from uuid import UUID, uuid4

from models import audit, names, urls
from models.audit import Caller
from models.commands import catalogue, conflicts, discoveries
from models.commands.moves import announce, noted
from models.commands.records import locked_site, recorded, shown
from models.database import database
from models.errors import NotFound, Taken, Unknown
from models.observations import Seen
from models.tables import Artifact, Image, Interface, Machine, Profile, Site


def create_site(caller: Caller, *, name: str, slug: str, labels: Mapping[str, str]) -> UUID:
    """Record a site and make its signing key.  Raises Invalid or Taken."""
    with recorded():
        site = Site.create(
            name=name,
            slug=names.slug(slug, field="/slug"),
            labels=dict(labels),
            signing_key=secrets.token_bytes(32),
        )
        told = {"after": shown(site, ("name", "slug", "labels"))}
        audit.record(caller, "site.create", kind="site", id=site.id, site=site.id, data=told)
    return UUID(str(site.id))


def enrolment(caller: Caller, site_id: UUID) -> dict[str, str]:
    """Return what an agent of the site needs to speak for it.  Audited; holds the site's key."""
    with database.atomic():
        site: Site | None = Site.get_or_none(Site.id == site_id)
        if site is None:
            raise NotFound(f"no site {site_id}", hint="List them with: sprout sites list")
        audit.record(caller, "site.enrol", kind="site", id=site.id, site=site_id)
    return {"site": str(site.id), "slug": site.slug, "signing_key": bytes(site.signing_key).hex()}


def create_artifact(
    caller: Caller, *, ref: str, name: str, backend: str, base_url: str, prefix: str
) -> UUID:
    """Record a place where an image's files lie.  Raises Invalid or Taken."""
    columns = {"name": name, "backend": backend, "base_url": base_url, "prefix": prefix}
    with recorded():
        judged = catalogue.judged_artifact(columns)
        row = Artifact.create(ref=names.ref(ref, field="/ref"), **judged)
        told = {"after": shown(row, ("ref", *columns))}
        audit.record(caller, "artifact.create", kind="artifact", id=row.id, data=told)
    return UUID(str(row.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """What an image is made of; *checksums* maps paths to SHA-256s.

    *installer* is one of models.installers; with its medium, the disk image or the ISO, the
    checksum of all files and the medium's size are needed.  *older_media*: an ISO whose casper
    knows `url=` and not yet `iso-url=`.  *is_default*: taken where its installer alone is
    asked for; the one that was it before is not any more.
    """

    ref: str
    name: str
    architecture: str
    artifact_ref: str
    kernel_path: str
    initrd_path: str
    image_path: str | None = None
    iso_path: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    image_bytes: int | None = None
    initrd_bytes: int | None = None
    older_media: bool = False
    is_default: bool = False
    kernel_args: Sequence[str] = ()
    installer: str = "image"


def create_image(caller: Caller, new: NewImage) -> UUID:
    """Record an image.  Raises Invalid, Unknown or Taken."""
    columns = catalogue.judged_image(
        {
            "name": new.name,
            "architecture": new.architecture,
            "installer": new.installer,
            "kernel_path": new.kernel_path,
            "initrd_path": new.initrd_path,
            "image_path": new.image_path or "",
            "iso_path": new.iso_path or "",
            "kernel_args": list(new.kernel_args),
            "checksums": dict(new.checksums),
            "image_bytes": new.image_bytes or 0,
            "initrd_bytes": new.initrd_bytes or 0,
            "older_media": new.older_media,
            "is_default": new.is_default,
        }
    )
    with recorded():
        catalogue.undefaulted(caller, columns)
        artifact: Artifact | None = catalogue.referred(Artifact, new.artifact_ref)
        if artifact is None:
            raise Unknown(
                f"no artifact {new.artifact_ref}",
                field="/artifactRef",
                hint="Create it first: sprout artifacts create --ref …",
            )
        row = Image.create(ref=names.ref(new.ref, field="/ref"), artifact_id=artifact.id, **columns)
        told = {"after": shown(row, ("ref", *columns))}
        audit.record(caller, "image.create", kind="image", id=row.id, data=told)
    return UUID(str(row.id))


def create_profile(
    caller: Caller, *, ref: str, name: str, cloud_config_template: str, ssh_keys: Sequence[str]
) -> UUID:
    """Record a profile.  Raises Invalid or Taken."""
    columns = catalogue.judged_profile(
        {
            "name": name,
            "cloud_config_template": cloud_config_template,
            "ssh_keys": list(ssh_keys),
        }
    )
    with recorded():
        row = Profile.create(ref=names.ref(ref, field="/ref"), **columns)
        told = {"after": shown(row, ("ref", *columns))}
        audit.record(caller, "profile.create", kind="profile", id=row.id, data=told)
    return UUID(str(row.id))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInterface:
    name: str
    mac: str
    pxe_enabled: bool
    network_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMachine:
    """What a machine is made of.  *bmc*: {protocol, address, system, username, secret_ref}."""

    site_id: UUID
    hostname: str
    architecture: str
    interfaces: Sequence[NewInterface]
    labels: Mapping[str, str]
    memory_mib: int | None = None
    disk_bytes: int | None = None
    bmc: Mapping[str, Any] | None = None
    root_disk: Mapping[str, Any] | None = None
    server_type: str | None = None


_TOLD: Final = (
    "hostname",
    "architecture",
    "labels",
    "memory_mib",
    "disk_bytes",
    "bmc",
    "root_disk",
    "server_type",
)
"""What the audit keeps of a machine as it was entered."""


def create_machine(caller: Caller, new: NewMachine) -> UUID:
    """Record a machine, state registered.  Raises Invalid, Unknown or Taken."""
    macs = macs_of(new.interfaces)
    with recorded():
        locked_site(new.site_id, "/siteId", shared=True)
        conflicts.demand_free_macs(caller, {mac: number for number, mac in enumerate(macs)})
        row = Machine.create(**_columns(new))
        # By MAC: two who record the same ones at once do not wait for each other in a circle.
        for mac, interface in sorted(zip(macs, new.interfaces, strict=True), key=itemgetter(0)):
            Interface.create(**_interface(row.id, interface, mac))
        discoveries.claimed(caller, row, macs)
        _registered(caller, row, macs)
    return UUID(str(row.id))


def create_machines(caller: Caller, site_id: UUID, news: Sequence[NewMachine]) -> None:
    """Record many machines of a site, all or none, in as many statements as one needs.

    Raises Invalid, Unknown or Taken; which of them it was, :func:`create_machine` tells.
    """
    with recorded():
        locked_site(site_id, "/siteId", shared=True)
        each = [(Machine(id=uuid4(), **_columns(new)), macs_of(new.interfaces)) for new in news]
        conflicts.demand_free_macs(caller, {mac: n for _, m in each for n, mac in enumerate(m)})
        Machine.insert_many([row.__data__ for row, _ in each]).execute()
        nics = [
            _interface(row.id, interface, mac)
            for (row, macs), new in zip(each, news, strict=True)
            for mac, interface in zip(macs, new.interfaces, strict=True)
        ]
        Interface.insert_many(sorted(nics, key=itemgetter("mac"))).execute()
        strangers = discoveries.open_of(site_id, [nic["mac"] for nic in nics])
        for row, macs in each:
            if strangers.intersection(macs):
                discoveries.claimed(caller, row, macs)
            _registered(caller, row, macs)


def _columns(new: NewMachine) -> dict[str, Any]:
    return {
        "site_id": new.site_id,
        "hostname": names.hostname(new.hostname, field="/hostname"),
        "architecture": new.architecture,
        "labels": dict(new.labels),
        "memory_mib": new.memory_mib,
        "disk_bytes": new.disk_bytes,
        "bmc": None if new.bmc is None else urls.board(new.bmc),
        "root_disk": None if new.root_disk is None else dict(new.root_disk),
        "server_type": new.server_type,
    }


def _registered(caller: Caller, row: Machine, macs: Sequence[str]) -> None:
    """Write down, and tell, that a machine was recorded."""
    audit.record(
        caller,
        "machine.create",
        kind="machine",
        id=row.id,
        site=row.site_id,
        machine=row.id,
        data={"after": shown(row, _TOLD) | {"macs": list(macs)}},
    )
    noted(row, Seen.ASKED, {"verb": "register", "by": caller.name})
    announce(row.id)


def macs_of(interfaces: Sequence[NewInterface]) -> list[str]:
    """Return the canonical MACs of *interfaces*.  Raises Invalid, or Taken for one twice."""
    macs = [names.mac(i.mac, field=f"/interfaces/{n}/macAddress") for n, i in enumerate(interfaces)]
    for number, mac in enumerate(macs):
        if mac in macs[:number]:
            raise Taken(
                f"{mac} stands twice",
                field=f"/interfaces/{number}/macAddress",
                hint="Each interface has a MAC of its own.",
            )
    return macs


def _interface(machine_id: UUID, new: NewInterface, mac: str) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "machine_id": machine_id,
        "name": new.name,
        "mac": mac,
        "pxe_enabled": new.pxe_enabled,
        "network_name": new.network_name,
    }
