"""The agent: the only one at a site that hears control and writes plans."""

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import dramatiq
import structlog
from dramatiq.middleware import CurrentMessage

from actors import broker
from actors.broker_contract import DETAIL_LIMIT, ConnectionLost, Unworkable
from actors.drivers import dial
from actors.drivers.edge_line import Edge, Tls
from actors.drivers.elsewhere import Elsewhere
from actors.drivers.reach import Rules, integration
from actors.site import authority, commands, hold, networks, supervisor
from actors.site.artifacts import Artifacts
from actors.site.cache import Cache
from actors.site.checks import Checks
from actors.site.commands import Commands
from actors.site.control_clock import Age, ControlClock
from actors.site.desk import Desk, Snapshot
from actors.site.enrolment import Enrolment
from actors.site.evidence import Evidence
from actors.site.identity import Sign
from actors.site.inventories import Inventories
from actors.site.leases import Leases
from actors.site.runner import Runner
from actors.site.store import AgentStore, Links
from actors.site.syncs import Syncs
from actors.site.tasks import Bench
from actors.site.uplink import Uplink, Voice
from actors.site.waking import Waking
from config import secrets
from models import boot_pins, ssh_access
from models.bootplan import BootPlan
from models.errors import Denied, DomainError, Invalid
from models.messages import SPOKEN, Actor, Envelope, Kind, agent_queue, opened
from models.remote_commands import Allowed
from models.steps import CAPABILITY, REDFISH, Task
from pxe_stack.reports import FOLDER as REPORTS
from pxe_stack.reports import Reports
from pxe_stack.store import JOURNAL, PLANS, JournalStore, PlanStore, Range

CACHE: Final = "cache"
EVIDENCE: Final = "evidence"
"""Folders beside the agent's stores."""

ALWAYS: Final = tuple(CAPABILITY[each] for each in (Task.SYNC, Task.REPORT, Task.WAKE))

WORKER_THREADS: Final = 2
"""Accepting is a write to a local file: two threads outrun any broker."""

GRACE_S: Final = 5.0
CONNECT_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8)
"""Between tries to hear control: its answer to a registration makes the agent's queue."""


log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the agent is told by its supervisor; *services* are the processes beside it.

    *rules* say where BMCs may be, *reach* where artifacts may come from; *cache_bytes* bounds the
    cache of these; *tls* is how it speaks to an edge by https; every *canary_interval_s* seconds it
    plays firmware against the site, never when that is 0.  Machines are reached from *netns*, and
    run what *commands* hold, where it says anything, of what control allows.
    """

    enrolment: Enrolment
    directory: Path
    artifact_dir: Path
    broker_url: str = field(repr=False)
    boot_base_url: str
    boot_pin: str = ""
    services: frozenset[str]
    rules: Rules
    resolvers: Mapping[str, secrets.Resolver] = field(repr=False)
    cache_bytes: int
    drives: tuple[str, ...] = (REDFISH,)
    reach: Rules = field(default_factory=lambda: integration(()))
    tls: Tls | None = None
    sign: Sign | None = None
    netns: str | None = None
    commands: Allowed | None = None
    canary_interval_s: int = 0


class Agent:
    """Answers to commands; each returns when what it asks is on the disk."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.store = AgentStore(setup.directory)
        self.clock = ControlClock(self.store)
        self.yields: Callable[[], None] = lambda: None
        """Called when another site has this agent's id, and was there before."""
        self.plans = PlanStore(setup.directory / PLANS)
        self.journal = JournalStore(setup.directory / JOURNAL)
        edge = Edge(setup.enrolment.edge, setup.tls)
        far = Elsewhere(setup.reach)
        cache = Cache(setup.directory / CACHE, setup.cache_bytes, edge, self._needed, far)
        artifacts = Artifacts(setup.artifact_dir, self.store, self.plans, cache)
        syncs = Syncs(artifacts, cache)
        self.desk = Desk(self.store, self.plans, self.journal, artifacts, setup.services)
        self.leases = Leases()
        inventories = Inventories(Reports(setup.directory / REPORTS))
        self.authority = authority.opened(setup.directory, setup.enrolment.signing_key)
        runs = Commands(
            authority=self.authority,
            dial=dial.within(self._networks, setup.netns),
            own=setup.commands,
        )
        wakes = Waking(self._networks, self.journal.acked_at, setup.netns)
        apart = {
            Task.SYNC: syncs.perform,
            Task.REPORT: inventories.perform,
            Task.WAKE: wakes.perform,
        }
        self._bench = Bench(setup.rules, setup.resolvers, apart=apart, commands=runs)
        self.evidence = Evidence(setup.directory / EVIDENCE, self.journal, edge)
        self.runner = Runner(
            self.store, self.journal, self._bench, self.leases, keep=self.evidence.keep
        )

    @property
    def id(self) -> UUID:
        return self.store.agent

    def log_out(self) -> None:
        """Leave no session at a BMC; tasks that still run end theirs with themselves."""
        self._bench.close()

    def close(self) -> None:
        """Let running tasks end, and close the stores."""
        self.runner.close()
        self.log_out()
        self.desk.close()
        for store in (self.store, self.plans, self.journal):
            store.close()

    def command(self, message: dict[str, Any], age: Age | None = None) -> None:
        """Take one message of control.

        Raises Denied for a wrong signature or another's message, Invalid for what is malformed, and
        Unworkable for what is past its time: all end as dead letters that say why.
        """
        envelope = opened(message, self._setup.enrolment.signing_key)
        if (envelope.site, envelope.agent) != (self._setup.enrolment.site, self.id):
            raise Denied("the message is for another site or agent", field="/envelope/agent")
        if age is not None:
            self.clock.hear(age.made_at, answers=str(envelope.body.get("answers", "")))
            self.clock.demand(age)
        heard = {
            Kind.PLAN: self._take_plans,
            Kind.TASK: self._take_task,
            Kind.CANCEL: self._take_cancel,
            Kind.RENEWED: self._take_renewed,
        }.get(envelope.kind)
        if heard is None:
            raise Invalid(f"an agent takes no {envelope.kind.value}", field="/envelope/kind")
        with structlog.contextvars.bound_contextvars(request_id=envelope.request_id):
            heard(envelope)

    def greeting(self) -> dict[str, Any]:
        """Return what a registration says."""
        return {
            "hostname": socket.gethostname(),
            "version": _version(),
            "speaks": sorted(SPOKEN),
            "capabilities": self._capabilities(),
            "advertise": {**self._boots(), **self._certifies()},
            "incarnation": str(self.journal.incarnation),
            "asked": self.clock.ask(),
        }

    def _boots(self) -> dict[str, str]:
        pin = {boot_pins.ADVERTISED: self._setup.boot_pin} if self._setup.boot_pin else {}
        return {"boot_base_url": self._setup.boot_base_url, **pin}

    def pulse(self) -> dict[str, Any]:
        """Return what a heartbeat says."""
        offset = self.clock.offset_ms()
        return {
            "plan_digest": self.plans.digest(),
            "networks_version": self.plans.networks_version(),
            "incarnation": str(self.journal.incarnation),
            "clock": time.time(),
        } | ({} if offset is None else {"clock_offset_ms": offset})

    def uplink(self) -> Uplink:
        """Return the way to control."""
        url = self._setup.broker_url
        voice = Voice(
            site=self._setup.enrolment.site,
            agent=self.id,
            key=self._setup.enrolment.signing_key,
            sign=self._setup.sign,
        )
        return Uplink(
            voice,
            self.journal,
            broker.publisher_for(url, fenced=True),
            self.leases,
            greeting=self.greeting,
            pulse=self.pulse,
        )

    def _capabilities(self) -> list[str]:
        runs = [] if self.authority is None else [commands.CAPABILITY]
        return [*self._setup.drives, *sorted(self._setup.services), *ALWAYS, *runs]

    def _certifies(self) -> dict[str, str]:
        known = self.authority
        return {} if known is None else {ssh_access.ADVERTISED: known.public}

    def _networks(self) -> list[IPv4Network]:
        return [network.cidr for network in self.plans.networks()]

    def _needed(self) -> set[str]:
        """Return the SHA-256 of every file of a plan that is here, or on its way in."""
        plans = (*self.plans.all(), *self.store.received())
        return {file.sha256 for plan in plans for file in plan.files}

    def _take_plans(self, envelope: Envelope) -> None:
        try:
            plans = [BootPlan.decode(each) for each in envelope.body["plans"]]
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise Invalid(f"a plan is malformed: {exc!r}", field="/body/plans") from exc
        if any(plan.site != envelope.site for plan in plans):
            raise Denied("a plan is of another site", field="/body/plans")
        self._yield_if_told(envelope.body)
        told = networks.Told.of(envelope.body)
        whole = _snapshot(envelope.body)
        links = Links(_urls(envelope.body, "blobs"), _urls(envelope.body, "origins"))
        self.desk.receive(plans, whole=whole, links=links, at=_said_at(envelope.body, 0.0))
        if told is not None:
            networks.keep(told, self.plans, self._setup.services)

    def _yield_if_told(self, body: Mapping[str, Any]) -> None:
        rivals = body.get("rivals")
        yields = rivals.get("yields") if isinstance(rivals, Mapping) else None
        if isinstance(yields, list) and str(self.journal.incarnation) in yields:
            self.yields()

    def _take_task(self, envelope: Envelope) -> None:
        self.runner.accept(envelope.body)

    def _take_cancel(self, envelope: Envelope) -> None:
        try:
            task, epoch = UUID(envelope.body["task"]), int(envelope.body["epoch"])
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise Invalid(f"what to cancel is malformed: {exc!r}", field="/body/task") from exc
        self.runner.cancel(task, epoch)

    def _take_renewed(self, envelope: Envelope) -> None:
        try:
            self.leases.answered(envelope.body)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise Invalid(f"a renewal's answer is malformed: {exc!r}", field="/body") from exc


def _snapshot(body: Mapping[str, Any]) -> Snapshot | None:
    """Return which part of which snapshot a message is, None for a change of some plans."""
    if not body.get("snapshot"):
        return None
    try:
        held = body.get("ranges")
        ranges = None if held is None else tuple(Range.of(each) for each in held)
        name = str(body.get("snapshot_id", ""))
        part, parts = int(body.get("part", 0)), int(body.get("parts", 1))
        return Snapshot(name, part, parts, ranges, _said_at(body, math.inf))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise Invalid(f"a snapshot is malformed: {exc!r}", field="/body") from exc


def _said_at(body: Mapping[str, Any], unsaid: float) -> float:
    """Return when control made the message, in seconds of its clock; older ones do not say."""
    at = body.get("at")
    return float(at) if isinstance(at, int | float) and math.isfinite(at) else unsaid


def _urls(body: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return what stands as *name*: where files of the plans can be fetched, by SHA-256."""
    found = body.get(name) or {}
    if not isinstance(found, Mapping):
        raise Invalid("the URLs of files are malformed", field=f"/body/{name}")
    return {str(sha256): str(url) for sha256, url in found.items()}


def run(setup: Setup) -> None:
    """Be the agent until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    agent = Agent(setup)
    log.info("agent.started", agent=str(agent.id), site=setup.enrolment.slug)
    _in_background("desk", partial(agent.desk.run, stop))
    uplink = agent.uplink()
    agent.desk.admissions.refresh = uplink.greet
    agent.yields = partial(_yield, setup.directory)
    _in_background("evidence", partial(agent.evidence.run, stop))
    if setup.canary_interval_s:
        checks = Checks(agent.journal, setup.canary_interval_s)
        _in_background("canary", partial(checks.run, stop))
    _in_background("uplink", partial(uplink.run, setup.directory, stop))
    agent.runner.resume()
    _hear(agent, setup, uplink, stop)
    agent.log_out()


def _yield(directory: Path) -> None:
    """End this site: another has its agent's id, and was there before."""
    log.error("site.doubled", folder=str(directory), hint="this folder is a copy: see its restart")
    hold.give_up(directory)
    os._exit(supervisor.ENDS_ALL)


def _hear(agent: Agent, setup: Setup, uplink: Uplink, stop: threading.Event) -> None:
    """Work on the agent's queue; register whenever a connection to it was made."""
    queue = agent_queue(setup.enrolment.site, agent.id)
    queues = broker.broker_for(setup.broker_url, queues=[queue], consume=True, fenced=True)

    def command(message: dict[str, Any]) -> None:
        current = CurrentMessage.get_current_message()
        try:
            agent.command(message, None if current is None else Age.of(current))
        except DomainError as exc:
            log.warning("command.refused", why=str(exc)[:DETAIL_LIMIT], field=exc.field)
            raise
        except Unworkable:
            uplink.doubt()  # control's answer tells whether it is the clock that is wrong
            raise
        uplink.heard()

    # The one place where dramatiq lets a reconnection be seen.
    queues.consume = patient(queues.consume, uplink.meet, stop)  # type: ignore[method-assign]
    named = dramatiq.actor(actor_name=Actor.COMMAND.value, queue_name=queue, broker=queues)
    named(command)
    broker.run_worker(queues, threads=WORKER_THREADS, queues=[queue], stop=stop, grace_s=GRACE_S)


def patient(
    connect: Callable[..., dramatiq.Consumer], met: Callable[[], None], stop: threading.Event
) -> Callable[..., dramatiq.Consumer]:
    """Return *connect*, tried a few times; *met* is called after each try, whatever came of it."""

    def tried(*args: Any, **kwargs: Any) -> dramatiq.Consumer:
        try:
            return connect(*args, **kwargs)
        finally:
            met()

    def connected(*args: Any, **kwargs: Any) -> dramatiq.Consumer:
        for pause in CONNECT_PAUSES_S:
            try:
                return tried(*args, **kwargs)
            except ConnectionLost:
                if stop.wait(pause):
                    raise
        return tried(*args, **kwargs)

    return connected


def _in_background(name: str, work: Callable[[], None]) -> None:
    """Run *work* in a thread; when it breaks, end the process, which is then started again."""

    def guarded() -> None:
        try:
            work()
        except BaseException:
            log.exception("agent.broke", thread=name)
            os._exit(1)

    threading.Thread(target=guarded, name=name, daemon=True).start()


def _version() -> str:
    try:
        return metadata.version("sprout")
    except metadata.PackageNotFoundError:
        return "0"
