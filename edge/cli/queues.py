"""`sprout dead-letters|actors`: what went through the queues, and who answers to it."""

from typing import Annotated, Final

import typer

from edge.cli import show
from edge.cli.client import api
from edge.cli.commands import Commands
from edge.cli.options import Named

DEAD_LETTERS: Final = Commands("Messages that nobody could work on, and why.")


@DEAD_LETTERS.command("list")
def listed(
    queue: Annotated[str, typer.Option(help="Only those that died on this queue.")] = "",
    replayed: Annotated[
        bool | None, typer.Option("--replayed/--waiting", help="Only those, or only the others.")
    ] = None,
) -> None:
    """List dead letters, the newest first."""
    columns = {
        "id": "id",
        "kept": "keptAt",
        "queue": "queue",
        "reason": "reason",
        "replayed": "replayedAt",
        "detail": "detail",
    }
    sent = "" if replayed is None else str(replayed).lower()
    show.rows(api().items("/v1/dead-letters", queue=queue, replayed=sent), columns)


@DEAD_LETTERS.command("show")
def shown(letter: Named) -> None:
    """Show one dead letter with its message; what is secret in it is masked."""
    show.record(api().get(f"/v1/dead-letters/{letter}"))


@DEAD_LETTERS.command("replay")
def replay(letter: Named) -> None:
    """Put a message on its queue once more, when what it died of is mended."""
    answer = api().post(f"/v1/dead-letters/{letter}/replay", {})
    show.done(answer, "sent again; if it dies again: sprout dead-letters list")


def actors() -> None:
    """Print who answers to messages: name, queue, limit in seconds, and how often it is tried."""
    from models.messages import ACTORS

    rows = [
        {"name": name.value, "queue": how.queue, "limit": how.limit_s, "tries": how.tries}
        for name, how in ACTORS.items()
    ]
    columns = {"actor": "name", "queue": "queue", "limit s": "limit", "tries": "tries"}
    show.rows(rows, columns)
