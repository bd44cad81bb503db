"""The boot contract: what each URL answers, over a Directory and a Journal, without any server.

A GET changes nothing that carries authority.  Whoever is not the machine that a URL was made for
gets the constant answer: local boot for a script, 404 for anything else, 200 for a callback; and
it is written down.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import bootplan, names
from models.bootplan import SLOT, Access, Document
from models.errors import Invalid
from models.observations import Seen
from pxe_stack import boot_files, forms, metadata, scripts
from pxe_stack.boot_sources import Sources, note, strange
from pxe_stack.canary_mark import is_canary
from pxe_stack.directory import Known
from pxe_stack.http_answer import Answer, plain, text
from pxe_stack.http_message import Request

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
_ERRNO: Final = re.compile(r"0x([0-9a-f]{8})")
SCRIPT: Final = "script"
TROUBLE: Final = "trouble"
"""What a script that gives up fetches, to say why."""


def answer(sources: Sources, request: Request) -> Answer:
    """Return the answer to *request*."""
    first, _, rest = request.path.removeprefix("/").partition("/")
    view = VIEWS.get(first)
    if view is None:
        return plain(HTTPStatus.NOT_FOUND)
    if request.method not in view.methods:
        status = HTTPStatus.METHOD_NOT_ALLOWED
        return plain(status, Allow=", ".join(sorted(view.methods)))
    return view.act(sources, request, rest)


def _healthz(sources: Sources, request: Request, rest: str) -> Answer:
    return plain(HTTPStatus.NOT_FOUND) if rest else text("ok\n")


def _entry(sources: Sources, request: Request, rest: str) -> Answer:
    """The tokenless entry: leads to the script only a machine that DHCP has just seen."""
    mac, _, more = rest.partition("/")
    try:
        known = sources.directory.by_mac(names.mac(mac, field="mac"))
    except Invalid:
        known = None
    if more:
        return _entry_trouble(sources, request, known, more)
    if known is None:
        if not is_canary(mac):
            strange(sources, request, "unknown-mac", None, path=f"/ipxe/{mac[:64]}")
        return text(scripts.unknown_machine())
    here = request.client == known.plan.addressing.address
    if here and known.opens(Access.SCRIPT) and _was_seen(sources, known):
        url = bootplan.url(known.plan, sources.key, Access.SCRIPT, SCRIPT)
        return text(scripts.chain(url, _trouble_url(sources, known)))
    path = f"/ipxe/{known.plan.mac}"
    note(sources, request, Seen.LOCAL_BOOT_SERVED, known, {"path": path})
    return text(scripts.local_boot(sources.boot_url))


def _trouble_url(sources: Sources, known: Known) -> str:
    return f"{known.plan.boot_base_url}/ipxe/{known.plan.mac}/{TROUBLE}"


def _entry_trouble(sources: Sources, request: Request, known: Known | None, name: str) -> Answer:
    if name != TROUBLE:
        return plain(HTTPStatus.NOT_FOUND)
    if known is None or request.client != known.plan.addressing.address:
        strange(sources, request, "trouble-of-a-stranger", known, path="/ipxe/*/trouble")
    else:
        _trouble(sources, request, known, Seen.BOOT_TROUBLE)
    return text("ok\n")


def _trouble(sources: Sources, request: Request, known: Known, kind: Seen) -> None:
    """Write down what an iPXE script says of its end; a flood of it is counted.

    Under the run's token it is a BOOT_FAILED, and ends the run as a callback does: not every iPXE
    can post.  At the entry, which has no token, it is words, and ends nothing.
    """
    told = forms.read(request.query.encode()[: forms.LARGEST])
    data = {name: told[name] for name in ("stage", "errno", "try", "platform") if name in told}
    stage, errno = data.get("stage", "script"), data.get("errno", "no reason given")
    data["reason"] = f"iPXE could not get past its {stage}: {errno}"
    if code := _ERRNO.fullmatch(errno):
        data["see"] = f"https://ipxe.org/{code[1]}"
        data["reason"] += f", see {data['see']}"
    note(sources, request, kind, known, data)


def _was_seen(sources: Sources, known: Known) -> bool:
    if not sources.dhcp_on:
        return True
    at = sources.journal.acked_at(known.plan.mac)
    return at is not None and 0 <= sources.clock() - at <= RECENT_S


def _run(sources: Sources, request: Request, rest: str) -> Answer:
    """Everything under a run's token."""
    run, _, rest = rest.partition("/")
    token, _, name = rest.partition("/")
    if not name:
        return plain(HTTPStatus.NOT_FOUND)
    if request.method == "POST":
        return _callback(sources, request, run, token, name)
    if name == TROUBLE:
        return _run_trouble(sources, request, run, token)
    return _document(sources, request, run, token, name)


def _document(sources: Sources, request: Request, run: str, token: str, name: str) -> Answer:
    """A script or seed, in its window, to the machine that it was rendered for."""
    begun = time.perf_counter()
    known = _known(sources, run)
    found = None if known is None else metadata.document(known.plan, name)
    path = f"/boot/{run[:36]}/***/{name[:64]}"
    access = Access.SCRIPT if found is None else found.access
    why = _stranger(sources, request, known, access, token)
    why = why or ("" if found else "no-such-document")
    if known is None or found is None or why:
        strange(sources, request, why, known, path=path)
        return _constant(sources, name)
    return _filled(sources, request, known, found, path=path, begun=begun)


def _filled(
    sources: Sources, request: Request, known: Known, found: Document, *, path: str, begun: float
) -> Answer:
    body = bootplan.fill(found.body, bootplan.slot_values(known.plan, sources.key)).encode()
    made = text(body, media_type=found.media_type, request=request)
    if request.method == "GET":
        data = {
            "path": path,
            "status": made.status.value,
            "ms": round((time.perf_counter() - begun) * 1000, 2),
            **_receipt(sources, found, body),
        }
        note(sources, request, _SERVED[found.access], known, data)
    return made


def _receipt(sources: Sources, document: Document, body: bytes) -> dict[str, Any]:
    """What proves later which bytes were served, without keeping them."""
    return {
        "document": document.name,
        "receipt": document.receipt,
        "slots": sorted(set(SLOT.findall(document.body))),
        "bytes": len(body),
        "keyed": hmac.new(sources.key, body, hashlib.sha256).hexdigest(),
    }


def _constant(sources: Sources, name: str) -> Answer:
    if name == SCRIPT:
        return text(scripts.local_boot(sources.boot_url))
    return plain(HTTPStatus.NOT_FOUND)


def _callback(sources: Sources, request: Request, run: str, token: str, name: str) -> Answer:
    """What a machine reports: on the disk before the 200 leaves; a stranger's moves nothing."""
    kind = CALLBACKS.get(name)
    if kind is None:
        return plain(HTTPStatus.NOT_FOUND)
    try:
        fields = forms.read(request.body)
    except forms.Unreadable as exc:
        return text(f"{exc}\n", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    known = _known(sources, run)
    why = _stranger(sources, request, known, Access.CALLBACK, token)
    if known is None or why:
        late = _is_late(sources, run, token)
        strange(
            sources,
            request,
            "late-callback" if late else why,
            known,
            path=f"/boot/{run[:36]}/***/{name}",
            fields=dict(fields) if late else {},
        )
    else:
        note(sources, request, kind, known, {**fields, "client": request.client})
    return text("ok\n")


def _run_trouble(sources: Sources, request: Request, run: str, token: str) -> Answer:
    known = _known(sources, run)
    why = _stranger(sources, request, known, Access.CALLBACK, token)
    if known is None or why:
        strange(sources, request, why, known, path=f"/boot/{run[:36]}/***/{TROUBLE}")
    else:
        _trouble(sources, request, known, Seen.BOOT_FAILED)
    return text("ok\n")


def _stranger(
    sources: Sources, request: Request, known: Known | None, access: Access, token: str
) -> str:
    """Return why a request is not from whom its URL was made for, or nothing when it is."""
    if known is None or known.plan.run is None:
        return "no-such-run"
    right = bootplan.token(sources.key, known.plan.run, access)
    if not hmac.compare_digest(right.encode(), token.encode()):
        return "wrong-token"
    if request.client != known.plan.addressing.address:
        return "wrong-address"
    return "" if known.opens(access) else "window-closed"


def _is_late(sources: Sources, run: str, token: str) -> bool:
    """Whether the token is one that this site made, for a run that is over."""
    try:
        right = bootplan.token(sources.key, UUID(run), Access.CALLBACK)
    except ValueError:
        return False
    return hmac.compare_digest(right.encode(), token.encode())


def _metadata(version: str, sources: Sources, request: Request, rest: str) -> Answer:
    """EC2-style metadata, for the machine whose address asks, where cloud-init looks for it."""
    begun, path = time.perf_counter(), f"/{version}/{rest[:64]}"
    known = sources.directory.by_address(request.client)
    if known is None or not known.opens(Access.SEED) or not _was_seen(sources, known):
        why = "unknown-address" if known is None else "window-closed"
        strange(sources, request, why, known, path=path)
        return plain(HTTPStatus.NOT_FOUND)
    found = metadata.document(known.plan, f"{version}/{rest}")
    if found is None:
        return plain(HTTPStatus.NOT_FOUND)
    return _filled(sources, request, known, found, path=path, begun=begun)


def _known(sources: Sources, run: str) -> Known | None:
    try:
        return sources.directory.by_run(UUID(run))
    except ValueError:
        return None


View = Callable[[Sources, Request, str], Answer]
_READ: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Row:
    """What answers below one first segment of a path."""

    act: View
    methods: frozenset[str] = _READ


VIEWS: Final[Mapping[str, Row]] = MappingProxyType(
    {
        "healthz": Row(_healthz),
        "ipxe": Row(_entry),
        "boot": Row(_run, _READ | {"POST"}),
        "artifacts": Row(boot_files.artifact),
        "loaders": Row(boot_files.loader),
        **{name: Row(partial(_metadata, name)) for name in metadata.VERSIONS},
    }
)
"""Every path that is served begins with one of these."""
