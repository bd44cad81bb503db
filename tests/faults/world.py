"""A small world around the real engine: queues that misbehave, agents, a BMC, a machine, and time.

Control is the real thing on a real database.  What stands around it keeps to the written rules of
architecture (leases, epochs, plan versions, consumption), and each breach of what must hold is
collected in `World.wrongs`.
"""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from models import messages, outbox
from models.audit import Caller
from models.bootplan import BootPlan, snapshot_digest
from models.commands import (
    addresses,
    agents,
    asks,
    errands,
    outcomes,
    reports,
    tasks,
    walks,
)
from models.database import database
from models.errands import Ended, Errand
from models.errors import DomainError
from models.messages import Kind, opened
from models.observations import Observation, Seen, Source
from models.tables import ALL, Machine, Site, Workflow
from tests.models import make

LEASE_S = 30
CALLER = Caller(name="ada")

# What is shifted into the past when time passes: the engine asks the real clock.
TIMES = {
    "workflows": ("begun_at", "deadline_at", "wake_at", "created_at"),
    "tasks": ("lease_expires_at", "deadline_at", "created_at", "finished_at"),
    "agents": ("last_seen_at", "contact_since", "synced_at", "snapshot_at"),
    "runs": ("valid_until", "withdrawn_at", "created_at"),
    "plans": ("updated_at",),
    "errands": ("wake_at", "deadline_at", "created_at", "finished_at"),
}


class Crashed(BaseException):
    """The process died between two statements."""


@contextmanager
def dying(after):
    """Let the process die before its statement number *after*; None: it lives."""
    if after is None:
        yield
        return
    execute, left = database.execute_sql, [after]

    def counted(*args, **kwargs):
        if left[0] == 0:
            raise Crashed
        left[0] -= 1
        return execute(*args, **kwargs)

    database.execute_sql = counted
    try:
        yield
    except Crashed:
        pass
    finally:
        del database.execute_sql


@dataclass
class Message:
    """One message under way; *dies_at* is in the world's seconds."""

    queue: str
    body: dict
    dies_at: float | None


@dataclass
class Bmc:
    """Power, and every POST it got: (epoch, verb), as its log would show them."""

    power: str = "off"
    posts: list = field(default_factory=list)


@dataclass
class Held:
    """A task at an agent."""

    body: dict
    state: str = "accepted"
    asked_n: int | None = None
    lease_until: float = -1.0


class AgentSim:
    """What an agent must be, in a few lines: durable is all but leases and what runs."""

    def __init__(self, world, name):
        self.world, self.name, self.id = world, name, uuid4()
        self.incarnation, self.seq, self.spool = uuid4().hex, 0, []
        self.plans, self.served_at, self.consumed, self.phases = {}, {}, set(), {}
        self.tasks, self.fence, self.parts = {}, {}, {}
        self.n, self.sent, self.cut = 0, {}, False

    # --- to control ---

    def envelope(self, kind, body):
        return messages.Envelope(kind=kind, site=self.world.site, agent=self.id, body=body)

    def say(self, kind, body):
        if not self.cut:
            queue = messages.LEASE_QUEUE if kind is Kind.RENEW else messages.REPORT_QUEUE
            self.world.wire.append(Message(queue, (self.envelope(kind, body)), None))

    def register(self):
        body = {
            "hostname": self.name,
            "capabilities": ["http", "redfish"],
            "advertise": {"boot_base_url": "http://10.77.0.1:8081"},
            "incarnation": self.incarnation,
        }
        self.say(Kind.REGISTER, body)

    def beat(self):
        digest = snapshot_digest(p for p in self.plans.values() if p is not None)
        told = {"incarnation": self.incarnation, "pending": len(self.spool), "rows": 0}
        self.say(Kind.HEARTBEAT, {"plan_digest": digest, "spool": told})

    def observe(self, kind, machine, run=None, **data):
        self.seq += 1
        seen = Observation(
            kind=kind,
            source=Source.AGENT,
            at=datetime.now(UTC).timestamp(),
            machine=machine,
            run=run,
            data=data,
        )
        self.spool.append({"seq": self.seq, **seen.encode()})

    def flush(self):
        if self.spool and not self.cut:
            body = {"incarnation": self.incarnation, "reports": list(self.spool)}
            self.say(Kind.OBSERVATIONS, body)
            self.spool.clear()

    def renew(self):
        self.n += 1
        self.sent[self.n] = self.world.clock
        open_tasks = [t for t in self.tasks.values() if t.state in {"accepted", "started"}]
        listed = [{"task": t.body["task"], "epoch": t.body["epoch"]} for t in open_tasks]
        for each in open_tasks:
            each.asked_n = each.asked_n or self.n
        self.say(Kind.RENEW, {"n": self.n, "tasks": listed})

    # --- from control ---

    def hear(self, envelope):
        heard = {
            Kind.PLAN: self._plans,
            Kind.TASK: self._task,
            Kind.CANCEL: self._cancel,
            Kind.RENEWED: self._renewed,
        }
        heard[envelope.kind](envelope.body)

    def _plans(self, body):
        for each in body["plans"]:
            self._store(BootPlan.decode(each))
        if body.get("snapshot"):
            parts = self.parts.setdefault(body["snapshot_id"], {})
            parts[body["part"]] = [UUID(p["machine"]) for p in body["plans"]]
            if len(parts) == body["parts"]:
                kept = {machine for part in parts.values() for machine in part}
                for machine in set(self.plans) - kept:
                    self.plans[machine] = None

    def _store(self, plan):
        held = self.plans.get(plan.machine)
        if held is not None and held.version >= plan.version:
            return
        self.plans[plan.machine], self.served_at[plan.machine] = plan, self.world.clock
        if plan.owner == self.id:
            self.observe(Seen.PLAN_SERVED, plan.machine, plan.run, version=plan.version)
        elif plan.run is None:
            self.observe(Seen.PLAN_WITHDRAWN, plan.machine, version=plan.version)

    def _task(self, body):
        machine = body["machine"]
        if body["task"] in self.tasks or body["epoch"] <= self.fence.get(machine, 0):
            return
        self.fence[machine] = body["epoch"]
        self.tasks[body["task"]] = Held(body)

    def _cancel(self, body):
        task = self.tasks.get(body["task"])
        if task is not None and task.state in {"accepted", "started"}:
            self._end(task, Seen.TASK_FAILED, reason="cancelled", cancelled=True)

    def _renewed(self, body):
        sent_at = self.sent.get(body["n"])
        listed = {each["task"] for each in body["tasks"]}
        for task in list(self.tasks.values()):
            if sent_at is None or task.asked_n is None or task.asked_n > body["n"]:
                continue
            if task.body["task"] in listed:
                task.lease_until = max(task.lease_until, sent_at + LEASE_S)
            elif task.state in {"accepted", "started"}:
                self._end(task, Seen.TASK_FAILED, reason="lost", lost=True)

    # --- work ---

    def work(self, *, die_after_post=False):
        """Carry the oldest task with a lease on, by one step of its own."""
        for task in self.tasks.values():
            if task.state == "accepted" and task.lease_until > self.world.clock:
                task.state = "started"
                self.observe(Seen.TASK_STARTED, UUID(task.body["machine"]), task=task.body["task"])
                self._do(task, die_after_post=die_after_post)
                return

    def _do(self, task, *, die_after_post):
        bmc, kind = self.world.bmc, task.body["kind"]
        wanted = {"power-on": "on", "power-off": "off"}.get(kind)
        if wanted is not None and bmc.power != wanted:
            self.world.post(self, task.body["epoch"], wanted)
            if die_after_post:
                self.restart()
                return
        result = {"power": bmc.power} if wanted else {}
        self._end(task, Seen.TASK_DONE, result=result)

    def _end(self, task, kind, **data):
        task.state = "ended"
        self.observe(kind, UUID(task.body["machine"]), task=task.body["task"], **data)

    def restart(self):
        """Die and live again: what is on the disk is left; an intent's outcome is unknown."""
        for task in self.tasks.values():
            task.lease_until, task.asked_n = -1.0, None
            if task.state == "started":
                self._end(task, Seen.TASK_FAILED, reason="?", unknown=True, retryable=True)
        self.sent = {}
        self.register()

    # --- boot plane ---

    def installer_for(self, machine):
        """Return the run whose installer the machine is offered here, or None: local boot."""
        plan = self.plans.get(machine)
        if plan is None or not plan.owned_by(self.id) or plan.run in self.consumed:
            return None
        fresh = self.world.clock <= self.served_at[machine] + plan.valid_for
        return plan.run if fresh else None


def _wipe():
    """Empty every table, the audit too: its guard is a trigger, which a replica does not fire."""
    names = ", ".join(table._meta.table_name for table in ALL)
    database.execute_sql("SET session_replication_role = replica")
    database.execute_sql(f"TRUNCATE {names}")
    database.execute_sql("SET session_replication_role = DEFAULT")


class World:
    """Everything; *clock* counts the seconds that have passed in it."""

    def __init__(self):
        _wipe()
        self.clock, self.wire, self.wrongs, self.bmc = 0.0, [], [], Bmc()
        self.site = make.site()
        self.network = make.network(self.site)
        self.elsewhere = make.network(
            self.site,
            name="elsewhere",
            cidr="10.78.0.0/24",
            range_start="10.78.0.10",
            range_end="10.78.0.99",
        )
        self.image, self.profile = make.image(), make.profile()
        self.machine = make.machine(self.site)
        self.key = bytes(Site.get_by_id(self.site).signing_key)
        self.agents = [AgentSim(self, "boot-1"), AgentSim(self, "boot-2")]
        self.installing, self.installed = None, set()
        self.names, self.errands = set(), []
        for agent in self.agents:
            agent.register()
        self.settle()

    # --- control ---

    def relay(self, *, die_after=None):
        """Publish what is promised; a crash after publishing promises it twice."""

        def send(batch):
            self.wire.extend(self._letter(queue, body) for queue, body in batch)

        with dying(die_after):
            outbox.drain(send)

    def _letter(self, queue, body):
        message = json.loads(body)
        expires = message["options"].get("expires_at")
        left = None if expires is None else expires / 1000 - datetime.now(UTC).timestamp()
        return Message(queue, message, None if left is None else self.clock + left)

    def deliver(self, index, *, keep=False, die_after=None):
        """Hand one message over; *keep* leaves a copy, and so does a receiver that dies."""
        message = self.wire[index]
        if message.dies_at is not None and message.dies_at < self.clock:
            self.wire.remove(message)
            return
        done = False
        with dying(die_after):
            self._take(message)
            done = True
        if done and not keep:
            self.wire.remove(message)

    def _take(self, message):
        if isinstance(message.body, messages.Envelope):
            self._hear(message.body)
        elif message.body.get("actor_name") == messages.Actor.ERRAND.value:
            return  # a hint: the row says what is to be done
        elif message.queue == messages.CONTROL_QUEUE:
            walks.advance(UUID(message.body["kwargs"]["workflow"]), make.render)
        else:
            for agent in self.agents:
                if message.queue == messages.agent_queue(self.site, agent.id) and not agent.cut:
                    agent.hear(opened(message.body["kwargs"]["message"], self.key))

    def _hear(self, envelope):
        match envelope.kind:
            case Kind.REGISTER:
                agents.register(envelope)
            case Kind.HEARTBEAT:
                agents.heartbeat(envelope)
            case Kind.OBSERVATIONS:
                reports.receive(envelope, make.render)
            case Kind.RENEW:
                with database.atomic():
                    tasks.renew(envelope)

    def reap(self, *, die_after=None):
        with dying(die_after):
            for task in tasks.lapsed():
                walks.lose(task, make.render)
            for flow in walks.due():
                walks.expire(flow, make.render)
            addresses.free_addresses()

    def ask(self, verb, *, die_after=None):
        with dying(die_after):
            try:
                verb()
            except DomainError:
                return

    def provision(self):
        asks.provision(
            CALLER,
            self.machine,
            image_ref=self.image,
            profile_ref=self.profile,
            network_id=self.network,
        )

    def provision_elsewhere(self):
        """On the other of the site's two networks, so that the first address is given back."""
        now, other = self.network, self.elsewhere
        self.network, self.elsewhere = other, now
        self.provision()

    def cancel(self):
        flow = Workflow.get_or_none(Workflow.state == "running")
        if flow is not None:
            asks.cancel(CALLER, flow.id)

    def power(self, kind):
        asks.power(CALLER, self.machine, kind)

    # --- an outside name server ---

    def take_errand(self, *, die_after=None):
        """Take an errand and do it outside; what is heard of it comes later, or never."""
        with dying(die_after):
            held = errands.take(tuple(Errand))
            if held is not None:
                self._name_server(held)
                self.errands.append(held)

    def end_errand(self, index, how, *, die_after=None):
        """Record how an errand ended that was taken some time ago."""
        held = self.errands.pop(index)
        with dying(die_after):
            outcomes.settle(held, how, make.render)

    def run_errands(self):
        """Do what is to be done outside, with nothing that goes wrong."""
        while held := errands.take(tuple(Errand)):
            self._name_server(held)
            outcomes.settle(held, Ended(done=True), make.render)

    def _name_server(self, held):
        if held.name is Errand.DNS_RECORD:
            self.names.add(held.params["fqdn"])
        else:
            self.names -= {item["fqdn"] for item in held.params["items"]}

    # --- the machine ---

    def post(self, agent, epoch, wanted):
        """A BMC does what it is told, by whomever; the books are kept here."""
        if any(done == epoch for done, _ in self.bmc.posts):
            self.wrongs.append(f"epoch {epoch} was posted twice")
        if self.bmc.posts and epoch < max(done for done, _ in self.bmc.posts):
            self.wrongs.append(f"epoch {epoch} was posted after a higher one")
        self.bmc.posts.append((epoch, wanted))
        self.bmc.power = wanted
        self.installing = None

    def boot(self):
        """A powered machine boots from the network, and runs the installer it is offered."""
        if self.bmc.power != "on":
            return
        offers = [(a, a.installer_for(self.machine)) for a in self.agents]
        offered = [(agent, run) for agent, run in offers if run is not None]
        if len({run for _, run in offered}) > 1:
            self.wrongs.append("two runs are offered at once")
        for agent, run in offered:
            if run in self.installed:
                self.wrongs.append("an installer was offered after 'installed'")
            self.installing = (agent, run)
            agent.observe(Seen.SCRIPT_SERVED, self.machine, run)

    def proceed(self, kind):
        """The installer reports to the owner of its run, which fsyncs before it answers."""
        if self.installing is None:
            return
        agent, run = self.installing
        if kind is Seen.INSTALLED:
            agent.consumed.add(run)
            self.installed.add(run)
        agent.observe(kind, self.machine, run)

    # --- time, and peace ---

    def pass_time(self, seconds):
        self.clock += seconds
        for table, columns in TIMES.items():
            shifted = ", ".join(f"{c} = {c} - interval '{seconds} seconds'" for c in columns)
            database.execute_sql(f"UPDATE {table} SET {shifted}")  # noqa: S608 - our own words

    def settle(self, rounds=60):
        """Let all that is under way arrive, in order, with nothing that goes wrong."""
        for _ in range(rounds):
            self.relay()
            self.wire = [m for m in self.wire if m.dies_at is None or m.dies_at >= self.clock]
            if not self.wire:
                return
            while self.wire:
                self.deliver(0)

    def live_on(self):
        """One second of a world in which everything works."""
        for agent in self.agents:
            agent.cut = False
            agent.beat()
            agent.renew()
            agent.flush()
        self.settle()
        for agent in self.agents:
            agent.work()
            agent.flush()
        self.settle()
        self.reap()
        self.run_errands()
        self.settle()
        self.pass_time(1)

    @property
    def row(self):
        return Machine.get_by_id(self.machine)
