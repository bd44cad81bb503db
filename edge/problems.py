"""Every error becomes problem+json (RFC 9457), or a small page where a browser asked for one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import structlog
from flask import Blueprint, Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from edge import auth, plain, refusals
from edge.errors import BY_STATUS, CATALOGUE, Fault, Refusal
from edge.exchange import methods_of, request_id
from edge.restraint import Restraint
from models.commands import policy
from models.database import Unavailable, borrowed
from models.errors import DomainError, Forbidden, NotFound

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5

_SAID: Final[Mapping[int, str]] = MappingProxyType(
    {
        HTTPStatus.NOT_FOUND: "there is nothing at this URL",
        HTTPStatus.METHOD_NOT_ALLOWED: "this URL has no such method",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is larger than 1 MiB",
    }
)
"""Our words, where the framework's are long."""

problems: Final = Blueprint("problems", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error as it is told; *code* is a key of CATALOGUE, or empty for about:blank."""

    code: str
    status: int
    title: str
    detail: str
    faults: tuple[Fault, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    decision: str = ""

    def encode(self, instance: str) -> dict[str, Any]:
        """Return the JSON form for the request *instance*."""
        return {
            "type": f"/problems/{self.code}" if self.code else "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": [
                {"pointer": fault.pointer, "detail": fault.detail, "hint": fault.hint}
                for fault in self.faults
            ],
            "requestId": instance,
            **({"policyDecisionId": self.decision} if self.decision else {}),
        }


def install(app: Flask) -> None:
    """Have every error of *app* answered here."""
    app.extensions[refusals.RESTRAINT] = Restraint()
    app.register_error_handler(DomainError, _domain)
    app.register_error_handler(Refusal, _refusal)
    app.register_error_handler(Unavailable, _unavailable)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)
    app.register_blueprint(problems)


@problems.get("/problems/<code>")
def show(code: str) -> ResponseReturnValue:
    """Say what a type of problem means, and what to do about it."""
    known = CATALOGUE.get(code)
    if known is None:
        raise NotFound("there is no such type of problem")
    what = f"HTTP {known.status.value} {known.status.phrase}."
    return plain.page(f"{code}: {known.title}", what, known.remedy)


def _domain(exc: DomainError) -> Response:
    told = [each for each in (exc, *exc.also) if each.field or each.hint]
    faults = tuple(Fault(each.field, str(each), each.hint) for each in told)
    problem = _of(exc.code, str(exc), faults)
    if isinstance(exc, Forbidden):
        problem = replace(problem, decision=kept(exc))
    return _answer(problem)


def kept(exc: Forbidden) -> str:
    """Keep the judgement, which the refusal has rolled back; return its id."""
    try:
        with borrowed():
            return str(policy.keep(exc))
    except Unavailable as lost:
        log.warning("policy.lost-decision", why=str(lost))
        return ""


def _refusal(exc: Refusal) -> Response:
    return _answer(_of(exc.code, str(exc), exc.faults, exc.headers))


def _unavailable(exc: Unavailable) -> Response:
    log.warning("edge.database-away", why=str(exc))
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return _answer(_of("unavailable", "the database cannot be reached", (), headers))


def _http(exc: HTTPException) -> ResponseReturnValue:
    status = exc.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if status < HTTPStatus.BAD_REQUEST:
        return exc.get_response()
    headers = methods_of(exc)
    detail = _SAID.get(status) or exc.description or HTTPStatus(status).phrase
    if code := BY_STATUS.get(status):
        return _answer(_of(code, detail, (), headers))
    title = HTTPStatus(status).phrase
    return _answer(Problem(code="", status=status, title=title, detail=detail, headers=headers))


def _unforeseen(exc: Exception) -> Response:
    log.error("edge.failed", exc_info=exc)
    return _answer(_of("internal", "the edge failed; nothing is known to have changed"))


def _of(
    code: str,
    detail: str,
    faults: tuple[Fault, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Problem:
    known = CATALOGUE[code]
    return Problem(
        code=code,
        status=known.status,
        title=known.title,
        detail=detail,
        faults=faults,
        headers=headers or {},
    )


def _answer(problem: Problem) -> Response:
    refusals.record(
        code=problem.code,
        status=problem.status,
        pointers=[fault.pointer for fault in problem.faults],
    )
    if _wants_a_page():
        answer = _page(problem)
    else:
        body = json.dumps(problem.encode(request_id()))
        answer = Response(body, status=problem.status, content_type=MEDIA_TYPE)
    answer.headers.update(problem.headers)
    return answer


def _wants_a_page() -> bool:
    asked = request.accept_mimetypes
    return asked.best_match(["application/json", MEDIA_TYPE, "text/html"]) == "text/html"


def _page(problem: Problem) -> Response:
    known = CATALOGUE.get(problem.code)
    remedy = "" if known is None else known.remedy
    if auth.operator().session:
        try:
            return _framed(problem, remedy)
        except Exception as exc:  # noqa: BLE001 - whatever fails, the first failure is told
            log.warning("edge.no-frame", why=type(exc).__name__)
    hints = [f"{fault.pointer} {fault.detail}. {fault.hint}" for fault in problem.faults]
    parts = [problem.detail, *hints, remedy, f"Request {request_id()}"]
    return plain.page(problem.title, *filter(None, parts), status=problem.status)


def _framed(problem: Problem, remedy: str) -> Response:
    """Return the page with what is around every page, for whoever is signed in."""
    with borrowed():
        html = render_template(
            "error.html", problem=problem, remedy=remedy, request_id=request_id()
        )
    return Response(html, status=problem.status, mimetype="text/html")
