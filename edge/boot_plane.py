"""Booting machines that ask the edge: it sends them on to the boot plane of their site.

What is served there is for a machine and its run alone, under the site's own key.  The edge says
where that is and nothing else, so that it may be asked by anybody.
"""

import json
from typing import Final
from uuid import UUID

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from models import boot_planes, installer_calls, names
from models.database import borrowed
from models.installer_calls import Caller

blueprint: Final = Blueprint("boot_plane", __name__)

_SAME_METHOD: Final = 307
"""RFC 9110, section 15.4.8: what was posted is posted there again."""


@blueprint.get("/ipxe/<mac>")
def script(mac: str) -> ResponseReturnValue:
    """Send a loader to its script."""
    return _there(Caller(macs=(names.mac(mac, field="mac"),)))


@blueprint.post("/api/boot/answer")
def answer() -> ResponseReturnValue:
    """Send an installer to its answer."""
    try:
        told = json.loads(request.get_data(cache=False))
    except (ValueError, RecursionError) as exc:
        raise BadRequest("want a JSON object") from exc
    return _there(installer_calls.asked(told))


@blueprint.get("/api/hosts/<uuid:host>/first-boot-script")
@blueprint.post("/api/hosts/<uuid:host>/installed")
@blueprint.post("/api/hosts/<uuid:host>/phone-home")
def of_host(host: UUID) -> ResponseReturnValue:
    """Send a host on with what it asks or tells."""
    with borrowed():
        return _sent(boot_planes.of_machine(host))


def _there(caller: Caller) -> ResponseReturnValue:
    with borrowed():
        return _sent(boot_planes.of_caller(caller))


def _sent(url: str) -> ResponseReturnValue:
    query = request.query_string.decode("latin-1")
    return redirect(f"{url}{request.path}{'?' if query else ''}{query}", _SAME_METHOD)
