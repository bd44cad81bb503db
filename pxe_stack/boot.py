"""The boot contract: what each URL answers, over a Directory and a Journal, without any server.

A GET changes nothing that carries authority.  Whoever is not the machine that a URL was made for
gets the constant answer: local boot for a script, 404 for anything else, 200 for a callback; and
it is written down.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import structlog

from models.bootplan import Access, Action
from models.observations import Seen
from models.phases import Phase
from pxe_stack import boot_entry, boot_files, forms, host_calls, metadata, run_files, scripts
from pxe_stack.boot_sources import Sources, note, strange
from pxe_stack.directory import Known
from pxe_stack.http_answer import Answer, plain, text
from pxe_stack.http_message import Request
from pxe_stack.run_door import filled, is_late, known_by_run, stranger

_DEPLOY: Final = {
    "started": Seen.DEPLOY_STARTED,
    "progress": Seen.DEPLOY_PROGRESS,
    "failed": Seen.DEPLOY_FAILED,
}
CALLBACKS: Final[Mapping[Action, Mapping[str, Seen]]] = MappingProxyType(
    {
        Action.INSTALL: {
            "started": Seen.INSTALL_STARTED,
            "progress": Seen.INSTALL_PROGRESS,
            "installed": Seen.INSTALLED,
            "failed": Seen.INSTALL_FAILED,
            "phone-home": Seen.PHONED_HOME,
        },
        Action.INVENTORY: _DEPLOY | {"inventoried": Seen.INVENTORIED},
        Action.WIPE: _DEPLOY | {"wiped": Seen.WIPED},
        Action.LOCAL: {},
    }
)
"""What a machine may report, and what it then was, by what its run lets it do."""
_WANTS: Final = frozenset({"started", "progress"})
"""Reports by which a machine asks whether it may go on: one whose run was cancelled may not."""
_PART: Final = "report-"
_REPORTS: Final = frozenset(name for each in CALLBACKS.values() for name in each)
SCRIPT: Final = scripts.IPXE.script

log = structlog.get_logger()


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


def _run(sources: Sources, request: Request, rest: str) -> Answer:
    """Everything under a run's token."""
    run, _, rest = rest.partition("/")
    token, _, name = rest.partition("/")
    if not name:
        return plain(HTTPStatus.NOT_FOUND)
    if request.method == "POST":
        take = _part if name.startswith(_PART) else _callback
        return take(sources, request, run, token, name)
    if name == boot_entry.TROUBLE:
        return _run_trouble(sources, request, run, token)
    return _document(sources, request, run, token, name)


def _document(sources: Sources, request: Request, run: str, token: str, name: str) -> Answer:
    """A script or seed, in its window, to the machine that it was rendered for."""
    begun = time.perf_counter()
    known = known_by_run(sources, run)
    special = run_files.FILES.get(name)
    words = name if special is None else run_files.WORDS
    found = None if known is None else metadata.document(known.plan, words)
    path = f"/boot/{run[:36]}/***/{name[:64]}"
    access = Access.SCRIPT if found is None else found.access
    why = stranger(sources, request, known, access, token)
    why = why or ("" if found else "no-such-document")
    if known is None or found is None or why:
        strange(sources, request, why, known, path=path)
        return _constant(sources, name)
    if special is not None:
        return special(sources, request, known, found)
    return filled(sources, request, known, found, path=path, begun=begun)


def _constant(sources: Sources, name: str) -> Answer:
    dialect = scripts.DIALECTS.get(name)
    if dialect is None:
        return plain(HTTPStatus.NOT_FOUND)
    return text(dialect.local(sources.boot_url))


def _callback(sources: Sources, request: Request, run: str, token: str, name: str) -> Answer:
    """What a machine reports: on the disk before the 200 leaves; a stranger's moves nothing.

    One that asks whether it may go on, by a run that is over, is told that it may not.
    """
    if name not in _REPORTS:
        return plain(HTTPStatus.NOT_FOUND)
    try:
        fields = forms.read(request.body)
    except forms.Unreadable as exc:
        return text(f"{exc}\n", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    known = known_by_run(sources, run)
    kind = None if known is None else CALLBACKS[known.plan.action].get(name)
    why = stranger(sources, request, known, Access.CALLBACK, token)
    why = why or ("" if kind else "not-of-this-run")
    if known is None or kind is None or why:
        late = why != "not-of-this-run" and is_late(sources, run, token)
        strange(
            sources,
            request,
            "late-callback" if late else why,
            known,
            path=f"/boot/{run[:36]}/***/{name}",
            fields=dict(fields) if late else {},
        )
        if late and name in _WANTS:
            return text("this run is over\n", status=HTTPStatus.GONE)
        return text("ok\n")
    if kind is Seen.INVENTORIED and not _sealed(sources, known, fields):
        return text("the parts are not the report\n", status=HTTPStatus.CONFLICT)
    note(sources, request, kind, known, {**fields, "client": request.client})
    return text("ok\n")


def _part(sources: Sources, request: Request, run: str, token: str, name: str) -> Answer:
    """A part of what a machine reports of itself, until it has said that the report is whole."""
    number = name.removeprefix(_PART)
    if sources.reports is None or not (number.isascii() and number.isdigit()):
        return plain(HTTPStatus.NOT_FOUND)
    known = known_by_run(sources, run)
    why = stranger(sources, request, known, Access.CALLBACK, token)
    if known is not None and not why and not _takes_inventory(known):
        why = "not-of-this-run"
    if known is None or known.plan.run is None or why:
        strange(sources, request, why, known, path=f"/boot/{run[:36]}/***/{name[:64]}")
        return text("ok\n")
    try:
        kept = sources.reports.keep(known.plan.run, int(number[:9]), request.body)
    except OSError as exc:
        log.warning("report.unwritten", run=run, why=exc.strerror)
        return text("it cannot be kept now\n", status=HTTPStatus.SERVICE_UNAVAILABLE)
    return text("ok\n") if kept else text("no part\n", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def _takes_inventory(known: Known) -> bool:
    return known.plan.action is Action.INVENTORY and known.opens(Access.SEED)


def _sealed(sources: Sources, known: Known, fields: Mapping[str, str]) -> bool:
    """Whether all parts are here, as the machine says that they are."""
    if sources.reports is None or known.plan.run is None:
        return True
    try:
        told = fields.get("sha256", ""), fields.get("parts", "")
        return sources.reports.seal(known.plan.run, *told)
    except OSError as exc:
        log.warning("report.unwritten", run=str(known.plan.run), why=exc.strerror)
        return False


def _run_trouble(sources: Sources, request: Request, run: str, token: str) -> Answer:
    known = known_by_run(sources, run)
    why = stranger(sources, request, known, Access.CALLBACK, token)
    again = why == "window-closed" and known is not None and known.phase is Phase.FAILED
    if known is None or (why and not again):
        strange(sources, request, why, known, path=f"/boot/{run[:36]}/***/{boot_entry.TROUBLE}")
    else:
        boot_entry.tell_trouble(sources, request, known, Seen.BOOT_FAILED)
    return text("ok\n")


def _metadata(version: str, sources: Sources, request: Request, rest: str) -> Answer:
    """EC2-style metadata, for the machine whose address asks, where cloud-init looks for it."""
    begun, path = time.perf_counter(), f"/{version}/{rest[:64]}"
    known = sources.directory.by_address(request.client)
    if known is None or not known.opens(Access.SEED) or not boot_entry.was_seen(sources, known):
        why = "unknown-address" if known is None else "window-closed"
        strange(sources, request, why, known, path=path)
        return plain(HTTPStatus.NOT_FOUND)
    found = metadata.document(known.plan, f"{version}/{rest}")
    if found is None:
        return plain(HTTPStatus.NOT_FOUND)
    return filled(sources, request, known, found, path=path, begun=begun)


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
        "ipxe": Row(boot_entry.of_ipxe),
        "grub": Row(boot_entry.of_grub),
        "boot": Row(_run, _READ | {"POST"}),
        "api": Row(host_calls.of_api, _READ | {"POST"}),
        "artifacts": Row(boot_files.artifact),
        "loaders": Row(boot_files.loader),
        **{name: Row(partial(_metadata, name)) for name in metadata.VERSIONS},
    }
)
"""Every path that is served begins with one of these."""
