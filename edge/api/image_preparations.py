"""Image preparations: an installer's ISO, taken apart by control, becomes an image."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from flask import Response, current_app
from pydantic import ConfigDict, Field

from edge import auth
from edge.api import blobs
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    Answer,
    Body,
    Line,
    Listing,
    Page,
    Path,
    Ref,
    RelativePath,
    Sha256,
    SortOf,
    example,
)
from models.commands import preparing
from models.errors import Invalid
from models.job_views import JobState, PreparationView

api: Final = resource("image preparations", "Installers' ISOs, and the images made of them.")

_NEW: Final = {"ref": "proxmox-9", "name": "Proxmox VE 9.1", "isoSha256": "ab" * 32}


class PreparationRef(Path):
    preparation: Annotated[UUID, Field(description="The preparation's id.")]


class PreparationFilter(Listing):
    state: JobState | None = None
    sort: Annotated[str, SortOf(preparing.PREPARATIONS)] = preparing.PREPARATIONS.usual


class NewPreparation(Body):
    """Either isoSha256 or isoPath."""

    model_config = ConfigDict(json_schema_extra=example(_NEW))

    ref: Ref
    name: Line
    iso_sha256: Annotated[
        Sha256 | None,
        Field(description="Of an ISO that was uploaded: PUT /v1/blobs/SHA256."),
    ] = None
    iso_path: Annotated[
        RelativePath | None,
        Field(description="Of an ISO below the artifact folder, SPROUT_ARTIFACT_DIR."),
    ] = None


class Preparation(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f53-1c2d-7e3f-8041-526374859607",
                **_NEW,
                "isoPath": "",
                "state": "running",
                "detail": "taking the ISO apart",
                "bytesDone": 1073741824,
                "bytesTotal": 3221225472,
                "release": "",
                "parts": {},
                "imageId": None,
                "requestedBy": "ada",
                "requestId": "5b0e1d3c",
                "createdAt": "2025-06-01T12:00:00Z",
                "finishedAt": None,
            }
        )
    )

    id: UUID
    ref: str
    name: str
    iso_sha256: Annotated[str, Field(description="Empty: not known yet.")]
    iso_path: Annotated[str, Field(description="Empty: the ISO was uploaded.")]
    state: JobState
    detail: Annotated[str, Field(description="What it waits for, or why it failed.")]
    bytes_done: int
    bytes_total: Annotated[int, Field(description="About how many there will be; 0: not known.")]
    release: Annotated[str, Field(description="Of what is installed, as 9.1-1; empty before.")]
    parts: Annotated[dict[str, str], Field(description="SHA-256 of what was made, by file name.")]
    image_id: UUID | None
    requested_by: str
    request_id: str
    created_at: datetime
    finished_at: datetime | None


class Preparations(Page):
    items: list[Preparation]


@operation(
    api,
    "post",
    "/v1/image-preparations",
    "createImagePreparation",
    answer=Preparation,
    status=HTTPStatus.ACCEPTED,
    refuses=("invalid", "taken"),
    action="image-preparation.create",
)
def create(body: NewPreparation) -> Response:
    """Have an ISO of Proxmox VE prepared to be booted over the network, as an image of that name.

    Its kernel, its initramfs and the ISO with room for a run's words become blobs; the ISO itself
    is kept. What cannot be used is refused by the preparation, with a sentence.
    """
    if body.iso_sha256 is not None:
        _demand_uploaded(body.iso_sha256)
    made = preparing.ask(
        auth.caller(),
        ref=body.ref,
        name=body.name,
        iso_sha256=body.iso_sha256 or "",
        iso_path=body.iso_path or "",
    )
    view = Preparation.of(preparing.preparation(made))
    return answered(view, HTTPStatus.ACCEPTED, location=f"/v1/image-preparations/{made}")


@operation(
    api,
    "get",
    "/v1/image-preparations",
    "listImagePreparations",
    answer=Preparations,
    action="image-preparation.read",
)
def index(query: PreparationFilter) -> Response:
    """List preparations, the newest first."""
    found = preparing.preparations(state=query.state, ask=query.ask())
    return answered(Preparations.showing(found))


@operation(
    api,
    "get",
    "/v1/image-preparations/<preparation>",
    "getImagePreparation",
    answer=Preparation,
    action="image-preparation.read",
)
def show(path: PreparationRef) -> Response:
    """Show one preparation, and how far it is."""
    return answered(Preparation.of(preparing.preparation(path.preparation)))


@operation(
    api,
    "delete",
    "/v1/image-preparations/<preparation>",
    "deleteImagePreparation",
    answer=Preparation,
    refuses=("in-use", "illegal-transition"),
    action="image-preparation.delete",
)
def delete(path: PreparationRef) -> Response:
    """Forget an ISO with the image that came of it, and drop its files; answers what it was."""
    view: PreparationView = preparing.preparation(path.preparation)
    for sha256 in preparing.forget(auth.caller(), path.preparation):
        _store().shelf.drop(sha256)
    return answered(Preparation.of(view))


def _demand_uploaded(sha256: str) -> None:
    if _store().shelf.own(sha256) is None:
        raise Invalid(
            "no ISO with this SHA-256 was uploaded",
            field="/isoSha256",
            hint=f"Upload it first: PUT /v1/blobs/{sha256}",
        )


def _store() -> blobs.Store:
    found: blobs.Store = current_app.extensions[blobs.EXTENSION]
    return found
