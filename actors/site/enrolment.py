"""Who this site is: the file that `sprout sites enrol` prints, read at each start."""

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

HOW: Final = (
    "Enrol this site: run `sprout sites enrol SITE > FILE` where the edge can be reached, "
    "`chmod 600 FILE`, and set SPROUT_ENROLMENT_FILE=FILE."
)


class NotEnrolled(Exception):
    """There is no enrolment to work by; says why, and which command makes one."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}\n{HOW}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A site's identity: *signing_key* signs its messages and derives its tokens."""

    site: UUID
    slug: str
    signing_key: bytes = field(repr=False)
    broker: str = field(repr=False)
    edge: str


def read(path: Path | None) -> Enrolment:
    """Return the enrolment in the file at *path*.  Raises NotEnrolled."""
    if path is None:
        raise NotEnrolled("SPROUT_ENROLMENT_FILE is not set.")
    try:
        mode = path.stat().st_mode
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise NotEnrolled(f"The enrolment file cannot be read: {exc}.") from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotEnrolled(f"{path} holds a key and is open to others: `chmod 600 {path}`.")
    return _parsed(text, path)


def _parsed(text: str, path: Path) -> Enrolment:
    try:
        body: Mapping[str, Any] = json.loads(text)
        key = bytes.fromhex(body["signing_key"])
        found = Enrolment(
            site=UUID(body["site"]),
            slug=str(body["slug"]),
            signing_key=key,
            broker=str(body["broker"]),
            edge=str(body["edge"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        # Neither the text nor its error is repeated: they may hold the key.
        raise NotEnrolled(f"{path} is no enrolment file ({type(exc).__name__}).") from None
    if not key:
        raise NotEnrolled(f"{path} holds no signing key.")
    return found
