"""Commands that may be run on a machine: words, never a shell's text, each matched to a list.

An entry of a list is written as the command is, word for word; these stand for a word:

    <count>   1 to 9999
    <unit>    the name of a systemd unit, such as ssh.service
    <name>    letters, digits and ._-, beginning with a letter or digit
    <path>    an absolute path without . or .. in it
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from models.errors import Denied, Invalid

LONGEST: Final = 1000
"""Characters of a command."""

MOST_WORDS: Final = 64

LIMIT_S: Final = 60
"""Seconds that a command may take, unless the request says otherwise."""

MOST_S: Final = 720
"""Seconds that it may take at most, whatever the request and the policy say."""

_WORD: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "<count>": re.compile(r"[1-9][0-9]{0,3}", re.ASCII),
        "<unit>": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@\\-]{0,127}", re.ASCII),
        "<name>": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII),
        "<path>": re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._@+-]{1,100}){1,20}", re.ASCII),
    }
)
_SHAPED: Final = re.compile(r"[<>]")

READ_ONLY: Final = (
    "uptime",
    "uname -a",
    "hostname",
    "date -u",
    "who",
    "df -h",
    "free -m",
    "lsblk",
    "ip -br addr",
    "ip -br link",
    "ip route",
    "ss -tln",
    "cat /etc/os-release",
    "systemctl is-system-running",
    "systemctl --failed --no-pager",
    "systemctl status <unit> --no-pager",
    "journalctl -n <count> --no-pager",
    "journalctl -u <unit> -n <count> --no-pager",
)
"""What is allowed where a policy says nothing: it reads, so that doing it twice harms nobody."""


class NotListed(Denied):
    """The command is on no list of the site."""


def _split(text: str) -> tuple[str, ...]:
    if len(text) > LONGEST:
        raise ValueError(f"over {LONGEST} characters")
    if not text.isprintable():
        raise ValueError("it holds a character that does not print")
    words = tuple(shlex.split(text))
    if len(words) > MOST_WORDS:
        raise ValueError(f"over {MOST_WORDS} words")
    return words


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list."""

    text: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an entry.  Raises ValueError."""
        words = _split(text)
        strange = [word for word in words if word not in _WORD and _SHAPED.search(word)]
        if not words or words[0] in _WORD or strange:
            raise ValueError(
                f"{text!r} is no command of a list: want a program and its words, where "
                f"{', '.join(_WORD)} stand for one word each"
            )
        return cls(text, words)

    def takes(self, argv: Sequence[str]) -> bool:
        """Whether *argv* is what this entry says, word for word."""
        return len(argv) == len(self.words) and all(map(_fits, self.words, argv))


def _fits(wanted: str, word: str) -> bool:
    form = _WORD.get(wanted)
    return word == wanted if form is None else form.fullmatch(word) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a site's machines may be asked to run, for *limit_s* seconds at most.

    *reads* may be done again when it is not known whether it was done; *changes* never is.
    """

    reads: tuple[Entry, ...]
    changes: tuple[Entry, ...] = ()
    limit_s: int = MOST_S

    @classmethod
    def of(
        cls, reads: Iterable[str] = READ_ONLY, changes: Iterable[str] = (), limit_s: int = MOST_S
    ) -> Self:
        """Return the lists whose entries are *reads* and *changes*.  Raises ValueError."""
        return cls(
            reads=tuple(map(Entry.parse, reads)),
            changes=tuple(map(Entry.parse, changes)),
            limit_s=limit_s,
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The entries as they were written."""
        return tuple(entry.text for entry in (*self.reads, *self.changes))

    def judge(self, argv: Sequence[str]) -> bool:
        """Return whether *argv* only reads.  Raises NotListed."""
        if any(entry.takes(argv) for entry in self.reads):
            return True
        if any(entry.takes(argv) for entry in self.changes):
            return False
        raise NotListed(
            f"{shlex.join(argv)[:200]!r} is not on this site's list of commands",
            field="/command",
            hint=f"Allowed: {'; '.join(self.texts) or 'nothing'}. The list is remote-tasks in the "
            "policy file.",
        )

    def seconds(self, asked: int | None) -> int:
        """Return the time limit for a request that *asked* for so many seconds.  Raises Invalid."""
        if asked is None:
            return min(LIMIT_S, self.limit_s)
        if not 1 <= asked <= self.limit_s:
            raise Invalid(
                f"a command may take {self.limit_s} seconds at this site",
                field="/timeLimitS",
                hint=f"Ask for 1 to {self.limit_s} seconds.",
            )
        return asked


DEFAULT: Final = Allowed.of()


def argv(command: str) -> tuple[str, ...]:
    """Return the words of *command*: quotes join words, and no sign has another meaning.

    Raises Invalid.
    """
    try:
        words = _split(command)
    except ValueError as exc:
        raise _unfit(str(exc)) from None
    if not words or not words[0]:
        raise _unfit("it names no program")
    if words[0].startswith("-") or "=" in words[0]:
        raise _unfit("its first word is no program")
    return words


def _unfit(why: str) -> Invalid:
    return Invalid(
        f"the command cannot be run: {why}",
        field="/command",
        hint="Write a program and its words, such as: journalctl -n 100 --no-pager",
    )
