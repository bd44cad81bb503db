"""What a site's canary says, cut to what is kept.  Pure: an agent may send anything."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

MOST: Final = 64
"""Findings, and foreign servers, that are kept of one check."""
LONGEST: Final = 300
LEVELS: Final = ("ok", "warning", "failed")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one *client* met at one step; *level* is one of LEVELS."""

    client: str
    what: str
    level: str
    detail: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A DHCP server that is none of the site's agents."""

    address: str
    mac: str
    offered: str
    file: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a site, by one of its agents."""

    findings: tuple[Finding, ...]
    foreign: tuple[Foreign, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """What machines would fail at."""
        return tuple(each for each in self.findings if each.level == "failed")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is odd, or fails machines of a kind that may not be there."""
        return tuple(each for each in self.findings if each.level == "warning")

    @property
    def outcome(self) -> object:
        """What two checks have in common that found the same."""
        met = frozenset((each.client, each.what, each.level) for each in self.findings)
        return met, frozenset((each.address, each.mac) for each in self.foreign)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the check that *body* is, cut.  Raises KeyError, TypeError or ValueError."""
        findings = tuple(
            Finding(*_texts(each, "client", "what", "level", "detail"))
            for each in _listed(body, "findings")
        )
        if any(each.level not in LEVELS for each in findings):
            raise ValueError("a finding of no level")
        foreign = tuple(
            Foreign(*_texts(each, "address", "mac", "offered", "file"))
            for each in _listed(body, "foreign")
        )
        return cls(findings, foreign)


def _listed(body: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    listed = body[name]
    if not isinstance(listed, list):
        raise TypeError(f"{name} is no list")
    return listed[:MOST]


def _texts(each: Mapping[str, Any], *names: str) -> list[str]:
    texts = (str(each[name])[:LONGEST] for name in names)
    return ["".join(c if c.isprintable() else "?" for c in text) for text in texts]
