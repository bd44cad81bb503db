"""Who this site is: the file that `sprout sites enrol` prints, read at each start."""

import json
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

HOW: Final = (
    "Enrol this site: run `sprout sites enrol SITE > FILE` where the edge can be reached, "
    "`chmod 600 FILE`, and set SPROUT_ENROLMENT_FILE=FILE."
)

LOOK_S: Final = 3.0
"""Seconds between two looks while there is no enrolment."""

_Found = TypeVar("_Found")


class NotEnrolled(Exception):
    """There is no enrolment to work by; says why, and which command makes one."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}\n{HOW}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A site's identity: *signing_key* signs its messages and derives its tokens.

    *ca* holds the certificates that the edge and the broker are checked by, as PEM; often none.
    """

    site: UUID
    slug: str
    signing_key: bytes = field(repr=False)
    broker: str = field(repr=False)
    edge: str
    ca: str = ""


def awaited(
    look: Callable[[], _Found], say: Callable[[str], None], stop: threading.Event
) -> _Found | None:
    """Return what *look* finds as soon as it raises NotEnrolled no more; None after *stop*.

    *say* is told why it waits: once, and again when the reason changes.
    """
    said = ""
    while True:
        try:
            return look()
        except NotEnrolled as exc:
            if str(exc) != said:
                said = str(exc)
                say(said)
        if stop.wait(LOOK_S):
            return None


def of_site(found: Enrolment, wanted: str) -> Enrolment:
    """Return *found* if it is of the site *wanted*, an id or a slug; empty means any.

    Raises NotEnrolled.
    """
    if wanted.lower() not in {"", str(found.site), found.site.hex, found.slug.lower()}:
        raise NotEnrolled(
            f"SPROUT_SITE_ID is {wanted}, and the enrolment file is of {found.slug} ({found.site})."
        )
    return found


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
            ca=str(body.get("ca") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        # Neither the text nor its error is repeated: they may hold the key.
        raise NotEnrolled(f"{path} is no enrolment file ({type(exc).__name__}).") from None
    if not key:
        raise NotEnrolled(f"{path} holds no signing key.")
    return found
