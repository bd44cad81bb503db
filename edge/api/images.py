"""Images: a kernel, an initramfs and what they install, with the checksum of each."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import auth, conditions
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    CLOSED,
    Answer,
    Body,
    Change,
    Int64,
    Line,
    Listing,
    Page,
    Path,
    Ref,
    RelativePath,
    Sha256,
    SortOf,
    Word,
    example,
)
from models import lists, queries
from models.commands import catalogue, inventory

api: Final = resource("images", "Operating systems that machines can be given.")

Architecture = Literal["x86_64", "arm64"]
InstallerName = Literal["image", "autoinstall", "preseed", "proxmox"]

_EXAMPLE: Final = {
    "ref": "debian-12",
    "name": "Debian 12",
    "architecture": "x86_64",
    "artifactRef": "debian",
    "kernelPath": "vmlinuz",
    "initrdPath": "initrd.img",
    "imagePath": "disk.raw",
    "checksums": {"vmlinuz": "0" * 64, "initrd.img": "1" * 64, "disk.raw": "2" * 64},
    "imageBytes": 629145600,
    "kernelArgs": ["quiet"],
    "installer": "image",
}


Checksums = Annotated[
    dict[Line, Sha256],
    Field(
        max_length=64,
        description="SHA-256 by path: of all files, where the installer has all that it wants.",
        json_schema_extra=CLOSED,
    ),
]
KernelArgs = Annotated[list[Line], Field(max_length=64)]


class ImageRef(Path):
    image: Annotated[Line, Field(description="The image's id or ref.", examples=["debian-12"])]


class ImageFilter(Listing):
    architecture: Architecture | None = None
    artifact_ref: Annotated[Line | None, Field(description="The artifact's reference.")] = None
    search: Annotated[Word, Field(description="Part of a reference or of a name.")] = ""
    sort: Annotated[str, SortOf(lists.IMAGES)] = lists.IMAGES.usual


class NewImage(Body):
    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    ref: Ref
    name: Line
    architecture: Architecture
    artifact_ref: Ref
    kernel_path: RelativePath
    initrd_path: RelativePath
    installer: Annotated[
        InstallerName,
        Field(
            description="What puts the system on the disk: `image` writes imagePath, `autoinstall`"
            " is Ubuntu's from isoPath, `preseed` is Debian's, which needs no more than its kernel,"
            " `proxmox` is that of Proxmox VE from isoPath."
        ),
    ] = "image"
    image_path: Annotated[
        RelativePath | None,
        Field(description="The raw disk image; without it nothing can be provisioned yet."),
    ] = None
    iso_path: Annotated[
        RelativePath | None,
        Field(
            description="For autoinstall the live server's ISO, for proxmox the prepared one, which"
            " kernel and initrd are of."
        ),
    ] = None
    checksums: Checksums = Field(default_factory=dict)
    image_bytes: Annotated[
        Int64 | None,
        Field(description="Bytes of the raw disk image or of the ISO; needed with it."),
    ] = None
    initrd_bytes: Annotated[
        Int64 | None,
        Field(description="Bytes of the initrd, of which is known whether memory suffices."),
    ] = None
    older_media: Annotated[
        bool, Field(description="The ISO's kernel is told of it by `url=`, not yet by `iso-url=`.")
    ] = False
    is_default: Annotated[
        bool,
        Field(description="Taken where its installer is asked for and no image is named."),
    ] = False
    kernel_args: KernelArgs = Field(default_factory=list)


class ChangedImage(Change):
    """What is to change, lists and checksums as a whole; a field that is left out stays."""

    model_config = ConfigDict(
        json_schema_extra=example({"version": 1, "kernelArgs": ["quiet", "nomodeset"]})
    )

    name: Line = Field(default_factory=str)
    kernel_path: RelativePath = Field(default_factory=str)
    initrd_path: RelativePath = Field(default_factory=str)
    image_path: RelativePath = Field(default_factory=str)
    iso_path: RelativePath = Field(default_factory=str)
    checksums: Checksums = Field(default_factory=dict)
    image_bytes: Int64 = Field(default_factory=int)
    initrd_bytes: Int64 = Field(default_factory=int)
    older_media: bool = Field(default_factory=bool)
    is_default: bool = Field(default_factory=bool)
    kernel_args: KernelArgs = Field(default_factory=list)


class Image(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f43-1c2d-7e3f-8041-526374859607",
                **_EXAMPLE,
                "isoPath": "",
                "initrdBytes": 0,
                "olderMedia": False,
                "isDefault": False,
                "version": 1,
                "createdAt": "2025-06-01T12:00:00Z",
                "updatedAt": "2025-06-01T12:00:00Z",
            }
        )
    )

    id: UUID
    ref: str
    name: str
    architecture: Architecture
    artifact_ref: str
    kernel_path: str
    initrd_path: str
    installer: str
    image_path: Annotated[str, Field(description="Empty: not named yet.")]
    iso_path: Annotated[str, Field(description="Empty: not named yet.")]
    checksums: dict[str, str]
    image_bytes: int
    initrd_bytes: Annotated[int, Field(description="0: not told.")]
    older_media: bool
    is_default: bool
    kernel_args: list[str]
    version: int
    created_at: datetime
    updated_at: datetime


class Images(Page):
    items: list[Image]


@operation(
    api,
    "post",
    "/v1/images",
    "createImage",
    answer=Image,
    status=HTTPStatus.CREATED,
    refuses=("invalid", "unknown-reference", "taken"),
    action="image.create",
)
def create(body: NewImage) -> Response:
    """Create an image."""
    image_id = inventory.create_image(auth.caller(), inventory.NewImage(**body.model_dump()))
    made = Image.of(queries.image(image_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/images/{image_id}")


@operation(api, "get", "/v1/images", "listImages", answer=Images, action="image.read")
def index(query: ImageFilter) -> Response:
    """List images."""
    found = lists.images(
        architecture=query.architecture,
        artifact_ref=query.artifact_ref,
        search=query.search,
        ask=query.ask(),
    )
    return answered(Images.showing(found))


@operation(api, "get", "/v1/images/<image>", "getImage", answer=Image, action="image.read")
def show(path: ImageRef) -> Response:
    """Show one image."""
    return answered(Image.of(queries.image(path.image)))


@operation(
    api,
    "patch",
    "/v1/images/<image>",
    "updateImage",
    answer=Image,
    refuses=("invalid",),
    action="image.update",
)
def update(path: ImageRef, body: ChangedImage) -> Response:
    """Change an image, for installations that begin later; reference and architecture stay."""
    image = queries.image(path.image)
    version = conditions.expected(body.version)
    catalogue.update(auth.caller(), "image", image.id, body.asked(), version=version)
    return answered(Image.of(queries.image(image.id)))


@operation(
    api,
    "delete",
    "/v1/images/<image>",
    "deleteImage",
    answer=Image,
    refuses=("in-use",),
    action="image.delete",
)
def delete(path: ImageRef) -> Response:
    """Forget an image that nothing uses; answers what it was."""
    image = queries.image(path.image)
    version = conditions.expected(None, demanded=False)
    catalogue.delete(auth.caller(), "image", image.id, version=version)
    return answered(Image.of(image))
