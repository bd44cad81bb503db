"""`sprout sites|artifacts|images|profiles`: what is recorded before machines are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import click
import typer

from edge.cli import show
from edge.cli.client import Api, Told, api
from edge.cli.options import Named, given, labels
from edge.cli.show import AsJson

SITES: Final = typer.Typer(help="Places where machines stand.", no_args_is_help=True)
ARTIFACTS: Final = typer.Typer(help="Where files of images lie.", no_args_is_help=True)
IMAGES: Final = typer.Typer(help="Operating systems.", no_args_is_help=True)
PROFILES: Final = typer.Typer(help="What an installed machine is told.", no_args_is_help=True)

_SITE_COLUMNS: Final = {"slug": "slug", "name": "name", "id": "id"}
_AGENT_COLUMNS: Final = {
    "agent": "hostname",
    "is": "live",
    "seen (UTC)": "seen",
    "had all plans": "synced",
    "networks": "networks",
    "told": "told",
    "clock": "clock",
    "boots": "boots",
    "does": "does",
    "id": "id",
}
_MET_COLUMNS: Final = {
    "agent": "agent",
    "client": "client",
    "step": "what",
    "result": "level",
    "detail": "detail",
}
_REF_COLUMNS: Final = {"ref": "ref", "name": "name", "id": "id"}


def _created(kind: str, answer: dict[str, Any]) -> None:
    click.echo(answer["id"])
    click.echo(f"created {kind} {answer.get('ref') or answer.get('name', '')}", err=True)


@SITES.command("create")
def create_site(
    name: Annotated[str, typer.Option(help="For people.")],
    slug: Annotated[str, typer.Option(help="For URLs and queues, such as ams-1.")],
    label: Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.")] = None,
) -> None:
    """Record a site; prints its id."""
    body = {"name": name, "slug": slug, "labels": labels(label or [])}
    _created("site", api().post("/v1/sites", given(body)))


@SITES.command("list")
def list_sites(as_json: AsJson = False) -> None:
    """List sites."""
    show.rows(api().items("/v1/sites"), _SITE_COLUMNS, as_json=as_json)


@SITES.command("show")
def show_site(site: Named, as_json: AsJson = False) -> None:
    """Show one site, by id or slug."""
    show.record(api().get(f"/v1/sites/{site}"), as_json=as_json)


@SITES.command("health")
def health(site: Named, as_json: AsJson = False) -> None:
    """Show a site's agents: whether they live, serve the newest plans, and told all they saw."""
    found = api().get(f"/v1/sites/{site}/health")
    if as_json:
        show.record(found, as_json=True)
        return
    machines = {state: n for state, n in found["machines"].items() if n}
    counts = ", ".join(f"{n} {state}" for state, n in machines.items()) or "none"
    summary = {"site": site, "status": found["status"], "detail": found["detail"]}
    show.record(summary | {"machines": counts}, as_json=False)
    if found["agents"]:
        show.rows([_agent(each) for each in found["agents"]], _AGENT_COLUMNS, as_json=False)
    met = [_met(agent, each) for agent in found["agents"] for each in _amiss(agent)]
    if met:
        click.echo()
        show.rows(met, _MET_COLUMNS, as_json=False)


def _agent(found: Mapping[str, Any]) -> dict[str, Any]:
    clock = found["clockOffsetMs"]
    return {
        **found,
        "live": "live" if found["live"] else "silent",
        "seen": found["lastSeenAt"][:19],
        "synced": (found["syncedAt"] or "never")[:19],
        "networks": "newest" if found["networksCurrent"] else "older",
        "told": "all" if found["drained"] else "some waits",
        "clock": "-" if clock is None else f"{clock:+d} ms",
        "boots": _boots(found),
        "does": ", ".join(found["capabilities"]),
    }


def _boots(agent: Mapping[str, Any]) -> str:
    """Return what the agent's canary met, in two words."""
    if agent["check"] is None:
        return "-"
    levels = [each["level"] for each in _amiss(agent)]
    if "failed" in levels:
        return f"{levels.count('failed')} failed"
    return f"{len(levels)} odd" if levels else "ok"


def _amiss(agent: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = (agent["check"] or {"findings": []})["findings"]
    return [each for each in found if each["level"] != "ok"]


def _met(agent: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "agent": agent["hostname"]}


@SITES.command("enrol")
def enrol(site: Named) -> None:
    """Print the file that an agent of the site needs; it holds the site's key.

    Keep it to yourself: sprout sites enrol SITE > FILE; chmod 600 FILE
    """
    click.echo(enrolment(api(), site))


def enrolment(client: Api, site: str) -> str:
    """Return the text of the file by which an agent of *site* works."""
    made = client.post(f"/v1/sites/{site}/enrol", {})
    made["signing_key"] = made.pop("signingKey")
    return json.dumps(made, indent=2)


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
def list_artifacts(as_json: AsJson = False) -> None:
    """List artifacts."""
    columns = {"ref": "ref", "name": "name", "prefix": "prefix", "id": "id"}
    show.rows(api().items("/v1/artifacts"), columns, as_json=as_json)


@IMAGES.command("create")
def create_image(
    ref: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()],
    architecture: Annotated[str, typer.Option()],
    artifact_ref: Annotated[str, typer.Option()],
    kernel_path: Annotated[str, typer.Option(help="Below the artifact's prefix.")],
    initrd_path: Annotated[str, typer.Option(help="Below the artifact's prefix.")],
    image_path: Annotated[str, typer.Option(help="Raw disk image, below the artifact's prefix.")],
    image_bytes: Annotated[int, typer.Option(help="Size of the disk image.")],
    checksum: Annotated[list[str], typer.Option(help="PATH=SHA256; once for each path.")],
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
        "checksums": labels(checksum),
        "kernelArgs": kernel_arg or [],
    }
    _created("image", api().post("/v1/images", given(body)))


@IMAGES.command("list")
def list_images(as_json: AsJson = False) -> None:
    """List images."""
    columns = {"ref": "ref", "name": "name", "architecture": "architecture", "id": "id"}
    show.rows(api().items("/v1/images"), columns, as_json=as_json)


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
def list_profiles(as_json: AsJson = False) -> None:
    """List profiles."""
    show.rows(api().items("/v1/profiles"), _REF_COLUMNS, as_json=as_json)
