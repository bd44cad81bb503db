"""Gunicorn's worker as the edge runs it: what cannot even be read is answered as all else is.

Such a request never reaches the application: its answer, too, has a request id and the headers that
every answer bears, says as a problem what is wrong, and repeats nothing of what came.
"""

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus as S
from types import MappingProxyType
from typing import Any, Final

import structlog
from gunicorn.http import errors
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

STATUS: Final[Mapping[type[Exception], S]] = MappingProxyType(
    {
        errors.LimitRequestLine: S.REQUEST_URI_TOO_LONG,
        errors.LimitRequestHeaders: S.REQUEST_HEADER_FIELDS_TOO_LARGE,
        errors.UnsupportedTransferCoding: S.NOT_IMPLEMENTED,
        errors.ExpectationFailed: S.EXPECTATION_FAILED,
        errors.ConfigurationProblem: S.INTERNAL_SERVER_ERROR,
        errors.ParseException: S.BAD_REQUEST,
    }
)
"""The nearest ancestor's counts; whatever is not here is our own fault."""

log = structlog.get_logger()


class Threads(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """Threads that serve requests."""

    def handle_error(self, req: Any, client: socket.socket, addr: object, exc: Exception) -> None:
        """Answer what could not be served, and log it."""
        from edge import exchange  # noqa: PLC0415 - gunicorn's master loads this, and goes without

        status = status_of(type(exc))
        known = exchange.known_id(_given(req, exc))
        if status is S.INTERNAL_SERVER_ERROR:
            log.error("edge.failed", request_id=known, exc_info=exc)
        else:
            log.warning("edge.not-read", request_id=known, status=status, why=type(exc).__name__)
        with suppress(OSError):
            write_nonblock(client, answer(status, known, exchange.HEADERS))


def status_of(kind: type[Exception]) -> S:
    """Return the status of the answer to what ended in an error of *kind*."""
    return next((STATUS[each] for each in kind.__mro__ if each in STATUS), S.INTERNAL_SERVER_ERROR)


def answer(status: S, known: str, always: Mapping[str, str]) -> bytes:
    """Return the whole answer: a problem without a type of its own (RFC 9457, section 4.2.1)."""
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": status.description or status.phrase,
        "errors": [],
        "requestId": known,
    }
    body = json.dumps(problem).encode()
    headers = {
        **always,
        "Cache-Control": "no-store",
        "Connection": "close",
        "Content-Length": len(body),
        "Content-Type": "application/problem+json",
        "X-Request-Id": known,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _given(req: Any, exc: Exception) -> str:
    """Return the request id that came along, as far as the request was read."""
    read = req or getattr(exc, "req", None)
    named = (value for name, value in getattr(read, "headers", ()) if name == "X-REQUEST-ID")
    return str(next(named, ""))
