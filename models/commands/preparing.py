"""Installers' ISOs on their way to become images: asked for, prepared by control, forgotten.

The ISO itself is kept as it came.  What is made of it are blobs, which sites fetch by their
SHA-256; the image that names them is made when all of them are there, and not before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import audit, names
from models.audit import Caller
from models.commands import catalogue, errands, inventory
from models.commands.moves import now
from models.commands.records import recorded
from models.database import database
from models.errands import Ended, Errand
from models.errors import DomainError, IllegalTransition, Invalid, NotFound, Taken
from models.installers import Installer
from models.job_views import JobState, PreparationView
from models.paging import FIRST, Ask, Order, Part
from models.queries import filled
from models.tables import Artifact, Image, Preparation

PREPARE_S: Final = 2 * 3600
"""Seconds that preparing an ISO may take: a slow disk writes its gigabytes twice."""

TRIES: Final = 3

PREPARATIONS: Final = Order(
    "image-preparations",
    MappingProxyType({"createdAt": Preparation.created_at}),
    Preparation.id,
    "-createdAt",
)

_FOR_CONTROL: Final = "waiting for a control process"
_OPEN: Final = (JobState.WAITING.value, JobState.RUNNING.value)

_NAMED: Final = """
SELECT sums.value FROM images, jsonb_each_text(checksums) AS sums WHERE sums.value = ANY(%s)
UNION SELECT iso_sha256 FROM preparations WHERE iso_sha256 = ANY(%s)
UNION SELECT sums.value FROM preparations, jsonb_each_text(parts) AS sums
    WHERE sums.value = ANY(%s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the ISO of a preparation is: a blob, or a path below the artifact folder."""

    sha256: str
    path: str


def ask(caller: Caller, *, ref: str, name: str, iso_sha256: str, iso_path: str) -> UUID:
    """Have control prepare an ISO to be the image *ref*.  Raises Invalid or Taken."""
    if bool(iso_sha256) is bool(iso_path):
        raise Invalid(
            "name one ISO: one that was uploaded, or one in the artifact folder",
            field="/isoSha256",
            hint="Give either isoSha256 or isoPath.",
        )
    path = names.path(iso_path, field="/isoPath") if iso_path else ""
    with recorded():
        _demand_free(ref := names.ref(ref, field="/ref"))
        row = Preparation.create(
            ref=ref,
            name=name,
            iso_sha256=iso_sha256.lower(),
            iso_path=path,
            detail=_FOR_CONTROL,
            requested_by=caller.name,
            request_id=caller.request_id,
        )
        told = {"ref": ref, "iso": iso_sha256 or path}
        _record(caller, "create", row.id, told)
        errands.ask(
            Errand.IMAGE_PREPARE,
            row.id,
            str(row.id),
            params={},
            deadline_s=PREPARE_S,
            tries=TRIES,
            request_id=caller.request_id,
        )
    return UUID(str(row.id))


def _demand_free(ref: str) -> None:
    for table, what in ((Image, "image"), (Artifact, "artifact")):
        if table.select().where(table.ref == ref).exists():
            raise Taken(
                f"another {what} has this reference",
                field="/ref",
                hint="Choose another, or use the one that exists.",
            )


def begin(preparation: UUID) -> Source:
    """Note that it is at work, and return what of.  Raises NotFound."""
    with database.atomic():
        row = _locked(preparation)
        row.state, row.detail, row.bytes_done = JobState.RUNNING.value, "reading the ISO", 0
        row.save()
    return Source(sha256=row.iso_sha256, path=row.iso_path)


def told(preparation: UUID, *, done: int, total: int) -> None:
    """Note how far it is."""
    Preparation.update(
        bytes_done=min(done, total), bytes_total=total, detail="taking the ISO apart"
    ).where(
        (Preparation.id == preparation) & (Preparation.state == JobState.RUNNING.value)
    ).execute()


def ended(preparation: UUID, how: Ended) -> None:
    """Record how it ended, with the image that came of it, in the transaction of its errand."""
    row = Preparation.first_where("id = %s FOR UPDATE", str(preparation))
    if row is None:
        return
    done, detail = how.done, how.reason
    if done:
        done, detail = _imaged(row, how.result)
    row.state = (JobState.SUCCEEDED if done else JobState.FAILED).value
    row.detail, row.finished_at = detail[:1000], now()
    if done:
        row.bytes_done = row.bytes_total
    row.save()


def _imaged(row: Preparation, made: Mapping[str, Any]) -> tuple[bool, str]:
    """Make the image; return whether there is one, and the words for it."""
    parts = {each["name"]: each["sha256"] for each in made["parts"].values()}
    row.release, row.parts = made["release"], parts
    row.iso_sha256 = made["source"]
    caller = Caller(name=row.requested_by, request_id=row.request_id)
    try:
        with database.atomic():
            row.image_id = _image(caller, row, made["parts"])
    except DomainError as exc:
        return False, exc.hinted
    return True, f"Proxmox VE {row.release} is the image {row.ref}"


def _image(caller: Caller, row: Preparation, parts: Mapping[str, Mapping[str, Any]]) -> UUID:
    inventory.create_artifact(
        caller,
        ref=row.ref,
        name=row.name,
        backend="filesystem",
        base_url="",
        prefix=f"isos/{row.ref}",
    )
    new = inventory.NewImage(
        ref=row.ref,
        name=row.name,
        architecture="x86_64",
        artifact_ref=row.ref,
        installer=Installer.PROXMOX.value,
        kernel_path=parts["kernel"]["name"],
        initrd_path=parts["initrd"]["name"],
        iso_path=parts["iso"]["name"],
        checksums=dict(row.parts),
        image_bytes=parts["iso"]["size"],
        initrd_bytes=parts["initrd"]["size"],
    )
    return inventory.create_image(caller, new)


def forget(caller: Caller, preparation: UUID) -> list[str]:
    """Forget an ISO that was prepared, with the image that came of it.

    Returns the SHA-256s of blobs that nothing names any more.  Raises NotFound, InUse while a
    machine has the image, and IllegalTransition while the ISO is being prepared, as this image or
    as another.
    """
    with recorded():
        row = _locked(preparation)
        if row.state in _OPEN:
            raise IllegalTransition(
                "the ISO is being prepared", hint="Wait until that has ended, and ask again."
            )
        _demand_alone(row)
        _forget_image(caller, row.image_id)
        row.delete_instance()
        _record(caller, "delete", row.id, {"ref": row.ref})
        return _unnamed({row.iso_sha256, *row.parts.values()} - {""})


def _demand_alone(row: Preparation) -> None:
    """Raise IllegalTransition while the files of *row* may be made anew, of the same ISO."""
    same = Preparation.iso_sha256.in_(["", row.iso_sha256])
    at_work = Preparation.select().where(same & Preparation.state.in_(_OPEN))
    if row.parts and (other := at_work.first()) is not None:
        raise IllegalTransition(
            f"the same ISO may be what is being prepared as {other.ref}, and its files are shared",
            hint="Wait until that has ended, and ask again.",
        )


def _forget_image(caller: Caller, image_id: UUID | None) -> None:
    image = None if image_id is None else Image.get_or_none(Image.id == image_id)
    if image is not None:
        catalogue.delete(caller, "image", image.id, version=None)
        catalogue.delete(caller, "artifact", image.artifact_id, version=None)


def _unnamed(sums: set[str]) -> list[str]:
    wanted = sorted(sums)
    rows = database.execute_sql(_NAMED, (wanted, wanted, wanted))
    return sorted(sums - {sha256 for (sha256,) in rows})


def preparations(*, state: str | None = None, ask: Ask = FIRST) -> Part[PreparationView]:
    query = Preparation.select()
    if state is not None:
        query = query.where(Preparation.state == state)
    return PREPARATIONS.part(query, ask, lambda rows: [filled(PreparationView, r) for r in rows])


def preparation(preparation: UUID) -> PreparationView:
    """Return one preparation.  Raises NotFound."""
    row = Preparation.get_or_none(Preparation.id == preparation)
    if row is None:
        raise _missing(preparation)
    return filled(PreparationView, row)


def _locked(preparation: UUID) -> Preparation:
    row = Preparation.first_where("id = %s FOR UPDATE", str(preparation))
    if row is None:
        raise _missing(preparation)
    return row


def _record(caller: Caller, verb: str, row_id: Any, told: Mapping[str, Any]) -> None:
    kind = "image-preparation"
    audit.record(caller, f"{kind}.{verb}", kind=kind, id=row_id, data=dict(told))


def _missing(preparation: UUID) -> NotFound:
    return NotFound(
        f"no image preparation {preparation}", hint="List them: GET /v1/image-preparations"
    )
