"""What the installer of Proxmox VE and a first boot call: an answer, a script, and two reports.

An answer is asked for once: whoever fails there waits for a person.  So what a host is told lies
ready before it boots.  Reports bear their run's token; one that is late, repeated or another's is
answered like any other, written down, and moves nothing.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs

from models import installer_calls, phases
from models.bootplan import Access
from models.errors import Invalid
from models.installer_calls import Caller, Home, Installed
from models.installers import Installer
from models.observations import Seen
from models.phases import Phase
from pxe_stack import host_documents, run_door
from pxe_stack.boot_sources import Sources, note, strange
from pxe_stack.directory import Known
from pxe_stack.http_answer import Answer, plain, text
from pxe_stack.http_message import Request

ANSWER: Final = "boot/answer"
_HOSTS: Final = "hosts/"
_BEARER: Final = "bearer "
_OK: Final = "ok\n"
_AGAIN: Final = {"reason": "the answer was asked for a second time: the installer began anew"}
_UNREADABLE: Final = (ValueError, RecursionError)
"""What json.loads raises for bytes that are no JSON, or are too deep."""


def of_api(sources: Sources, request: Request, rest: str) -> Answer:
    """Answer what is below /api/."""
    method, act = _found(rest)
    if act is None:
        return plain(HTTPStatus.NOT_FOUND)
    if request.method != method and (request.method, method) != ("HEAD", "GET"):
        return plain(HTTPStatus.METHOD_NOT_ALLOWED, Allow=method)
    return act(sources, request, rest)


View = Callable[[Sources, Request, str], Answer]


def _found(rest: str) -> tuple[str, View | None]:
    if rest == ANSWER:
        return "POST", _answer
    _, _, name = rest.removeprefix(_HOSTS).partition("/")
    return _OF_HOST.get(name, ("", None)) if rest.startswith(_HOSTS) else ("", None)


def _answer(sources: Sources, request: Request, rest: str) -> Answer:
    """The answer of the run of whoever asks."""
    begun = time.perf_counter()
    known, why = _asking(sources, request)
    wants_json = installer_calls.wants_json(request.fields.get("accept", ""))
    name = host_documents.ANSWER_JSON if wants_json else host_documents.ANSWER_TOML
    found = None if known is None else known.plan.document(name)
    if known is None or found is None or why:
        strange(sources, request, why or "nothing-to-install", known, path="/api/boot/answer")
        return text("there is nothing to install here\n", status=HTTPStatus.NOT_FOUND)
    again = _has_come_to(known, Phase.INSTALLING)
    kind, told = (Seen.ANSWER_REPEATED, _AGAIN) if again else (Seen.ANSWER_SERVED, {})
    return run_door.filled(
        sources, request, known, found, path=f"/api/{rest}", begun=begun, kind=kind, told=told
    )


def _asking(sources: Sources, request: Request) -> tuple[Known | None, str]:
    """Return whose installer asks, and why it is not to be answered."""
    try:
        caller = installer_calls.asked(json.loads(request.body))
    except _UNREADABLE:
        return None, "unreadable-call"
    except Invalid:
        return None, "nameless-caller"
    known = sources.directory.by_caller(caller) or _idle(sources, caller)
    if known is None:
        return None, "unknown-caller"
    if not known.may_be_at(request.client):
        return known, "wrong-address"
    if not _bears(sources, request, known):
        return known, "wrong-token"
    return known, "" if known.opens(Access.SEED) else "window-closed"


def _idle(sources: Sources, caller: Caller) -> Known | None:
    """Return the machine of whom an installer runs that nobody asked for."""
    found = (sources.directory.by_mac(mac) for mac in caller.macs)
    return next((known for known in found if known is not None), None)


def _bears(sources: Sources, request: Request, known: Known) -> bool:
    """Whether the caller bears its run's token, or none of ours: not every ISO is prepared here."""
    told = request.fields.get("authorization", "")
    token = told[len(_BEARER) :].strip() if told.lower().startswith(_BEARER) else ""
    run, _, _ = token.partition(":")
    if known.plan.run is None or run_door.known_by_run(sources, run) is None:
        return True
    return run_door.same(token, run_door.bearer(known.plan, sources.key))


def _script(sources: Sources, request: Request, rest: str) -> Answer:
    """The first boot's script, which the installer fetches before it installs."""
    begun = time.perf_counter()
    called = _called(sources, request, rest)
    known = called.known
    found = None if known is None else known.plan.document(host_documents.FIRST_BOOT)
    why = called.why or run_door.stranger(sources, request, known, Access.SEED, called.token)
    if known is None or found is None or why:
        strange(sources, request, why or "no-such-document", known, path=called.path)
        return plain(HTTPStatus.NOT_FOUND)
    return run_door.filled(sources, request, known, found, path=called.path, begun=begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Of which host and run a URL is, as far as it is true; *why* it is not."""

    known: Known | None
    run: str
    token: str
    path: str
    why: str


def _called(sources: Sources, request: Request, rest: str) -> Called:
    host, _, name = rest.removeprefix(_HOSTS).partition("/")
    try:
        asked = parse_qs(request.query, max_num_fields=8)
    except ValueError:
        asked = {}
    run, token = (asked.get(key, [""])[0] for key in ("run", "token"))
    known = run_door.known_by_run(sources, run)
    why = "" if known is None or str(known.plan.machine) == host else "another-host"
    path = f"/api/hosts/{host[:36]}/{name}"
    return Called(known=known, run=run, token=token, path=path, why=why)


def _reported(sources: Sources, request: Request, rest: str) -> Answer:
    """A report: on the disk before the 200 leaves; another's, or a late one, moves nothing."""
    called = _called(sources, request, rest)
    report = _REPORTS[rest.rpartition("/")[2]]
    why = called.why or _closed(sources, called, report)
    if called.known is None or why:
        answer = _recorded(sources, request, called, why)
        return text("too early\n", status=report.too_early) if why == _EARLY else answer
    try:
        told = report.read(json.loads(request.body))
    except (*_UNREADABLE, Invalid):
        strange(sources, request, "unreadable-call", called.known, path=called.path)
        return text("unreadable\n", status=report.unread)
    kind, data = report.judged(told, request, called.known)
    note(sources, request, kind, called.known, {**data, "client": request.client})
    return text(_OK)


def _recorded(sources: Sources, request: Request, called: Called, why: str) -> Answer:
    late = why not in {_REPEATED, _EARLY} and run_door.is_late(sources, called.run, called.token)
    why = "late-callback" if late else why
    strange(sources, request, why, called.known, path=called.path)
    return text(_OK)


_REPEATED: Final = "repeated-callback"
_EARLY: Final = "early-callback"


def _closed(sources: Sources, called: Called, report: "Report") -> str:
    """Return why a report moves nothing: its token is not the run's, or it was heard before.

    Its address does not matter: the system that was installed may have another.
    """
    known = called.known
    if known is None or known.plan.run is None:
        return "no-such-run"
    right = run_door.right_token(sources, known.plan.run, Access.CALLBACK)
    if not run_door.same(called.token, right):
        return "wrong-token"
    if not known.opens(Access.CALLBACK):
        return "window-closed"
    if _has_come_to(known, report.leads_to):
        return _REPEATED
    return "" if _has_come_to(known, report.comes_after) else _EARLY


def _has_come_to(known: Known, phase: Phase) -> bool:
    return phases.ORDER.index(known.phase) >= phases.ORDER.index(phase)


def _as_installed(told: Installed, _request: Request, _known: Known) -> tuple[Seen, dict[str, Any]]:
    data = {
        "installer": Installer.PROXMOX.value,
        "fqdn": told.fqdn,
        "release": told.release,
        "machine_id": told.machine_id,
        "address": told.address,
        "host_keys": list(told.host_keys),
    }
    return Seen.INSTALLED, data


def _as_home(told: Home, request: Request, known: Known) -> tuple[Seen, dict[str, Any]]:
    """Judge a first boot: a host that says another address than it has is not believed."""
    data = {"address": told.address, "hardware_id": told.hardware_id}
    true = {request.client, known.plan.addressing.address, known.heard}
    if told.address in true:
        return Seen.PHONED_HOME, data
    planned = known.plan.addressing.address
    reason = f"it says that it is at {told.address}, calls from {request.client}, and the plan has"
    return Seen.HOME_SUSPECT, {**data, "reason": f"{reason} {planned}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a report is read and what it means; it moves a run that has come to *comes_after*.

    *unread* is the status for what is no report, *too_early* for one that comes before: an
    installer that is not answered 200 stops; the first boot's own script tries again.
    """

    read: Callable[[Any], Any]
    judged: Callable[[Any, Request, Known], tuple[Seen, dict[str, Any]]]
    comes_after: Phase
    leads_to: Phase
    unread: HTTPStatus
    too_early: HTTPStatus


_REPORTS: Final[Mapping[str, Report]] = MappingProxyType(
    {
        "installed": Report(
            read=installer_calls.installed,
            judged=_as_installed,
            comes_after=Phase.INSTALLING,
            leads_to=Phase.INSTALLED,
            unread=HTTPStatus.OK,
            too_early=HTTPStatus.OK,
        ),
        "phone-home": Report(
            read=installer_calls.home,
            judged=_as_home,
            comes_after=Phase.INSTALLED,
            leads_to=Phase.FIRST_BOOT,
            unread=HTTPStatus.BAD_REQUEST,
            too_early=HTTPStatus.CONFLICT,
        ),
    }
)
_OF_HOST: Final[Mapping[str, tuple[str, View]]] = MappingProxyType(
    {host_documents.FIRST_BOOT: ("GET", _script), **dict.fromkeys(_REPORTS, ("POST", _reported))}
)
"""What is below a host: its method, and who answers."""
