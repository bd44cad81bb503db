"""`sprout dead-letters|actors`: what went through the queues, and who answers to it."""

from typing import Final

import click
import typer

from edge.cli import show
from edge.cli.client import api
from edge.cli.options import Named
from edge.cli.show import AsJson

DEAD_LETTERS: Final = typer.Typer(
    help="Messages that nobody could work on, and why.", no_args_is_help=True
)


@DEAD_LETTERS.command("list")
def listed(as_json: AsJson = False) -> None:
    """List dead letters, the newest first."""
    columns = {
        "id": "id",
        "kept": "keptAt",
        "queue": "queue",
        "reason": "reason",
        "replayed": "replayedAt",
        "detail": "detail",
    }
    show.rows(api().items("/v1/dead-letters"), columns, as_json=as_json)


@DEAD_LETTERS.command("show")
def shown(letter: Named, as_json: AsJson = False) -> None:
    """Show one dead letter with its message; what is secret in it is masked."""
    show.record(api().get(f"/v1/dead-letters/{letter}"), as_json=as_json)


@DEAD_LETTERS.command("replay")
def replay(letter: Named) -> None:
    """Put a message on its queue once more, when what it died of is mended."""
    api().post(f"/v1/dead-letters/{letter}/replay", {})
    click.echo("sent again; if it dies again: sprout dead-letters list", err=True)


def actors(as_json: AsJson = False) -> None:
    """Print who answers to messages: name, queue, limit in seconds, and how often it is tried."""
    from models.messages import ACTORS

    rows = [
        {"name": name.value, "queue": how.queue, "limit": how.limit_s, "tries": how.tries}
        for name, how in ACTORS.items()
    ]
    columns = {"actor": "name", "queue": "queue", "limit s": "limit", "tries": "tries"}
    show.rows(rows, columns, as_json=as_json)
