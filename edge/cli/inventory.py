"""`sprout artifacts|images|profiles`: what is recorded before machines are."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.cli import records, show
from edge.cli.client import Told, api
from edge.cli.commands import Commands
from edge.cli.options import ArtifactName, ArtifactRef, ImageName, ProfileName, given, labels

ARTIFACTS: Final = Commands("Where files of images lie.")
IMAGES: Final = Commands("Operating systems.")
PROFILES: Final = Commands("What an installed machine is told.")

_REF_COLUMNS: Final = {"ref": "ref", "name": "name", "id": "id"}


Search = Annotated[str, typer.Option(help="Part of a reference or of a name.")]
KernelPath = Annotated[str, typer.Option(help="Below the artifact's prefix.")]
InitrdPath = Annotated[str, typer.Option(help="Below the artifact's prefix.")]
ImagePath = Annotated[
    str, typer.Option(help="Raw disk image, below the artifact's prefix; needed to provision.")
]
IsoPath = Annotated[
    str, typer.Option(help="For autoinstall: Ubuntu's ISO, below the artifact's prefix.")
]
ImageBytes = Annotated[int | None, typer.Option(help="Size of the disk image, or of the ISO.")]
InitrdBytes = Annotated[int | None, typer.Option(help="Size of the initrd, to judge memory by.")]
OlderMedia = Annotated[
    bool | None, typer.Option(help="The ISO's kernel wants url=, and knows no iso-url= yet.")
]
IsDefault = Annotated[
    bool | None,
    typer.Option("--default/--not-default", help="Taken where its installer alone is asked for."),
]
Checksum = Annotated[list[str] | None, typer.Option(help="PATH=SHA256; once for each path.")]
KernelArg = Annotated[list[str] | None, typer.Option(help="May be repeated.")]


def _checksums(words: list[str]) -> dict[str, str]:
    return labels(words, "--checksum")


def _keys(words: list[str]) -> list[str]:
    return [_text(word).strip() for word in words]


def _created(kind: str, answer: dict[str, Any]) -> None:
    show.made(answer, f"created {kind} {answer['ref']}")


@ARTIFACTS.command("create")
def create_artifact(
    ref: Annotated[str, typer.Option(help="Short name that images refer to.")],
    name: Annotated[str, typer.Option()],
    prefix: Annotated[str, typer.Option(help="Folder below the site's artifact folder.")],
    backend: Annotated[str, typer.Option()] = "filesystem",
    base_url: Annotated[
        str, typer.Option(help="URL above the prefix, where sites are to fetch the files from.")
    ] = "",
) -> None:
    """Record where files lie; prints its id."""
    body = {"ref": ref, "name": name, "backend": backend, "baseUrl": base_url, "prefix": prefix}
    _created("artifact", api().post("/v1/artifacts", given(body)))


@ARTIFACTS.command("list")
def list_artifacts(search: Search = "") -> None:
    """List artifacts."""
    columns = {"ref": "ref", "name": "name", "prefix": "prefix", "id": "id"}
    show.rows(api().items("/v1/artifacts", search=search), columns)


@ARTIFACTS.command("show")
def show_artifact(artifact: ArtifactName) -> None:
    """Show one artifact, by id or ref."""
    show.record(api().get(f"/v1/artifacts/{artifact}"))


@ARTIFACTS.command("update")
def update_artifact(
    artifact: ArtifactName,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    prefix: Annotated[str, typer.Option(help="Folder below the site's artifact folder.")] = "",
    base_url: Annotated[str, typer.Option(help="Where else it lies; - clears it.")] = "",
) -> None:
    """Change where files lie, for installations that begin later."""
    body = records.changes({"name": name, "prefix": prefix, "baseUrl": base_url})
    records.change("artifact", f"/v1/artifacts/{artifact}", body)


@ARTIFACTS.command("delete")
def delete_artifact(artifact: ArtifactName) -> None:
    """Forget an artifact that no image needs; the files stay."""
    records.delete("artifact", f"/v1/artifacts/{artifact}")


@IMAGES.command("create")
def create_image(
    ref: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()],
    architecture: Annotated[str, typer.Option()],
    artifact_ref: ArtifactRef,
    kernel_path: KernelPath,
    initrd_path: InitrdPath,
    installer: Annotated[
        str, typer.Option(help="image, autoinstall (Ubuntu), preseed (Debian) or proxmox.")
    ] = "",
    image_path: ImagePath = "",
    iso_path: IsoPath = "",
    image_bytes: ImageBytes = None,
    initrd_bytes: InitrdBytes = None,
    older_media: OlderMedia = None,
    is_default: IsDefault = None,
    checksum: Checksum = None,
    kernel_arg: KernelArg = None,
) -> None:
    """Record an image; prints its id."""
    body = {
        "ref": ref,
        "name": name,
        "architecture": architecture,
        "artifactRef": artifact_ref,
        "kernelPath": kernel_path,
        "initrdPath": initrd_path,
        "installer": installer,
        "imagePath": image_path,
        "isoPath": iso_path,
        "imageBytes": image_bytes,
        "initrdBytes": initrd_bytes,
        "olderMedia": older_media,
        "isDefault": is_default,
        "checksums": _checksums(checksum or []),
        "kernelArgs": kernel_arg or [],
    }
    _created("image", api().post("/v1/images", given(body)))


@IMAGES.command("list")
def list_images(search: Search = "") -> None:
    """List images."""
    columns = {"ref": "ref", "name": "name", "architecture": "architecture", "id": "id"}
    show.rows(api().items("/v1/images", search=search), columns)


@IMAGES.command("show")
def show_image(image: ImageName) -> None:
    """Show one image, by id or ref."""
    show.record(api().get(f"/v1/images/{image}"))


@IMAGES.command("update")
def update_image(
    image: ImageName,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    kernel_path: KernelPath = "",
    initrd_path: InitrdPath = "",
    image_path: ImagePath = "",
    iso_path: IsoPath = "",
    image_bytes: ImageBytes = None,
    initrd_bytes: InitrdBytes = None,
    older_media: OlderMedia = None,
    is_default: IsDefault = None,
    checksum: Checksum = None,
    kernel_arg: KernelArg = None,
) -> None:
    """Change an image, for installations that begin later; checksums and arguments as a whole."""
    body = {
        "name": name,
        "kernelPath": kernel_path,
        "initrdPath": initrd_path,
        "imagePath": image_path,
        "isoPath": iso_path,
        "imageBytes": image_bytes,
        "initrdBytes": initrd_bytes,
        "olderMedia": older_media,
        "isDefault": is_default,
        "checksums": checksum,
        "kernelArgs": kernel_arg,
    }
    found = records.changes(body, checksums=_checksums)
    records.change("image", f"/v1/images/{image}", found)


@IMAGES.command("delete")
def delete_image(image: ImageName) -> None:
    """Forget an image that no machine has; the files stay."""
    records.delete("image", f"/v1/images/{image}")


@PROFILES.command("create")
def create_profile(
    ref: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()],
    cloud_config_template: Annotated[
        str, typer.Option(help="#cloud-config text with {{ hostname }}, or @FILE.")
    ] = "#cloud-config\nhostname: {{ hostname }}\n",
    ssh_key: Annotated[list[str] | None, typer.Option(help="Public key or @FILE.")] = None,
) -> None:
    """Record a profile; prints its id."""
    body = {
        "ref": ref,
        "name": name,
        "cloudConfigTemplate": _text(cloud_config_template),
        "sshKeys": _keys(ssh_key or []),
    }
    _created("profile", api().post("/v1/profiles", given(body)))


def _text(value: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except OSError as exc:
        raise Told(f"cannot read {value[1:]}: {exc.strerror}") from exc


@PROFILES.command("list")
def list_profiles(search: Search = "") -> None:
    """List profiles."""
    show.rows(api().items("/v1/profiles", search=search), _REF_COLUMNS)


@PROFILES.command("show")
def show_profile(profile: ProfileName) -> None:
    """Show one profile, by id or ref."""
    show.record(api().get(f"/v1/profiles/{profile}"))


@PROFILES.command("update")
def update_profile(
    profile: ProfileName,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    cloud_config_template: Annotated[str, typer.Option(help="#cloud-config text, or @FILE.")] = "",
    ssh_key: Annotated[
        list[str] | None, typer.Option(help="Public key or @FILE; all of them; - clears them.")
    ] = None,
) -> None:
    """Change a profile, for installations that begin later."""
    given = {"name": name, "cloudConfigTemplate": cloud_config_template, "sshKeys": ssh_key}
    body = records.changes(given, cloudConfigTemplate=_text, sshKeys=_keys)
    records.change("profile", f"/v1/profiles/{profile}", body)


@PROFILES.command("delete")
def delete_profile(profile: ProfileName) -> None:
    """Forget a profile that no machine has."""
    records.delete("profile", f"/v1/profiles/{profile}")
