"""What boot HTTP answers from, and where it writes down what it saw."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from models.observations import Observation, Seen, Source
from pxe_stack.directory import Directory, Journal, Known
from pxe_stack.downloads import Downloads
from pxe_stack.http_message import Request
from pxe_stack.loaders import Loaders
from pxe_stack.reports import Reports

log = structlog.get_logger()

Defer = Callable[[Callable[[], None]], None]


def _at_once(what: Callable[[], None]) -> None:
    what()


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the views answer from.  *dhcp_on*: this site's own DHCP sees every network boot.

    *defer* takes what is to be written down about a file after it was sent; *source* is by which
    server it was asked for; *reports* takes what machines tell of themselves, where somebody does.
    """

    directory: Directory
    journal: Journal
    loaders: Loaders
    key: bytes = field(repr=False)
    boot_url: str
    dhcp_on: bool
    clock: Callable[[], float] = time.time
    downloads: Downloads = field(default_factory=Downloads)
    defer: Defer = _at_once
    source: Source = Source.HTTP
    reports: Reports | None = None


def note(
    sources: Sources, request: Request, kind: Seen, known: Known | None, data: Mapping[str, Any]
) -> int:
    """Write down that *kind* was seen of *known*'s machine, or of a stranger."""
    plan = None if known is None else known.plan
    return sources.journal.append(
        Observation(
            kind=kind,
            source=sources.source,
            at=sources.clock(),
            mac=None if plan is None else plan.mac,
            machine=None if plan is None else plan.machine,
            run=None if plan is None else plan.run,
            data=data if "client" in data else {"client": request.client, **data},
        )
    )


def strange(sources: Sources, request: Request, why: str, known: Known | None, **data: Any) -> None:
    """Write down that *request* is not from whom its URL was made for."""
    told = {"why": why, "method": request.method, **data}
    if note(sources, request, Seen.STRANGE_REQUEST, known, told):  # 0: counted, under flood
        log.warning("http.stranger", why=why, client=request.client, path=data.get("path"))
