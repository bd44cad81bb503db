"""`sprout artifacts|images|profiles`: what is recorded before machines are."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.cli import show
from edge.cli.client import Told, api
from edge.cli.commands import Commands
from edge.cli.options import given, labels

ARTIFACTS: Final = Commands("Where files of images lie.")
IMAGES: Final = Commands("Operating systems.")
PROFILES: Final = Commands("What an installed machine is told.")

_REF_COLUMNS: Final = {"ref": "ref", "name": "name", "id": "id"}


def _created(kind: str, answer: dict[str, Any]) -> None:
    show.made(answer, f"created {kind} {answer['ref']}")


@ARTIFACTS.command("create")
def create_artifact(
    ref: Annotated[str, typer.Option(help="Short name that images refer to.")],
    name: Annotated[str, typer.Option()],
    prefix: Annotated[str, typer.Option(help="Folder below the site's artifact folder.")],
    backend: Annotated[str, typer.Option()] = "filesystem",
    base_url: Annotated[str, typer.Option()] = "",
) -> None:
    """Record where files lie; prints its id."""
    body = {"ref": ref, "name": name, "backend": backend, "baseUrl": base_url, "prefix": prefix}
    _created("artifact", api().post("/v1/artifacts", given(body)))


@ARTIFACTS.command("list")
def list_artifacts() -> None:
    """List artifacts."""
    columns = {"ref": "ref", "name": "name", "prefix": "prefix", "id": "id"}
    show.rows(api().items("/v1/artifacts"), columns)


@IMAGES.command("create")
def create_image(
    ref: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()],
    architecture: Annotated[str, typer.Option()],
    artifact_ref: Annotated[str, typer.Option()],
    kernel_path: Annotated[str, typer.Option(help="Below the artifact's prefix.")],
    initrd_path: Annotated[str, typer.Option(help="Below the artifact's prefix.")],
    image_path: Annotated[
        str, typer.Option(help="Raw disk image, below the artifact's prefix; needed to provision.")
    ] = "",
    image_bytes: Annotated[int | None, typer.Option(help="Size of the disk image.")] = None,
    checksum: Annotated[
        list[str] | None, typer.Option(help="PATH=SHA256; once for each path.")
    ] = None,
    kernel_arg: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
) -> None:
    """Record an image; prints its id."""
    body = {
        "ref": ref,
        "name": name,
        "architecture": architecture,
        "artifactRef": artifact_ref,
        "kernelPath": kernel_path,
        "initrdPath": initrd_path,
        "imagePath": image_path,
        "imageBytes": image_bytes,
        "checksums": labels(checksum or [], "--checksum"),
        "kernelArgs": kernel_arg or [],
    }
    _created("image", api().post("/v1/images", given(body)))


@IMAGES.command("list")
def list_images() -> None:
    """List images."""
    columns = {"ref": "ref", "name": "name", "architecture": "architecture", "id": "id"}
    show.rows(api().items("/v1/images"), columns)


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
        "sshKeys": [_text(key).strip() for key in ssh_key or []],
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
def list_profiles() -> None:
    """List profiles."""
    show.rows(api().items("/v1/profiles"), _REF_COLUMNS)
