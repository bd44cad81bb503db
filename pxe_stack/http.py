"""Boot HTTP: scripts, seeds, callbacks, artifacts and loaders, over a Directory and a Journal.

A GET changes nothing that carries authority.  Whoever is not the machine that a URL was made for
gets the constant answer: local boot for a script, 404 for anything else, 200 for a callback; and
it is written down.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import structlog
from flask import Blueprint, Flask, Response, request

from models import bootplan, names
from models.bootplan import SLOT, Access, Document
from models.errors import Invalid
from models.observations import Observation, Seen, Source
from pxe_stack import files, forms, scripts
from pxe_stack.directory import Directory, Journal, Known, StoredFile
from pxe_stack.downloads import Downloads
from pxe_stack.loaders import Loaders

log = structlog.get_logger()

RECENT_S: Final = 300.0
"""How long after DHCP saw a machine the tokenless entry leads to its script."""

CALLBACKS: Final[Mapping[str, Seen]] = MappingProxyType(
    {
        "started": Seen.INSTALL_STARTED,
        "progress": Seen.INSTALL_PROGRESS,
        "installed": Seen.INSTALLED,
        "failed": Seen.INSTALL_FAILED,
        "phone-home": Seen.PHONED_HOME,
    }
)
_SERVED: Final = {Access.SCRIPT: Seen.SCRIPT_SERVED, Access.SEED: Seen.SEED_SERVED}
SCRIPT: Final = "script"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the views answer from.  *dhcp_on*: this site's own DHCP sees every network boot."""

    directory: Directory
    journal: Journal
    loaders: Loaders
    key: bytes = field(repr=False)
    boot_url: str
    dhcp_on: bool
    clock: Callable[[], float] = time.time
    downloads: Downloads = field(default_factory=Downloads)


def app(sources: Sources) -> Flask:
    """Return boot HTTP as an application of its own, whose errors are short and plain."""
    made = Flask("pxe_stack", static_folder=None)
    made.config["MAX_CONTENT_LENGTH"] = forms.LARGEST
    made.url_map.merge_slashes = False
    made.register_blueprint(blueprint(sources))
    for status in (404, 405, 413, 500):
        made.register_error_handler(status, partial(_plain_error, status))
    return made


def blueprint(sources: Sources) -> Blueprint:
    """Return the routes of the boot contract, answered from *sources*."""
    made = Blueprint("boot", "pxe_stack")
    routes: tuple[tuple[str, str, Callable[..., Response], str], ...] = (
        ("/healthz", "healthz", _healthz, "GET"),
        ("/ipxe/<mac>", "entry", _entry, "GET"),
        ("/boot/<run>/<token>/<path:name>", "document", _document, "GET"),
        ("/boot/<run>/<token>/<name>", "callback", _callback, "POST"),
        ("/artifacts/<path:url_path>", "artifact", _artifact, "GET"),
        ("/loaders/<name>", "loader", _loader, "GET"),
    )
    for rule, name, view, method in routes:
        made.add_url_rule(rule, name, partial(view, sources), methods=[method])
    return made


def _healthz(sources: Sources) -> Response:
    return _text("ok\n")


def _entry(sources: Sources, mac: str) -> Response:
    """The tokenless entry: leads to the script only a machine that DHCP has just seen."""
    try:
        known = sources.directory.by_mac(names.mac(mac, field="mac"))
    except Invalid:
        known = None
    if known is None:
        _strange(sources, "unknown-mac", None, path=f"/ipxe/{mac[:64]}")
        return _text(scripts.unknown_machine())
    here = _client() == known.plan.addressing.address
    if here and known.opens(Access.SCRIPT) and _was_seen(sources, known):
        return _text(scripts.chain(bootplan.url(known.plan, sources.key, Access.SCRIPT, SCRIPT)))
    _note(sources, Seen.LOCAL_BOOT_SERVED, known, {"path": f"/ipxe/{known.plan.mac}"})
    return _text(scripts.local_boot(sources.boot_url))


def _was_seen(sources: Sources, known: Known) -> bool:
    if not sources.dhcp_on:
        return True
    at = sources.journal.acked_at(known.plan.mac)
    return at is not None and 0 <= sources.clock() - at <= RECENT_S


def _document(sources: Sources, run: str, token: str, name: str) -> Response:
    """A script or seed, in its window, to the machine that it was rendered for."""
    begun = time.perf_counter()
    known = _known(sources, run)
    found = None if known is None else known.plan.document(name)
    path = f"/boot/{run[:36]}/***/{name[:64]}"
    access = Access.SCRIPT if found is None else found.access
    why = _stranger(sources, known, access, token) or ("" if found else "no-such-document")
    if known is None or found is None or why:
        _strange(sources, why, known, path=path)
        return _constant(sources, name)
    body = bootplan.fill(found.body, bootplan.slot_values(known.plan, sources.key)).encode()
    response = _text(body, media_type=found.media_type)
    response.make_conditional(request.environ, accept_ranges=True, complete_length=len(body))
    if request.method == "GET":
        data = {
            "path": path,
            "status": response.status_code,
            "ms": round((time.perf_counter() - begun) * 1000, 2),
            **_receipt(sources, found, body),
        }
        _note(sources, _SERVED[found.access], known, data)
    return response


def _receipt(sources: Sources, document: Document, body: bytes) -> dict[str, Any]:
    """What proves later which bytes were served, without keeping them."""
    return {
        "document": document.name,
        "receipt": document.receipt,
        "slots": sorted(set(SLOT.findall(document.body))),
        "bytes": len(body),
        "keyed": hmac.new(sources.key, body, hashlib.sha256).hexdigest(),
    }


def _constant(sources: Sources, name: str) -> Response:
    if name == SCRIPT:
        return _text(scripts.local_boot(sources.boot_url))
    return _plain_error(HTTPStatus.NOT_FOUND, None)


def _callback(sources: Sources, run: str, token: str, name: str) -> Response:
    """What a machine reports: on the disk before the 200 leaves; a stranger's moves nothing."""
    kind = CALLBACKS.get(name)
    if kind is None:
        return _plain_error(HTTPStatus.NOT_FOUND, None)
    try:
        fields = forms.read(request.get_data(cache=False))
    except forms.Unreadable as exc:
        return _text(f"{exc}\n", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    known = _known(sources, run)
    why = _stranger(sources, known, Access.CALLBACK, token)
    if known is None or why:
        late = _is_late(sources, run, token)
        _strange(
            sources,
            "late-callback" if late else why,
            known,
            path=f"/boot/{run[:36]}/***/{name}",
            fields=dict(fields) if late else {},
        )
    else:
        _note(sources, kind, known, {**fields, "client": _client()})
    return _text("ok\n")


def _stranger(sources: Sources, known: Known | None, access: Access, token: str) -> str:
    """Return why a request is not from whom its URL was made for, or nothing when it is."""
    if known is None or known.plan.run is None:
        return "no-such-run"
    right = bootplan.token(sources.key, known.plan.run, access)
    if not hmac.compare_digest(right.encode(), token.encode()):
        return "wrong-token"
    if _client() != known.plan.addressing.address:
        return "wrong-address"
    return "" if known.opens(access) else "window-closed"


def _is_late(sources: Sources, run: str, token: str) -> bool:
    """Whether the token is one that this site made, for a run that is over."""
    try:
        right = bootplan.token(sources.key, UUID(run), Access.CALLBACK)
    except ValueError:
        return False
    return hmac.compare_digest(right.encode(), token.encode())


def _artifact(sources: Sources, url_path: str) -> Response:
    """An artifact, or the chunk list of one: public, and found in a closed table."""
    if url_path.endswith(files.CHUNKS_SUFFIX):
        text = sources.directory.chunks(url_path.removesuffix(files.CHUNKS_SUFFIX))
        if text:
            return _text(text)
    stored = sources.directory.file(url_path)
    if stored is None:
        return _plain_error(HTTPStatus.NOT_FOUND, None)
    try:
        served = files.respond(stored, request.environ)
    except files.Changed:
        log.exception("files.changed", path=url_path)
        return _text("the file has changed\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
    if served.length:
        _note_download(sources, stored, served)
    return served.response


def _note_download(sources: Sources, stored: StoredFile, served: files.Served) -> None:
    summary = sources.downloads.take(
        (_client(), stored.url_path),
        size=stored.size,
        start=served.start,
        length=served.length,
        now=time.monotonic(),
    )
    if summary is None:
        return
    data = {
        "path": f"/artifacts/{stored.url_path}",
        "status": served.response.status_code,
        "bytes": summary.bytes,
        "size": stored.size,
        "requests": summary.requests,
        "seconds": round(summary.seconds, 3),
        "range": f"{served.start}-{served.start + served.length - 1}",
        "whole": summary.whole,
    }
    _note(sources, Seen.ARTIFACT_SERVED, sources.directory.by_address(_client()), data)


def _loader(sources: Sources, name: str) -> Response:
    """A network loader, for firmware that boots over HTTP and for the local-boot script."""
    found = sources.loaders.find(name)
    if found is None:
        return _plain_error(HTTPStatus.NOT_FOUND, None)
    response = _text(found.data, media_type="application/efi")
    response.make_conditional(request.environ, accept_ranges=True, complete_length=len(found.data))
    if request.method == "GET":
        data = {"path": f"/loaders/{found.name}", "bytes": len(found.data)}
        _note(sources, Seen.ARTIFACT_SERVED, sources.directory.by_address(_client()), data)
    return response


def _known(sources: Sources, run: str) -> Known | None:
    try:
        return sources.directory.by_run(UUID(run))
    except ValueError:
        return None


def _note(sources: Sources, kind: Seen, known: Known | None, data: Mapping[str, Any]) -> None:
    plan = None if known is None else known.plan
    sources.journal.append(
        Observation(
            kind=kind,
            source=Source.HTTP,
            at=sources.clock(),
            mac=None if plan is None else plan.mac,
            machine=None if plan is None else plan.machine,
            run=None if plan is None else plan.run,
            data=data if "client" in data else {"client": _client(), **data},
        )
    )


def _strange(sources: Sources, why: str, known: Known | None, **data: Any) -> None:
    log.warning("http.stranger", why=why, client=_client(), path=data.get("path"))
    _note(sources, Seen.STRANGE_REQUEST, known, {"why": why, "method": request.method, **data})


def _client() -> str:
    return request.remote_addr or ""


def _text(
    body: str | bytes, *, media_type: str = "text/plain", status: int = HTTPStatus.OK
) -> Response:
    response = Response(body, status=status, content_type=media_type)
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest())
    response.headers["Cache-Control"] = "no-store"
    return response


def _plain_error(status: int, _error: Exception | None) -> Response:
    return _text(f"{HTTPStatus(status).phrase.lower()}\n", status=status)
