"""Rights to blobs under the deployment's own key, and what the records say of blobs."""

import secrets
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from models import audit, blobs
from models.audit import Caller
from models.blobs import Right
from models.bootplan import File
from models.database import database
from models.tables import Key

LINK_S: Final = 3600
"""How long a site may begin to read a file of a plan."""

UPLOAD_S: Final = 24 * 3600
"""How long a task's evidence may be uploaded: longer than most cuts of an uplink."""

MOST_BYTES: Final = 64 << 20
"""Of one task's evidence, unless its grant says otherwise."""

_KEY: Final = "blobs"

_NAMED: Final = """
SELECT DISTINCT a.prefix || '/' || sums.key
FROM images i JOIN artifacts a ON a.id = i.artifact_id, jsonb_each_text(i.checksums) AS sums
WHERE a.backend = 'filesystem' AND sums.value = %s ORDER BY 1
"""


_ELSEWHERE: Final = """
SELECT DISTINCT sums.value, a.prefix || '/' || sums.key, a.base_url
FROM images i JOIN artifacts a ON a.id = i.artifact_id, jsonb_each_text(i.checksums) AS sums
WHERE sums.value = ANY(%s) ORDER BY 1, 2, 3
"""


def key() -> bytes:
    """Return the key that rights are signed with, made when it is first asked for."""
    kept: Key | None = Key.get_or_none(Key.name == _KEY)
    if kept is None:
        Key.insert(name=_KEY, value=secrets.token_bytes(32)).on_conflict_ignore().execute()
        kept = Key.get_by_id(_KEY)
    return bytes(kept.value)


def links(files: Iterable[File], site: UUID, now: datetime, base: str = "") -> dict[str, str]:
    """Return by SHA-256 the URLs by which *site* may fetch *files* for LINK_S seconds.

    Without *base* (the edge's URL) each is seen from the edge that the site was enrolled at.
    """
    return blobs.links(key(), files, site=site, expires=_until(now, LINK_S), base=base)


def elsewhere(files: Iterable[File], ours: Collection[str]) -> dict[str, str]:
    """Return by SHA-256 the URLs of those of *files* that lie at another server.

    *ours* are the URLs of boot HTTP: what is below one of them lies at the site itself, as what an
    artifact without a base URL has, whatever other artifact has the same.
    """
    wanted = {(file.sha256.lower(), file.path) for file in files}
    rows = database.execute_sql(_ELSEWHERE, (sorted({sha256 for sha256, _ in wanted}),))
    near = {"", *(urlsplit(url).netloc for url in ours)}
    found: dict[str, str] = {}
    here = set()
    for sha256, path, base in rows:
        if (sha256, path) not in wanted:
            continue
        if urlsplit(base).netloc in near:
            here.add(sha256)
        found.setdefault(sha256, f"{base.rstrip('/')}/{path}")
    return {sha256: url for sha256, url in found.items() if sha256 not in here}


def upload(
    task: UUID, site: UUID, now: datetime, *, most_bytes: int = MOST_BYTES, base: str = ""
) -> str:
    """Return the URL, with `{sha256}` in it, by which a task may upload for UPLOAD_S seconds."""
    expires = _until(now, UPLOAD_S)
    return blobs.upload(key(), task, site=site, most_bytes=most_bytes, expires=expires, base=base)


def right(text: str, *, method: str, sha256: str, now: datetime) -> Right:
    """Return what *text* allows to *method* of a blob.  Raises RightRefused and RightExpired."""
    return blobs.right(key(), text, method=method, sha256=sha256, now=now.timestamp())


def named(sha256: str) -> list[str]:
    """Return which paths below the artifact folder should hold *sha256*, as images say."""
    return [str(path) for (path,) in database.execute_sql(_NAMED, (sha256,))]


def kept(caller: Caller, sha256: str, *, size: int, site: UUID | None = None) -> None:
    """Record that a blob of *size* bytes was uploaded and is visible."""
    with database.atomic():
        audit.record(caller, "blob.put", kind="blob", id=sha256, site=site, data={"bytes": size})


def _until(now: datetime, seconds: int) -> int:
    return int(now.timestamp()) + seconds
