"""What a canary found: values, and their plain form."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is: machines boot, some would not or something is odd, or they do not boot."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one *client* met; *what* is the step: offer, loader, script, servers."""

    client: str
    what: str
    level: Level
    detail: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A DHCP server that does not know the site's key: who it says it is, and whence it spoke."""

    address: str
    mac: str
    offered: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One check of a site."""

    findings: Sequence[Finding]
    foreign: Sequence[Foreign] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed; there may be warnings."""
        return all(each.level is not Level.FAILED for each in self.findings)

    def encode(self) -> dict[str, Any]:
        """Return the plain JSON form."""
        return {
            "ok": self.ok,
            "findings": [{**asdict(each), "level": each.level.value} for each in self.findings],
            "foreign": [asdict(each) for each in self.foreign],
            "seconds": round(self.seconds, 2),
        }
