"""A script, line by line.

It is read as iPXE reads it: variables are put in, words end at white space, `||` goes on after a
failure and `&&` after a success.  A line that fails ends the script; a command that there is none
of fails.  Source: https://ipxe.org/scripting.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from deploy.rack.simulated.ipxe.commands import COMMANDS, Command, split
from deploy.rack.simulated.ipxe.state import (
    Abandoned,
    Failure,
    Host,
    Left,
    Outcome,
    Program,
    State,
    shown,
)

MAGIC: Final = "#!ipxe"
DEEPEST: Final = 8
"""Scripts that chain to one another; iPXE's own bound is its memory."""

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")


async def run(host: Host, text: str, variables: Mapping[str, str]) -> Outcome:
    """Run the script *text* on *host* to its end.  Raises Abandoned."""
    return await _script(State(host, dict(variables)), text)


async def _script(state: State, text: str) -> Outcome:
    if not text.startswith(MAGIC):
        raise Abandoned("Exec format error")
    lines = [line.strip() for line in text.splitlines()]
    state.labels = {line[1:]: n for n, line in enumerate(lines) if line.startswith(":")}
    while state.at < len(lines):
        line = lines[state.at]
        state.at += 1
        if line and line[0] not in "#:":
            await _line(state, line)
        if state.outcome is not None:
            return state.outcome
    return Left()


async def _line(state: State, line: str) -> None:
    failed = ""
    state.jumped = False
    for operator, words in _commands(line):
        if (operator == "||" and not failed) or (operator == "&&" and failed):
            continue
        failed = await _command(state, words)
        if state.jumped or state.outcome is not None:
            return
    if failed:
        raise Abandoned(f"{line}: {failed}")


def _commands(line: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a line, with the operator before it."""
    operator, words = "", list[str]()
    for word in line.split():
        if word in {"||", "&&"}:
            yield operator, " ".join(words)
            operator, words = word, []
        else:
            words.append(word)
    yield operator, " ".join(words)


async def _command(state: State, text: str) -> str:
    """Return why the command failed, an empty text when it did not."""
    filled = _VARIABLE.sub(lambda found: shown(found[1], state.variables), text)
    words = filled.split()
    if not words:
        return ""
    try:
        await _ALL.get(words[0], _unknown)(state, words[1:])
    except Failure as exc:
        state.variables["errno"] = str(exc)
        return f"{words[0]}: {exc}"
    return ""


async def _unknown(state: State, words: Sequence[str]) -> None:
    raise Failure("command not found")


async def _chain(state: State, words: Sequence[str]) -> None:
    options, rest = split(words)
    if len(rest) != 1:
        raise Failure("one address is wanted")
    if state.depth >= DEEPEST:
        raise Failure("Out of memory")
    data = (await state.host.fetch(rest[0], text=True)).data
    if data.startswith(MAGIC.encode()):
        await _below(state, data.decode("utf-8", "replace"), replaces="--replace" in options)
    else:
        state.outcome = Program(data)


async def _below(state: State, text: str, *, replaces: bool) -> None:
    """Run another script; a script that is not replaced goes on where that one was left."""
    below = State(state.host, state.variables, state.depth + 1)
    try:
        outcome = await _script(below, text)
    except Abandoned as exc:
        if replaces:
            raise
        raise Failure(str(exc)) from exc
    if replaces or not isinstance(outcome, Left):
        state.outcome = outcome


_ALL: Final[Mapping[str, Command]] = {**COMMANDS, "chain": _chain}
