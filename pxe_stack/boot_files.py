"""Artifacts and loaders: files of a closed table, public, sent by whoever has the connection."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

import structlog

from models.observations import Seen
from pxe_stack import canary_mark, files, http_proxy
from pxe_stack.boot_sources import Sources, note
from pxe_stack.directory import StoredFile
from pxe_stack.http_answer import Answer, FilePart, plain, text
from pxe_stack.http_message import Request

log = structlog.get_logger()


def is_file(path: str) -> bool:
    """Whether *path* is one of those that a public file may be sent for."""
    return path.startswith(("/artifacts/", "/loaders/"))


def artifact(sources: Sources, request: Request, rest: str) -> Answer:
    """An artifact, or the chunk list of one: public, and found in a closed table."""
    if rest.endswith(files.CHUNKS_SUFFIX):
        listed = sources.directory.chunks(rest.removesuffix(files.CHUNKS_SUFFIX))
        if listed:
            return text(listed, request=request)
    stored = sources.directory.file(rest)
    if stored is None:
        return plain(HTTPStatus.NOT_FOUND)
    try:
        made = files.answer(stored, request)
        # A proxy would judge If-Match by an ETag of its own, and has none.
        if request.accel and "if-match" not in request.fields:
            return _by_proxy(sources, request, stored, made)
    except files.Changed:
        log.exception("files.changed", path=rest)
        return text("the file has changed\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
    if not isinstance(made.body, FilePart):
        return made
    return told(sources, request, stored, made)


def told(sources: Sources, request: Request, stored: StoredFile, made: Answer) -> Answer:
    """Return *made*, which sends a part of *stored*, with what counts the bytes that left."""
    sent = partial(_sent, sources, request, stored, made)
    return replace(made, sent=sent)


def _by_proxy(sources: Sources, request: Request, stored: StoredFile, made: Answer) -> Answer:
    """Have the web server in front send the file, where it can."""
    url = http_proxy.internal(request.accel, stored.location)
    if url is None or not isinstance(made.body, FilePart):
        return made
    made.body.close()
    _sent(sources, request, stored, made, 0)
    fields = {**files.headers(stored), "X-Accel-Redirect": url}
    return Answer(status=HTTPStatus.OK, fields=fields)


def _sent(
    sources: Sources,
    request: Request,
    stored: StoredFile,
    made: Answer,
    length: int,
) -> None:
    """Count what was sent of an artifact, and write it down when a row is due."""
    start = made.body.start if isinstance(made.body, FilePart) else 0
    summary = sources.downloads.take(
        (request.client, stored.url_path),
        size=stored.size,
        start=start,
        length=length,
        now=time.monotonic(),
    )
    if summary is None:
        return
    data = {
        "path": f"/artifacts/{stored.url_path}",
        "status": made.status.value,
        "bytes": summary.bytes,
        "size": stored.size,
        "requests": summary.requests,
        "seconds": round(summary.seconds, 3),
        "range": f"{start}-{start + length - 1}",
        "whole": summary.whole,
    }
    sources.defer(partial(_note_file, sources, request, data))


def _note_file(sources: Sources, request: Request, data: Mapping[str, Any]) -> None:
    known = sources.directory.by_address(request.client)
    note(sources, request, Seen.ARTIFACT_SERVED, known, data)


def loader(sources: Sources, request: Request, rest: str) -> Answer:
    """A network loader, for firmware that boots over HTTP and for the local-boot script."""
    found = sources.loaders.find(rest)
    if found is None:
        return plain(HTTPStatus.NOT_FOUND)
    made = text(found.data, media_type="application/efi", request=request)
    if request.method == "GET" and request.fields.get("user-agent") != canary_mark.AGENT:
        data = {"path": f"/loaders/{found.name}", "bytes": len(found.data)}
        sources.defer(partial(_note_file, sources, request, data))
    return made
