"""What a command said, without what looks like a secret: line by line, as it comes.  Sans I/O."""

import re
from collections.abc import Callable
from typing import Final

from config.logs import REDACTED

LONGEST: Final = 64 * 1024
"""Characters of a line that are waited for; a longer one is cut at a blank, or there."""

# Whatever repeats is bounded: a host may say what it likes, for as long as it likes.
_SECRET: Final = re.compile(
    r"""
    (?P<name>(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key
      |credential)[A-Za-z0-9_.-]{0,40}["']?\s{0,8}[:=]\s{0,8})
      (?:"[^"]{0,999}"|'[^']{0,999}'|[^\s,;&]{1,9999})
    | (?P<scheme>\b(?:Bearer|Basic)\s{1,8})[A-Za-z0-9._~+/=-]{8,9999}
    | (?P<url>://)[^/@\s]{1,999}(?=@)
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bgh[pousr]_[A-Za-z0-9]{20,255}
    | (?<=:)\$[0-9a-z]{1,8}\$[^:\s]{8,255}
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Possessive, and what begins like one and is none is passed over whole: nothing is read twice.
_JWT: Final = re.compile(
    r"\beyJ[\w-]{8,}+\.[\w-]{8,}+\.[\w-]++|(?P<none>\beyJ[\w-]*+)", re.ASCII | re.IGNORECASE
)
_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS: Final = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----")


class Redactor:
    """One stream of text.  *known* takes out what is known to be a secret."""

    def __init__(self, known: Callable[[str], str] = str) -> None:
        self._known = known
        self._held = ""
        self._in_key = False

    def take(self, text: str) -> str:
        """Return what can be shown by now, when *text* has come; the rest is held back."""
        self._held += text
        cut = self._held.rfind("\n") + 1
        if len(self._held) - cut > LONGEST:
            blank = self._held.rfind(" ", cut)
            cut = blank + 1 if blank >= cut else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._clean(ready)

    def rest(self) -> str:
        """Return what was held back, at the end."""
        ready, self._held = self._held, ""
        return self._clean(ready)

    def _clean(self, text: str) -> str:
        return "".join(map(self._line, text.splitlines(keepends=True)))

    def _line(self, line: str) -> str:
        if self._in_key:
            self._in_key = _KEY_ENDS.search(line) is None
            return ""
        begins = _KEY_BEGINS.search(line)
        if begins is not None:
            self._in_key = _KEY_ENDS.search(line, begins.end()) is None
            return f"{self._known(line[: begins.start()])}{REDACTED}\n"
        return _SECRET.sub(_masked, _JWT.sub(_unless_none, self._known(line)))


def _unless_none(found: re.Match[str]) -> str:
    return found["none"] or REDACTED


def _masked(found: re.Match[str]) -> str:
    kept = found["name"] or found["scheme"] or found["url"] or ""
    return f"{kept}{REDACTED}"
