"""Short-lived rights to content-addressed files: signed into URLs, checked by the edge.  Pure.

A right stands behind `?g=`: its fields and their HMAC-SHA-256, between full stops.

    get.<site>.<expires>.<mac>                   read the one blob that the URL names
    put.<site>.<task>.<most>.<expires>.<mac>     upload for a task: any blob of up to <most> bytes

Ids are 32 hexadecimal digits, *expires* is in seconds since the epoch.  The mac of a `get` covers
the blob's SHA-256 too, which the path holds.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import UUID

from models.bootplan import File
from models.errors import Denied

QUERY: Final = "g"
"""The name of the right in a query string; log lines mask its value."""

ANY: Final = "{sha256}"
"""Stands in an upload's URL where the SHA-256 of what is uploaded belongs."""

SHA256: Final = re.compile(r"[0-9a-f]{64}")

METHODS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"get": frozenset({"GET", "HEAD"}), "put": frozenset({"PUT", "HEAD"})}
)
"""What a right of each kind allows; HEAD tells an uploader how far it has come."""

_FORM: Final = re.compile(
    r"(?:(?P<get>get\.[0-9a-f]{32})|put\.[0-9a-f]{32}\.[0-9a-f]{32}\.[0-9]{1,18})"
    r"\.[0-9]{1,12}\.[A-Za-z0-9_-]{43}"
)


class RightRefused(Denied):
    """A right that was not signed here, or not for this request."""

    code = "right-refused"


class RightExpired(Denied):
    """A right whose time is over."""

    code = "right-expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What was granted to *site*, until *expires* (seconds since the epoch).

    *task* and *most_bytes* bound an upload; a right to read has neither.
    """

    site: UUID
    expires: int
    task: UUID | None = None
    most_bytes: int = 0

    @property
    def holder(self) -> str:
        """Who acts by this right, in the words of the audit."""
        return f"site:{self.site}" + (f"/task:{self.task}" if self.task else "")


def place(sha256: str) -> str:
    """Return where the blob lies beneath a folder of blobs."""
    return f"{sha256[:2]}/{sha256[2:]}"


def link(key: bytes, sha256: str, *, site: UUID, expires: int, base: str = "") -> str:
    """Return the URL by which *site* may read one blob; *base* is the edge's, without a slash.

    Without *base* the URL begins with its path, and is seen from whatever edge the site knows.
    """
    fields = ("get", site.hex, str(expires))
    return _url(base, sha256, fields, _mac(key, (*fields, sha256)))


def links(
    key: bytes, files: Iterable[File], *, site: UUID, expires: int, base: str = ""
) -> dict[str, str]:
    """Return a link for each of *files*, by SHA-256."""
    sums = {file.sha256.lower() for file in files}
    return {each: link(key, each, site=site, expires=expires, base=base) for each in sorted(sums)}


def upload(
    key: bytes, task: UUID, *, site: UUID, most_bytes: int, expires: int, base: str = ""
) -> str:
    """Return the URL, with ANY for the SHA-256, by which a task of *site* may upload."""
    fields = ("put", site.hex, task.hex, str(most_bytes), str(expires))
    return _url(base, ANY, fields, _mac(key, fields))


def right(key: bytes, text: str, *, method: str, sha256: str, now: float) -> Right:
    """Return the right that *text* proves to *method* of the blob *sha256* at *now*.

    Raises RightRefused and RightExpired.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise RightRefused("the URL holds no signature")
    kind, *fields, mac = text.split(".")
    covered = (kind, *fields, sha256) if form["get"] else (kind, *fields)
    if not hmac.compare_digest(mac, _mac(key, covered)):
        raise RightRefused("the URL was not signed here, or was changed")
    if method not in METHODS[kind]:
        raise RightRefused(f"the URL is not signed for {method}")
    expires = int(fields[-1])
    if now >= expires:
        raise RightExpired("the URL has run out", hint="Ask control for a new one.")
    if form["get"]:
        return Right(site=UUID(fields[0]), expires=expires)
    site, task, most, _ = fields
    return Right(site=UUID(site), expires=expires, task=UUID(task), most_bytes=int(most))


def _url(base: str, sha256: str, fields: Iterable[str], mac: str) -> str:
    return f"{base}/v1/blobs/{sha256}?{QUERY}={'.'.join((*fields, mac))}"


def _mac(key: bytes, fields: Iterable[str]) -> str:
    text = "\n".join(("sprout-blob-1", *fields)).encode()
    return base64.urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)).decode().rstrip("=")
