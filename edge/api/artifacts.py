"""Artifacts: folders that hold the files of images."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field, StringConstraints

from edge import auth, conditions
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    Answer,
    Body,
    Change,
    Line,
    Listing,
    Page,
    Path,
    Ref,
    RelativePath,
    SortOf,
    Word,
    example,
)
from models import lists, queries
from models.commands import catalogue, inventory

api: Final = resource("artifacts", "Where the files of images lie.")

_EXAMPLE: Final = {
    "ref": "debian",
    "name": "Debian 12",
    "backend": "filesystem",
    "baseUrl": "",
    "prefix": "debian-12",
}


class ArtifactRef(Path):
    artifact: Annotated[Line, Field(description="The artifact's id or ref.", examples=["debian"])]


class ArtifactFilter(Listing):
    search: Annotated[Word, Field(description="Part of a reference or of a name.")] = ""
    sort: Annotated[str, SortOf(lists.ARTIFACTS)] = lists.ARTIFACTS.usual


BaseUrl = Annotated[
    str,
    StringConstraints(
        max_length=255,
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?)?$",
    ),
    Field(
        description="Where the prefix is found by HTTP, if that is not the sites' own boot HTTP: "
        "each site fetches what it needs from there once, verifies it, and keeps it.",
        examples=["https://mirror.example/images"],
    ),
]


class NewArtifact(Body):
    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    ref: Ref
    name: Line
    backend: Literal["filesystem"] = "filesystem"
    base_url: BaseUrl = ""
    prefix: Annotated[RelativePath, Field(description="Folder under the site's artifact folder.")]


class ChangedArtifact(Change):
    model_config = ConfigDict(json_schema_extra=example({"version": 1, "prefix": "debian-12.1"}))

    name: Line = Field(default_factory=str)
    base_url: BaseUrl = Field(default_factory=str)
    prefix: RelativePath = Field(default_factory=str)


class Artifact(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f42-0a1b-7c2d-8e3f-405162738495",
                **_EXAMPLE,
                "version": 1,
                "createdAt": "2025-06-01T12:00:00Z",
                "updatedAt": "2025-06-01T12:00:00Z",
            }
        )
    )

    id: UUID
    ref: str
    name: str
    backend: str
    base_url: str
    prefix: str
    version: int
    created_at: datetime
    updated_at: datetime


class Artifacts(Page):
    items: list[Artifact]


@operation(
    api,
    "post",
    "/v1/artifacts",
    "createArtifact",
    answer=Artifact,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "taken"),
    action="artifact.create",
)
def create(body: NewArtifact) -> Response:
    """Create an artifact."""
    artifact_id = inventory.create_artifact(auth.caller(), **body.model_dump())
    made = Artifact.of(queries.artifact(artifact_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/artifacts/{artifact_id}")


@operation(api, "get", "/v1/artifacts", "listArtifacts", answer=Artifacts, action="artifact.read")
def index(query: ArtifactFilter) -> Response:
    """List artifacts."""
    found = lists.artifacts(search=query.search, ask=query.ask())
    return answered(Artifacts.showing(found))


@operation(
    api, "get", "/v1/artifacts/<artifact>", "getArtifact", answer=Artifact, action="artifact.read"
)
def show(path: ArtifactRef) -> Response:
    """Show one artifact."""
    return answered(Artifact.of(queries.artifact(path.artifact)))


@operation(
    api,
    "patch",
    "/v1/artifacts/<artifact>",
    "updateArtifact",
    answer=Artifact,
    refuses=("invalid",),
    action="artifact.update",
)
def update(path: ArtifactRef, body: ChangedArtifact) -> Response:
    """Change an artifact, for installations that begin later; its reference stays."""
    artifact = queries.artifact(path.artifact)
    version = conditions.expected(body.version)
    catalogue.update(auth.caller(), "artifact", artifact.id, body.asked(), version=version)
    return answered(Artifact.of(queries.artifact(artifact.id)))


@operation(
    api,
    "delete",
    "/v1/artifacts/<artifact>",
    "deleteArtifact",
    answer=Artifact,
    refuses=("in-use",),
    action="artifact.delete",
)
def delete(path: ArtifactRef) -> Response:
    """Forget an artifact that nothing uses; answers what it was."""
    artifact = queries.artifact(path.artifact)
    version = conditions.expected(None, demanded=False)
    catalogue.delete(auth.caller(), "artifact", artifact.id, version=version)
    return answered(Artifact.of(artifact))
