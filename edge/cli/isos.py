"""`sprout isos`: installers' ISOs, uploaded and taken apart, and the images made of them."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.cli import follow, show, terminal
from edge.cli.client import FAILED, Api, Told, api
from edge.cli.commands import Commands
from edge.cli.completing import words
from edge.cli.machines import Wait
from edge.cli.options import PreparationId, given

ISOS: Final = Commands("ISOs of Proxmox VE, and the images made of them.")


def _share(found: show.Row) -> str:
    """Return how much of one is done."""
    if found["state"] == "succeeded":
        return "100 %"
    total = found["bytesTotal"]
    return f"{min(100, 100 * found['bytesDone'] // total)} %" if total else "0 %"


_ROUTE: Final = "/v1/image-preparations"
_COLUMNS: Final[show.Columns] = {
    "ref": "ref",
    "state": "state",
    "release": "release",
    "done": _share,
    "id": "id",
    "detail": "detail",
}
_OPEN: Final = frozenset({"waiting", "running"})

Ref = Annotated[str, typer.Option(help="What the image is called, such as proxmox-9.1.")]
Name = Annotated[str, typer.Option(help="For people; the reference, if empty.")]


@ISOS.command("upload")
def upload(
    file: Annotated[Path, typer.Argument(help="The vendor's ISO.", dir_okay=False)],
    ref: Annotated[
        str, typer.Option(help="Have it prepared as an image of this name, such as proxmox-9.1.")
    ] = "",
    name: Name = "",
    wait: Wait = False,
) -> None:
    """Upload an ISO, going on where an upload of it broke off; prints its SHA-256.

    With --ref it is prepared at once, and the id of that is printed instead.
    """
    from edge.cli import uploading

    client = api()
    sha256 = uploading.upload(client, file)
    if ref:
        _prepared(client, {"ref": ref, "name": name or ref, "isoSha256": sha256}, wait=wait)
        return
    told = f"uploaded; next: sprout isos prepare --sha256 {sha256} --ref NAME --wait"
    show.made({"sha256": sha256}, told, name="sha256")


@ISOS.command("prepare")
def prepare(
    ref: Ref,
    name: Name = "",
    sha256: Annotated[str, typer.Option(help="Of an ISO that was uploaded.")] = "",
    iso_path: Annotated[
        str, typer.Option(help="Or its path below the server's folder of artifacts.")
    ] = "",
    wait: Wait = False,
) -> None:
    """Have an ISO taken apart and made an image; prints the id of that."""
    body = {"ref": ref, "name": name or ref, "isoSha256": sha256, "isoPath": iso_path}
    _prepared(api(), given(body), wait=wait)


@ISOS.command("list")
def listed(
    state: Annotated[
        str,
        typer.Option(
            help="Only this state.",
            autocompletion=words("waiting", "running", "succeeded", "failed"),
        ),
    ] = "",
) -> None:
    """List what was made of ISOs, the newest first."""
    show.rows(api().items(_ROUTE, state=state), _COLUMNS)


@ISOS.command("show")
def shown(preparation: PreparationId) -> None:
    """Show one, and how far it is."""
    show.record(api().get(f"{_ROUTE}/{preparation}"))


@ISOS.command("watch")
def watch(preparation: PreparationId) -> None:
    """Tell how far one is until it ends; prints the image's id; status 1 when it fails."""
    _followed(api(), preparation)


@ISOS.command("delete")
def delete(preparation: PreparationId) -> None:
    """Forget an ISO with the image that came of it, and delete its files."""
    answer, _ = api().call("DELETE", f"{_ROUTE}/{preparation}")
    show.done(answer, f"deleted {answer['ref']}")


def _prepared(client: Api, body: dict[str, Any], *, wait: bool) -> None:
    made = client.post(_ROUTE, body)
    if wait:
        _followed(client, made["id"])
    else:
        show.made(made, f"promised; follow it with: sprout isos watch {made['id']}")


def _followed(client: Api, preparation: str) -> None:
    """Tell how far *preparation* is until it ends.  Raises Told if it failed."""
    told = ""

    def ended() -> dict[str, Any] | None:
        nonlocal told
        found: dict[str, Any] = client.get(f"{_ROUTE}/{preparation}")
        line = f"{found['state']}, {_share(found)}: {found['detail'] or found['ref']}"
        if line != told:
            told = line
            terminal.tell(line)
        return None if found["state"] in _OPEN else found

    found = follow.until(ended, "its end")
    if found["state"] != "succeeded":
        more = f"More: sprout isos show {preparation}"
        raise Told(f"{found['ref']} {found['state']}: {found['detail']}", more, status=FAILED)
    show.made(found, f"image {found['ref']}: Proxmox VE {found['release']}", name="imageId")
