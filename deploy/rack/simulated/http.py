"""HTTP as iPXE, busybox and cloud-init speak it: one request, one connection, from one address."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode, urlsplit

PATIENCE_S: Final = 15.0
LARGEST: Final = 256 * 1024 * 1024

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Unanswered(Exception):
    """No connection, no answer in time, or one that is no HTTP."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole resource, also when this is a part of it."""
        _, slash, total = self.headers.get("content-range", "").rpartition("/")
        return int(total) if slash and total.isdecimal() else len(self.body)


async def get(url: str, *, source: str, part: tuple[int, int] | None = None) -> Answer:
    """Return the answer to GET; *part* is (first byte, length).  Raises Unanswered."""
    span = {} if part is None else {"Range": f"bytes={part[0]}-{part[0] + part[1] - 1}"}
    return await call("GET", url, source=source, headers=span)


async def post(url: str, form: Mapping[str, object], *, source: str) -> Answer:
    """Return the answer to a form.  Raises Unanswered."""
    body = urlencode({name: str(value) for name, value in form.items()}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return await call("POST", url, source=source, headers=kind, body=body)


async def call(
    method: str,
    url: str,
    *,
    source: str,
    headers: Mapping[str, str] = _NONE,
    body: bytes = b"",
) -> Answer:
    """Return the answer to one request sent from the address *source*.  Raises Unanswered."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise Unanswered(f"{url[:80]!r} is no http:// address")
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"] if body or method == "POST" else []
    request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _exchange((parts.hostname, parts.port or 80), source, request)
    except TimeoutError as exc:
        raise Unanswered("Connection timed out") from exc
    except (OSError, ValueError, IndexError, EOFError, asyncio.LimitOverrunError) as exc:
        raise Unanswered(getattr(exc, "strerror", None) or repr(exc)) from exc


async def _exchange(server: tuple[str, int], source: str, request: bytes) -> Answer:
    reader, writer = await asyncio.open_connection(*server, local_addr=(source, 0))
    try:
        writer.write(request)
        status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        pairs = (field.partition(":") for field in fields if field)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if length > LARGEST:
            raise ValueError(f"{length} bytes are more than a machine takes")
        bodiless = request.startswith(b"HEAD ")
        body = b"" if bodiless else await reader.readexactly(length)
        return Answer(int(status.split()[1]), headers, body)
    finally:
        writer.close()
