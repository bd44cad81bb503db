"""What all sites share: artifacts, images and profiles, judged whole, changed and deleted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from peewee import SQL

from models import audit, installers, names, urls
from models.audit import Caller
from models.bootplan import SLOT_MARK
from models.commands.records import NAMED, demand_version, edited, recorded, shown, unused
from models.errors import Invalid, NotFound
from models.installers import Installer
from models.tables import Artifact, Image, Machine, Profile, Site, SyncJob, Workflow

_Columns = Mapping[str, Any]


def judged_artifact(new: _Columns) -> dict[str, Any]:
    """Return the columns of an artifact that may be, in canonical form.  Raises Invalid."""
    if new["base_url"]:
        urls.service(
            new["base_url"],
            field="/baseUrl",
            hint="Write https://HOST/PATH of a server that the sites may ask; or nothing.",
        )
    return {**new, "prefix": names.path(new["prefix"], field="/prefix")}


_PATHS: Final = {
    "kernel_path": "/kernelPath",
    "initrd_path": "/initrdPath",
    "image_path": "/imagePath",
    "iso_path": "/isoPath",
}
_TOLD: Final = (
    *("checksums", "image_bytes", "initrd_bytes", "older_media", "is_default"),
    "kernel_args",
)


def judged_image(new: _Columns) -> dict[str, Any]:
    """Return the columns of an image that may be, in canonical form.  Raises Invalid.

    One that does not name its installer's medium yet may be, too; provisioning refuses it.
    """
    row = _installer(new)
    wanted = {column for column in row.files.values() if new[column] or column in _BOOTED}
    paths = {column: names.path(new[column], field=_PATHS[column]) for column in sorted(wanted)}
    if wanted == set(row.files.values()):
        _verifiable(new, paths.values(), sized=row.medium is not None)
    return {**new, **paths}


_BOOTED: Final = frozenset(installers.BOOTED.values())


def _installer(new: _Columns) -> installers.Row:
    """Return the row of the image's installer.  Raises Invalid for what that has no use for."""
    row = installers.INSTALLERS[Installer(new["installer"])]
    for column in installers.MEDIA.values():
        if new[column] and column not in row.files.values():
            raise Invalid(
                f"the installer {new['installer']} has no use for this: it wants {row.called}",
                field=_PATHS[column],
                hint="Leave it out, or name the installer that it is for.",
            )
    if new["older_media"] and not row.told_of_iso:
        raise Invalid(
            f"the installer {new['installer']} is told of no ISO",
            field="/olderMedia",
            hint="Leave it out: it says by which word an ISO's kernel is told the ISO's URL.",
        )
    return row


def _verifiable(new: _Columns, paths: Iterable[str], *, sized: bool) -> None:
    """Raise Invalid unless all that leads to a written disk can be verified first."""
    for path in paths:
        if path not in new["checksums"]:
            raise Invalid(
                f"no checksum for {path}",
                field="/checksums",
                hint="Give the SHA-256 of each file; nothing is written that was not verified.",
            )
    if sized and not new["image_bytes"]:
        raise Invalid(
            "the disk image, or the ISO, has no size",
            field="/imageBytes",
            hint="Give the bytes of the raw disk image, or of the ISO.",
        )


def judged_profile(new: _Columns) -> dict[str, Any]:
    """Return the columns of a profile that may be.  Raises Invalid."""
    template = new["cloud_config_template"]
    if not template.startswith("#cloud-config"):
        raise Invalid(
            "the template does not begin with #cloud-config",
            field="/cloudConfigTemplate",
            hint="Make #cloud-config its first line.",
        )
    if SLOT_MARK in template:
        raise Invalid("the template holds a slot", field="/cloudConfigTemplate")
    return dict(new)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """How one kind of record is kept; *columns* may change, *users* are who cannot be without."""

    table: Any
    columns: tuple[str, ...]
    judged: Callable[[_Columns], dict[str, Any]]
    users: Callable[[UUID], list[str]]
    remedy: str


def machines_with(column: str, value: UUID, *, beside: str = "") -> list[str]:
    """Return machines whose *column* of inventory is *value*, or is to be by a workflow.

    A workflow may keep it as *beside* too, where it boots by it and the machine is not to have it.
    """
    promised = Workflow.select(Workflow.machine_id).where(
        (Workflow.state == "running")
        & SQL("%s IN (t2.params->>%s, t2.params->>%s)", (str(value), column, beside))
    )
    found = Machine.select(Machine.hostname).where(
        (getattr(Machine, column) == value) | Machine.id.in_(promised)
    )
    rows = found.order_by(Machine.hostname).limit(NAMED + 1)
    return [f"machine {row.hostname}" for row in rows]


def _of_artifact(artifact: UUID) -> list[str]:
    images = Image.select(Image.ref).where(Image.artifact_id == artifact).order_by(Image.ref)
    jobs: Any = (
        SyncJob.select(SyncJob.mode, Site.slug.alias("slug"))
        .join(Site, on=(Site.id == SyncJob.site_id))
        .where((SyncJob.artifact_id == artifact) & SyncJob.state.in_(["waiting", "running"]))
    )
    return [
        *(f"image {row.ref}" for row in images.limit(NAMED + 1)),
        *(f"a {row.mode} job of site {row.slug}" for row in jobs.limit(NAMED + 1).objects()),
    ]


_KINDS: Final[Mapping[str, _Kind]] = MappingProxyType(
    {
        "artifact": _Kind(
            table=Artifact,
            columns=("name", "base_url", "prefix"),
            judged=judged_artifact,
            users=_of_artifact,
            remedy="Delete the images first, and let the jobs end.",
        ),
        "image": _Kind(
            table=Image,
            columns=("name", "installer", *_PATHS, *_TOLD),
            judged=judged_image,
            users=lambda image: machines_with("image_id", image, beside="inventory_image"),
            remedy="Give the machines another image, or release them.",
        ),
        "profile": _Kind(
            table=Profile,
            columns=("name", "cloud_config_template", "ssh_keys"),
            judged=judged_profile,
            users=lambda profile: machines_with("profile_id", profile),
            remedy="Give the machines another profile, or release them.",
        ),
    }
)


def update(
    caller: Caller, kind: str, row_id: UUID, changes: _Columns, *, version: int | None
) -> None:
    """Change what *changes* names of an artifact, image or profile, if it is still at *version*.

    What was installed stays as it was: runs that begin later go by it.
    Raises NotFound, Stale or Invalid.
    """
    known = _KINDS[kind]
    with recorded():
        row = _locked(kind, row_id)
        demand_version(row, version, f"{kind} {row.ref}")
        held = {name: getattr(row, name) for name in known.columns}
        judged = known.judged({**held, **changes})
        undefaulted(caller, judged, beside=row.id)
        told = edited(row, judged)
        if told is not None:
            audit.record(caller, f"{kind}.update", kind=kind, id=row.id, data=told)


def undefaulted(caller: Caller, columns: _Columns, *, beside: UUID | None = None) -> None:
    """Where an image with *columns* is to be its installer's default, let no other be it."""
    if not columns.get("is_default"):
        return
    others: Any = Image.select().where((Image.installer == columns["installer"]) & Image.is_default)
    for other in others.for_update("FOR NO KEY UPDATE"):
        if other.id != beside:
            told = edited(other, {"is_default": False})
            audit.record(caller, "image.update", kind="image", id=other.id, data=told)


def delete(caller: Caller, kind: str, row_id: UUID, *, version: int | None) -> None:
    """Forget an artifact, an image or a profile that nothing depends on.

    Raises NotFound, Stale or InUse.
    """
    known = _KINDS[kind]
    with recorded():
        row = _locked(kind, row_id)
        demand_version(row, version, f"{kind} {row.ref}")
        unused(f"{kind} {row.ref}", known.users(row.id), known.remedy)
        before = {"before": shown(row, ("ref", *known.columns))}
        audit.record(caller, f"{kind}.delete", kind=kind, id=row.id, data=before)
        if known.table is Artifact:
            SyncJob.delete().where(SyncJob.artifact_id == row.id).execute()
        row.delete_instance()


def _locked(kind: str, row_id: UUID) -> Any:
    """Return the row, locked against who is about to refer to it, too.  Raises NotFound."""
    table = _KINDS[kind].table
    row = table.select().where(table.id == row_id).for_update().first()
    if row is None:
        raise NotFound(f"no {kind} {row_id}", hint=f"List them with: sprout {kind}s list")
    return row


def referred(table: Any, ref: str) -> Any:
    """Return the row that *ref* names, or None; it cannot go until the transaction ends."""
    return table.select().where(table.ref == ref).for_update("FOR KEY SHARE").first()
