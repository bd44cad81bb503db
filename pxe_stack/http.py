"""The boot contract as a Flask blueprint, so that the edge can be a boot owner too.

A site's own processes answer without Flask: see http_server.
"""

import os
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from typing import Final

from flask import Blueprint, Flask, Response, g, request

from models import installer_calls
from pxe_stack import boot, forms, metadata
from pxe_stack.boot import CALLBACKS, SCRIPT
from pxe_stack.boot_sources import Sources
from pxe_stack.http_answer import Answer, FilePart, plain
from pxe_stack.http_message import Request, request_id

__all__ = ["CALLBACKS", "SCRIPT", "Sources", "app", "blueprint"]

BLOCK: Final = 1024 * 1024

_RULES: Final = (
    ("/healthz", "healthz", ("GET",)),
    ("/ipxe/<path:rest>", "entry", ("GET",)),
    ("/boot/<path:rest>", "run", ("GET", "POST")),
    ("/api/<path:rest>", "host", ("GET", "POST")),
    ("/artifacts/<path:rest>", "artifact", ("GET",)),
    ("/loaders/<path:rest>", "loader", ("GET",)),
    *((f"/{name}/<path:rest>", f"metadata-{name}", ("GET",)) for name in metadata.VERSIONS),
)


def app(sources: Sources) -> Flask:
    """Return boot HTTP as an application of its own, whose errors are short and plain."""
    made = Flask("pxe_stack", static_folder=None)
    made.config["MAX_CONTENT_LENGTH"] = max(forms.LARGEST, installer_calls.LARGEST)
    made.url_map.merge_slashes = False
    made.after_request(_named)
    made.register_blueprint(blueprint(sources))
    for status in (404, 405, 413, 500):
        made.register_error_handler(status, partial(_plain_error, HTTPStatus(status)))
    return made


def blueprint(sources: Sources) -> Blueprint:
    """Return the routes of the boot contract, answered from *sources*."""
    made = Blueprint("boot", "pxe_stack")
    for rule, name, methods in _RULES:
        made.add_url_rule(rule, name, partial(_view, sources), methods=methods)
    return made


def _view(sources: Sources, rest: str = "") -> Response:
    return respond(boot.answer(sources, asked(request.get_data(cache=False))))


def asked(body: bytes = b"") -> Request:
    """Return the request that Flask is answering, with *body*."""
    return Request(
        method=request.method,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        fields={name.lower(): value for name, value in request.headers},
        client=request.remote_addr or "",
        body=body,
        id=_request_id(),
    )


def _request_id() -> str:
    if "boot_request_id" not in g:
        g.boot_request_id = request_id({"x-request-id": request.headers.get("X-Request-Id", "")})
    return str(g.boot_request_id)


def _named(response: Response) -> Response:
    response.headers["X-Request-Id"] = _request_id()
    return response


def respond(answer: Answer) -> Response:
    """Return *answer* as Flask sends it; a file leaves by sendfile where the server can."""
    fields = dict(answer.fields)
    if answer.status is not HTTPStatus.NOT_MODIFIED:
        fields["Content-Length"] = str(answer.size)
    if not isinstance(answer.body, FilePart):
        # A list: of bytes themselves, Flask would write down the length, also for HEAD.
        return Response([answer.body], status=answer.status, headers=fields)
    if answer.sent is not None:
        answer.sent(answer.body.length)
    answer.body.file.seek(answer.body.start)
    # gunicorn hands what it wrapped itself to sendfile(2), from where the file stands.
    wrapper = None if answer.body.laid else request.environ.get("wsgi.file_wrapper")
    body = _pieces(answer.body) if wrapper is None else wrapper(answer.body.file, BLOCK)
    return Response(body, status=answer.status, headers=fields, direct_passthrough=True)


def _pieces(part: FilePart) -> Iterator[bytes]:
    at, end = part.start, part.start + part.length
    with part.file:
        while at < end:
            due = part.due(at, min(BLOCK, end - at))
            piece = due if isinstance(due, bytes) else os.pread(part.file.fileno(), due, at)
            if not piece:
                return
            at += len(piece)
            yield piece


def _plain_error(status: HTTPStatus, _error: Exception) -> Response:
    return respond(plain(status))
