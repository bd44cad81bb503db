"""Booting machines that ask the edge: it sends them on to the boot plane of their site.

What is served there is for a machine and its run alone, under the site's own key.  The edge says
where that is and nothing else, so that it may be asked by anybody: with 307, by which what was
posted is posted there again (RFC 9110, section 15.4.8; `curl -L`).
"""

import json
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import structlog
from flask import redirect, request
from flask.typing import ResponseReturnValue
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from pydantic import BaseModel
from werkzeug.exceptions import BadRequest

from edge.api import boot_forms, document, reading
from edge.api.boot_forms import HostId, LoaderRef, RunRef
from models import boot_planes, installer_calls, names
from models.database import borrowed
from models.errors import NotFound
from models.installer_calls import Caller

api: Final = APIBlueprint(
    "boot_plane",
    __name__,
    abp_tags=[Tag(name="boot plane", description="What booting machines ask, without signing in.")],
)

_SAME_METHOD: Final = HTTPStatus.TEMPORARY_REDIRECT
_ANYBODY: Final = ("wrong-host", "internal", "unavailable")
_REPORT: Final = "/api/hosts/<host>"

_View = Callable[..., ResponseReturnValue]

log = structlog.get_logger()


def _declared(
    method: str,
    rule: str,
    name: str,
    *refuses: str,
    served: str,
    takes: dict[str, type[BaseModel]],
    body: str = "",
) -> Callable[[_View], _View]:
    """Declare a view that whoever boots may ask; *served* is what its site answers, *body* sent."""
    told = dict(boot_forms.SERVED[served]) | document.problems({*_ANYBODY, *refuses})
    extra = {"request_body": boot_forms.sent(body)} if body else {}

    def declare(view: _View) -> _View:
        @wraps(view)
        def asked(**path: str) -> ResponseReturnValue:
            return view(**path)

        del asked.__wrapped__  # its signature is not the contract's
        asked.__annotations__ = takes
        asked.__delay_validate_request__ = True  # type: ignore[attr-defined] # see edge.api.contract
        getattr(api, method)(rule, operation_id=name, responses=told, **extra)(asked)
        return view

    return declare


@_declared(
    *("get", "/ipxe/<mac>", "getBootScript", "not-found", "invalid"),
    served="script",
    takes={"path": LoaderRef},
)
def script(mac: str) -> ResponseReturnValue:
    """Send a loader to its script.

    There, a machine that is to be installed is led on, until it has reported that it is; one that
    is installed, or is known and idle, starts its own disk.  Here, a MAC that no machine with a
    boot plan has is answered 404.
    """
    return _there(Caller(macs=(names.mac(mac, field="mac"),)))


@_declared(
    *("post", "/api/boot/answer", "createAnswer", "not-found", "invalid", "malformed", "too-large"),
    served="answer",
    takes={},
    body="answer",
)
def answer() -> ResponseReturnValue:
    """Send an installer to its answer.

    It is found by any MAC address of any of its cards, then by the UUID and then by the serial
    number of its system.  There, it is TOML unless `Accept` puts JSON first.
    """
    try:
        told = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError) as exc:
        raise BadRequest("want a JSON object") from exc
    return _there(installer_calls.asked(told))


@_declared(
    *("get", f"{_REPORT}/first-boot-script", "getFirstBootScript", "not-found", "validation"),
    served="first-boot",
    takes={"path": HostId, "query": RunRef},
)
def first_boot_script(host: str) -> ResponseReturnValue:
    """Send an installer to the script that its system runs at its first boot."""
    with borrowed():
        return _sent(boot_planes.of_machine(_id(host)))


@_declared(
    *("post", f"{_REPORT}/installed", "reportInstalled", "validation"),
    served="report",
    takes={"path": HostId, "query": RunRef},
    body="installed",
)
def installed(host: str) -> ResponseReturnValue:
    """Send an installation on with the report of its end.

    One of a host that nobody knows is answered 200, written down, and moves nothing.
    """
    return _reported(host)


@_declared(
    *("post", f"{_REPORT}/phone-home", "reportFirstBoot", "validation"),
    served="report",
    takes={"path": HostId, "query": RunRef},
    body="phone-home",
)
def phone_home(host: str) -> ResponseReturnValue:
    """Send a system on with the report of its first boot.

    One of a host that nobody knows is answered 200, written down, and moves nothing.
    """
    return _reported(host)


def _reported(host: str) -> ResponseReturnValue:
    """Send a report on; whoever makes one would stop, or repeat it, for any answer but a 200."""
    machine = _id(host)
    try:
        with borrowed():
            return _sent(boot_planes.of_machine(machine))
    except NotFound:
        log.info("boot-plane.strange", why="no-such-host", path=request.path[:128])
        return "ok\n", HTTPStatus.OK, {"Content-Type": "text/plain; charset=utf-8"}


def _id(host: str) -> UUID:
    return reading.from_text(HostId, {"host": host}).host


def _there(caller: Caller) -> ResponseReturnValue:
    with borrowed():
        return _sent(boot_planes.of_caller(caller))


def _sent(url: str) -> ResponseReturnValue:
    query: Any = request.query_string.decode("latin-1")
    return redirect(f"{url}{request.path}{'?' if query else ''}{query}", _SAME_METHOD)
