"""`sprout tokens`: what programs show at the API."""

from typing import Annotated, Any, Final

import typer

from edge.cli import show
from edge.cli.client import api
from edge.cli.commands import Commands
from edge.cli.options import Named

TOKENS: Final = Commands("What programs show at the API: for a role, for some sites, for a while.")

OfSites = Annotated[
    list[str] | None,
    typer.Option("--site-id", help="A site that it is for, by id or slug; again for more."),
]


@TOKENS.command("create")
def create(
    name: Annotated[str, typer.Option(help="What it is for.")],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    site_id: OfSites = None,
    days: Annotated[int, typer.Option(help="How long it is good.")] = 90,
) -> None:
    """Make a token and print it, once; without --site-id it is for all sites."""
    body: dict[str, Any] = {"name": name, "role": role, "days": days}
    made = api().post("/v1/api-tokens", body | ({"sites": site_id} if site_id else {}))
    until = show.cell(made["expiresAt"])
    told = f"token {made['id']}, good until {until}; it is not shown again"
    show.made(made, told, name="token")


@TOKENS.command("list")
def listed() -> None:
    """List tokens, the newest first."""
    columns: show.Columns = {
        "id": "id",
        "name": "name",
        "role": "role",
        "sites": lambda token: token["sites"] or "all",
        "by": "createdBy",
        "expires": "expiresAt",
        "last used": "lastUsedAt",
        "revoked": "revokedAt",
    }
    show.rows(api().items("/v1/api-tokens"), columns)


@TOKENS.command("revoke")
def revoke(token: Named) -> None:
    """End a token at once."""
    answer = api().call("DELETE", f"/v1/api-tokens/{token}")[0]
    show.done(answer or {}, "revoked")
