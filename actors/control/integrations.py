"""Runs of integration jobs, done by control: metadata handed out, inventories taken in.

Rule 1: what is handed over may come twice, never under a key that stood for something else.
Rule 2: each try is written down: its status, its time, the beginning of the answer.
Rule 3: a secret is resolved here, for one run, and stands in no row, line or sentence.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from actors.control.errand import Job, Means
from actors.drivers import reach
from actors.drivers.errors import DriverError, Refused, Unreachable
from actors.drivers.partner import Partner, Reply
from config import logs, secrets
from config.secrets import Secret
from models import import_form
from models.commands import importing, integrations
from models.commands.importing import Import
from models.commands.integrations import Exchange
from models.database import borrowed
from models.errors import Invalid

TRIES: Final = 5
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0)
"""Between tries; a partner's Retry-After is heeded where it is longer."""

SLICE_S: Final = 0.5

MOST_PAGES: Final = 2000
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Run:
    """A run under way: what is exchanged, with whom, and under which lease."""

    job: Job
    exchange: Exchange
    partner: Partner
    secret: Secret | None

    def deliver(self, part: int, what: str, send: Callable[[], Reply]) -> Reply:
        """Return the answer that took a part, after as many tries as it needs.

        Raises Refused for a no, Unreachable when the last try brought none, and NotAllowed.
        """
        for attempt in range(1, TRIES + 1):
            self.job.check()
            reply, words = self._tried(part, attempt, what, send)
            if reply is not None and not reply.passing:
                return reply
            wait = PAUSES_S[min(attempt, len(PAUSES_S)) - 1]
            wait = max(wait, 0.0 if reply is None else reply.retry_after_s(time.time()))
            if attempt == TRIES or wait > self.job.deadline.left:
                raise Unreachable(f"{what}: {words}, {attempt} times")
            self._pause(wait)
        raise AssertionError  # the loop returns or raises

    def _tried(
        self, part: int, attempt: int, what: str, send: Callable[[], Reply]
    ) -> tuple[Reply | None, str]:
        began = time.monotonic()
        row = {"part": part, "attempt": attempt, "what": what}
        try:
            reply = send()
        except DriverError as exc:
            ms = (time.monotonic() - began) * 1000
            self._keep({**row, "status": 0, "ms": ms, "excerpt": str(exc)})
            if not exc.retryable:
                raise
            return None, str(exc)
        said = "" if reply.taken and what.startswith("GET") else self.shown(reply)
        self._keep({**row, "status": reply.status, "ms": reply.ms, "excerpt": said})
        return reply, f"{self.host} answers {reply.status}"

    @property
    def host(self) -> str:
        return urlsplit(self.exchange.endpoint).hostname or ""

    def shown(self, reply: Reply) -> str:
        """Return the beginning of an answer, without our secret should it repeat that."""
        text = reply.body[: 4 * integrations.EXCERPT].decode(errors="replace")
        if self.secret is not None:
            text = text.replace(self.secret.reveal(), "***")
        return "".join(each if each.isprintable() else " " for each in text).strip()

    def demand_taken(self, reply: Reply, what: str) -> None:
        """Return if *reply* is a yes.  Raises Refused."""
        if not reply.taken:
            said = self.shown(reply)[:_SHOWN]
            raise Refused(f"{what}: {self.host} answers {reply.status} {said}".rstrip())

    def progress(self, records: int, detail: str) -> None:
        with borrowed():
            integrations.told(self.exchange.run, records=records, detail=detail)

    def _keep(self, delivery: Mapping[str, Any]) -> None:
        with borrowed():
            integrations.tried(self.exchange.run, delivery)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(SLICE_S, left))
            self.job.check()


def run(job: Job, means: Means) -> dict[str, Any]:
    """Do one run, and return what it brought.  Raises DriverError, SecretError, DomainError."""
    with borrowed():
        exchange = integrations.begin(job.held.subject)
    secret = None
    if exchange.secret_ref:
        secret = secrets.resolve(exchange.secret_ref, means.resolvers)
        logs.never_write([secret.reveal()])
    bearer = None if exchange.provider == "webhook" else secret
    rules = reach.integration(means.allow, means.ca_file)
    partner = Partner(rules, job.deadline, bearer)
    return _DOES[exchange.kind, exchange.provider](Run(job, exchange, partner, secret))


def webhook(run: Run) -> dict[str, Any]:
    """Hand the site's metadata to a webhook, part by part, each signed."""
    records = part = 0
    for part, (machines, last) in enumerate(_with_last(_pages(run.exchange)), 1):
        head = {"version": "1", "run": str(run.exchange.run), "part": part}
        with borrowed():
            site = integrations.site_told(run.exchange.site)
        body = _json(head | {"last": last, "site": site, "machines": machines})
        if not run.exchange.dry_run:
            _posted(run, part, body)
        records += len(machines)
        run.progress(records, f"{records} machines handed over")
    would = "would be handed" if run.exchange.dry_run else "were handed"
    signed = "signed" if run.secret else "not signed: the job has no secretRef"
    told = f"{records} machines {would} over in {part} parts, {signed}"
    return {"records": records, "parts": part, "told": told, "dryRun": run.exchange.dry_run}


def _posted(run: Run, part: int, body: bytes) -> None:
    # The same content has the same key, whoever sends it again; another has another.
    key = f"{run.exchange.run}-{part}-{hashlib.sha256(body).hexdigest()[:16]}"

    def send() -> Reply:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if run.secret is not None:
            headers["X-Sprout-Signature"] = signature(run.secret, body, int(time.time()))
        return run.partner.send("POST", run.exchange.endpoint, headers, body)

    what = f"POST part {part}"
    run.demand_taken(run.deliver(part, what, send), what)


def signature(secret: Secret, body: bytes, at: int) -> str:
    """Return `t=<seconds>,v1=<HMAC-SHA-256>`, which covers the time, a full stop, and the body."""
    text = f"{at}.".encode() + body
    return f"t={at},v1={hmac.new(secret.reveal().encode(), text, hashlib.sha256).hexdigest()}"


def openmetadata(run: Run) -> dict[str, Any]:
    """Put the site as a storage service of OpenMetadata, and each machine as its container.

    PUT /api/v1/services/storageServices, then PUT /api/v1/containers: created, or brought up to
    date; nothing is deleted there.
    """
    base = run.exchange.endpoint.rstrip("/").removesuffix("/api")
    with borrowed():
        site = integrations.site_told(run.exchange.site)
    service = _service(site)
    _put(run, 0, f"{base}/api/v1/services/storageServices", service)
    records = 0
    for machine in chain.from_iterable(_pages(run.exchange)):
        records += 1
        _put(run, records, f"{base}/api/v1/containers", _container(machine, service["name"]))
        if records % integrations.PAGE == 0:
            run.progress(records, f"{records} machines put")
    would = "would be put" if run.exchange.dry_run else "were put"
    told = f"{records} machines {would} as containers of the storage service {service['name']}"
    return {"records": records, "told": told, "dryRun": run.exchange.dry_run}


def _put(run: Run, part: int, url: str, entity: Mapping[str, Any]) -> None:
    if run.exchange.dry_run:
        return
    headers, body = {"Content-Type": "application/json"}, _json(entity)
    what = f"PUT {entity['name']}"
    reply = run.deliver(part, what, lambda: run.partner.send("PUT", url, headers, body))
    run.demand_taken(reply, what)


def _service(site: Mapping[str, Any]) -> dict[str, Any]:
    networks = "".join(f"\n- {each['name']}: {each['cidr']}" for each in site["networks"])
    return {
        "name": f"sprout-{site['slug']}",
        "displayName": site["name"],
        "description": f"Machines of the site {site['slug']}, as Sprout knows them.{networks}",
        "serviceType": "CustomStorage",
        "connection": {"config": {"type": "CustomStorage"}},
    }


def _container(machine: Mapping[str, Any], service: str) -> dict[str, Any]:
    nics = "".join(f"\n- {nic['name']}: {nic['macAddress']}" for nic in machine["interfaces"])
    labels = "".join(f"\n- {name}={value}" for name, value in sorted(machine["labels"].items()))
    words = f"{machine['architecture']}, {machine['state']}, power {machine['power']}"
    memory = f", {machine['memoryMib']} MiB" if machine["memoryMib"] else ""
    told = {
        "name": machine["hostname"],
        "displayName": machine["hostname"],
        "description": f"{words}{memory}{nics}{labels}",
        "service": service,
    }
    return told | ({"size": machine["diskBytes"] // 1024} if machine["diskBytes"] else {})


def inventory(run: Run) -> dict[str, Any]:
    """Take in an inventory document, page by page; see `models.import_form`."""
    work = Import(run.exchange.caller, run.exchange.site, run.exchange.dry_run)
    url, page, etag, visited = run.exchange.endpoint, 0, "", set[str]()
    while url:
        page += 1
        reply = _read(run, page, _new(url, page, visited), work)
        if reply.status == 304:
            told = "the document has not changed since it was imported"
            return {"told": told, **work.tally.result(dry_run=run.exchange.dry_run)}
        etag = reply.headers.get("etag", "") if page == 1 else ""
        url = _taken_in(run, page, url, reply, work)
    counts = work.tally.counts
    if not (run.exchange.dry_run or counts["conflicting"] or counts["invalid"]):
        with borrowed():
            integrations.imported(run.exchange.job, etag)
    result = work.tally.result(dry_run=run.exchange.dry_run)
    return {"records": work.tally.total, "told": _counted(counts), **result}


def _new(url: str, page: int, visited: set[str]) -> str:
    if url in visited or page > MOST_PAGES:
        raise Refused(f"page {page} was read before, or there are over {MOST_PAGES} pages")
    visited.add(url)
    return url


def _read(run: Run, page: int, url: str, work: Import) -> Reply:
    headers = {}
    if page == 1 and run.exchange.etag and not run.exchange.dry_run:
        headers["If-None-Match"] = run.exchange.etag
    most = import_form.PAGE_BYTES
    what = f"GET page {page}"
    try:
        reply = run.deliver(page, what, lambda: run.partner.get(url, headers, most_bytes=most))
        if not (reply.status == 304 and headers):
            run.demand_taken(reply, what)
    except (Refused, Unreachable) as exc:
        raise type(exc)(f"{exc}{_until_then(work)}") from exc
    return reply


def _taken_in(run: Run, page: int, url: str, reply: Reply, work: Import) -> str:
    """Take in the rows of one page, and return the URL of the next.  Raises Refused."""
    try:
        found = import_form.page(reply.body)
    except Invalid as exc:
        raise Refused(f"page {page}: {exc} {exc.field}".rstrip() + _until_then(work)) from exc
    if work.tally.total + len(found.rows) + len(found.faults) > import_form.ROWS:
        raise Refused(f"over {import_form.ROWS} machines{_until_then(work)}")
    for fault in found.faults:
        work.tally.fault(page, fault)
    for start in range(0, len(found.rows), importing.BATCH):
        run.job.check()
        with borrowed():
            work.take(page, found.rows[start : start + importing.BATCH])
        run.progress(work.tally.total, f"page {page}: {_counted(work.tally.counts)}")
    following = urljoin(url, found.next) if found.next else ""
    if following and reach.origin(following) != reach.origin(run.exchange.endpoint):
        raise Refused(f"page {page} leads to another server{_until_then(work)}")
    return following


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "no machines"


def _until_then(work: Import) -> str:
    return f" (before that: {_counted(work.tally.counts)})" if work.tally.total else ""


def _pages(exchange: Exchange) -> Iterator[list[dict[str, Any]]]:
    """Yield pages of machines, with no connection to the database held between two."""
    pages = integrations.machines_told(exchange.site)
    while True:
        with borrowed():
            page = next(pages, None)
        if page is None:
            return
        yield page


def _with_last(
    pages: Iterator[list[dict[str, Any]]],
) -> Iterator[tuple[list[dict[str, Any]], bool]]:
    """Yield each of *pages* with whether it is the last; one, empty, where there is none."""
    held = next(pages, [])
    for each in pages:
        yield held, False
        held = each
    yield held, True


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


_DOES: Final[Mapping[tuple[str, str], Callable[[Run], dict[str, Any]]]] = MappingProxyType(
    {
        ("metadata-export", "webhook"): webhook,
        ("metadata-export", "openmetadata"): openmetadata,
        ("inventory-import", "http"): inventory,
    }
)
