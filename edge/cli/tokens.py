"""`sprout tokens`: what programs show at the API."""

from typing import Annotated, Any, Final

import click
import typer

from edge.cli import show
from edge.cli.client import api
from edge.cli.options import Named
from edge.cli.show import AsJson

TOKENS: Final = typer.Typer(
    help="What programs show at the API: for a role, for some sites, for a while.",
    no_args_is_help=True,
)

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
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once; without --site-id it is for all sites."""
    body: dict[str, Any] = {"name": name, "role": role, "days": days}
    made = api().post("/v1/api-tokens", body | ({"sites": site_id} if site_id else {}))
    if as_json:
        show.record(made, as_json=True)
        return
    click.echo(made["token"])
    until = made["expiresAt"]
    click.echo(f"token {made['id']}, good until {until}; it is not shown again", err=True)


@TOKENS.command("list")
def listed(as_json: AsJson = False) -> None:
    """List tokens, the newest first."""
    columns = {
        "id": "id",
        "name": "name",
        "role": "role",
        "sites": "sites",
        "by": "createdBy",
        "expires": "expiresAt",
        "last used": "lastUsedAt",
        "revoked": "revokedAt",
    }
    show.rows(api().items("/v1/api-tokens"), columns, as_json=as_json)


@TOKENS.command("revoke")
def revoke(token: Named) -> None:
    """End a token at once."""
    api().call("DELETE", f"/v1/api-tokens/{token}")
    click.echo("revoked", err=True)
