"""What a command on a machine is led by: it ends with its session, whatever becomes of it.

The command is a process group of its own.  Whoever reads standard input lives until that ends, and
then ends the group; "trap" lets it finish that work when the command ends of its own accord.
"""

import base64
import shlex
from collections.abc import Sequence
from typing import Final

_LEADING: Final = (
    '{begin}exec 3<&0; {feed}setsid timeout -k 5 "$@" {source}3<&- & p=$!; '
    "(exec >/dev/null 2>&1; read -r _ <&3; trap '' TERM; kill -TERM -$p || kill -TERM $p; "
    "sleep 2; kill -KILL -$p) & w=$!; exec 3<&-; wait $p; s=$?; "
    "kill $w 2>/dev/null; wait $w 2>/dev/null; exit $s"
)
_LED: Final = _LEADING.format(begin="", feed="", source="</dev/null ")

# What is given is the first line, which only the shell has: "printf" is a part of it, no program.
_FED: Final = _LEADING.format(
    begin="IFS= read -r i || exit 125; ",
    feed='printf %s "$i" | base64 -d | ',
    source="",
)


def line(argv: Sequence[str], limit_s: float, *, fed: bool) -> str:
    """Return what a shell is told, to run *argv* *limit_s* seconds; *fed*: it is given input."""
    return shlex.join(["sh", "-c", _FED if fed else _LED, "sprout", str(int(limit_s)), *argv])


def first(given: bytes) -> bytes:
    """Return what goes to the standard input of a command that is fed, for it to read *given*."""
    return base64.b64encode(given) + b"\n"
