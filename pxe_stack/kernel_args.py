"""Kernel command lines from typed parts: what is no plain word never gets there."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from models.bootplan import SLOT
from models.errors import Invalid

LONGEST: Final = 1500
"""Characters of a command line with its slots still empty; x86 kernels take 2047."""

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")
_VALUE: Final = re.compile(r"[A-Za-z0-9_.,:/@%+=~\[\]-]*")
_REFUSED: Final = ("||", "${")


@dataclass(frozen=True, slots=True)
class Part:
    """One word of a command line: *key*, or *key*=*value*."""

    key: str
    value: str | None = None

    def __post_init__(self) -> None:
        word = str(self)
        if any(mark in word for mark in _REFUSED) or not _KEY.fullmatch(self.key):
            raise _refused(word)
        if self.value is not None and not _VALUE.fullmatch(self.value):
            raise _refused(word)

    def __str__(self) -> str:
        return self.key if self.value is None else f"{self.key}={self.value}"

    @classmethod
    def read(cls, word: str) -> Self:
        """Return the part that an operator wrote as *word*.

        Raises Invalid for white space, quotes, `;`, `||`, `${` and slots.
        """
        if SLOT.search(word) or "@@" in word:
            raise _refused(word)
        key, equals, value = word.partition("=")
        return cls(key, value if equals else None)


@dataclass(frozen=True, slots=True)
class NoCloud:
    """cloud-init's data source: the one word with a semicolon, which is no operator's to write.

    *url* ends in a slash: cloud-init puts names of documents behind it.  *older*: one that fetches
    seeds from a network under another name (cloud-init before 23.2).
    """

    url: str
    older: bool = False

    def __post_init__(self) -> None:
        word = Part("s", self.url)
        if not self.url.endswith("/"):
            raise _refused(str(word))

    def __str__(self) -> str:
        return f"ds=nocloud{'-net' if self.older else ''};s={self.url}"

    @property
    def quoted(self) -> str:
        """The word for GRUB, to which a semicolon ends the command."""
        return f"'{self}'"


Word = Part | NoCloud


def line(parts: Iterable[Word], *, grub: bool = False) -> str:
    """Return the command line of *parts*, for iPXE or for *grub*.

    Raises Invalid when it is too long for a kernel.
    """
    words = (part.quoted if grub and isinstance(part, NoCloud) else str(part) for part in parts)
    text = " ".join(words)
    if len(text) > LONGEST:
        raise Invalid(
            f"the kernel command line has {len(text)} characters, over {LONGEST}",
            field="/kernelArgs",
            hint="Leave some of the image's kernel arguments out.",
        )
    return text


def _refused(word: str) -> Invalid:
    return Invalid(
        f"{word!r} cannot be a kernel argument",
        field="/kernelArgs",
        hint="Write one word such as quiet or console=ttyS0,115200 for each argument,"
        " without quotes, spaces, semicolons, || or ${.",
    )
