"""What a shell offers at TAB: words that are known, and names that the API has.

Rule 1: it is quick and quiet: whatever goes wrong, after LONGEST_S too, nothing is offered.
Rule 2: a name that a shell could take for more than a word is not offered.
"""

import os
import re
import signal
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge.cli import terminal
from edge.cli.client import Told

LONGEST_S: Final = 1.5
MOST: Final = 100
ASKED: Final = "_SPROUT_COMPLETE"
"""Set by a shell that asks; typer's own name for it."""

SHELLS: Final = ("bash", "zsh", "fish")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,252}")

Offer = Callable[[str], list[str]]


def names(path: str, field: str) -> Offer:
    """Return what offers the *field* of the rows at *path* that begin with what was typed."""

    def ask(incomplete: str) -> list[str]:
        from edge.cli.client import api

        rows: Any = api().get(path, limit=MOST, **_search(path, incomplete))["items"]
        return [word for row in rows if _WORD.fullmatch(word := str(row[field]))]

    def offer(incomplete: str) -> list[str]:
        return _quietly(ask, incomplete)

    return offer


def words(*known: str) -> Offer:
    """Return what offers the *known* words."""

    def offer(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return offer


def states(incomplete: str) -> list[str]:
    """Offer the states of a machine; after a comma, one more."""
    from models.lifecycle import State

    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{state.value}" for state in State]


def actions(incomplete: str) -> list[str]:
    """Offer what can be asked of machines."""
    from models.actions import ACTIONS

    return list(ACTIONS)


def _search(path: str, incomplete: str) -> dict[str, str]:
    searchable = path.rpartition("/")[2] in _SEARCHABLE
    return {"search": incomplete} if searchable and _WORD.fullmatch(incomplete) else {}


_SEARCHABLE: Final = frozenset({"machines", "hosts", "sites", "artifacts", "images", "profiles"})


class _TooLate(BaseException):
    """Nobody waits for it any more."""


def _quietly(ask: Offer, incomplete: str) -> list[str]:
    """Return what *ask* offers in time, without a word; else nothing."""

    def late(*_: Any) -> None:
        raise _TooLate

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            return ask(incomplete)
    except (Exception, _TooLate):  # noqa: BLE001 - a shell that asks for names is told none
        return []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def answer() -> None:
    """Let typer answer a shell that asks; its classes are loaded for nobody else."""
    if ASKED in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined] # it is its own

        completion_init()


def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.", autocompletion=words(*SHELLS))],
) -> None:
    """Print what makes a shell complete commands, options and names at TAB.

    bash: sprout completion bash > ~/.local/share/bash-completion/completions/sprout

    zsh: sprout completion zsh > a file _sprout in a folder of $fpath

    fish: sprout completion fish > ~/.config/fish/completions/sprout.fish
    """
    from typer.completion import (  # type: ignore[attr-defined] # it is its own
        get_completion_script,
    )

    if shell not in SHELLS:
        raise Told(f"there is no completion for {shell}", f"One of: {', '.join(SHELLS)}.", status=2)
    terminal.out(get_completion_script(prog_name="sprout", complete_var=ASKED, shell=shell))
