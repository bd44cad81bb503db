"""`python -m actors.site` whole; the test is control, and holds the cable between the two."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import dramatiq
import psutil
import pytest

from actors import broker
from actors.broker_contract import ConnectionLost, QueueError
from models.errors import Denied
from models.messages import (
    LEASE_QUEUE,
    REPORT_QUEUE,
    Actor,
    Envelope,
    Kind,
    agent_queue,
    encoded,
    opened,
    sealed,
)
from tests.actors.hostile_bmc import PASSWORD
from tests.actors.lane import until
from tests.actors.site_lab import SITE
from tests.services.process import free_ports

ONE_BROKER = pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)
"""For what does not depend on the kind of broker."""

UPWARD = {REPORT_QUEUE: Actor.REPORT, LEASE_QUEUE: Actor.RENEW}


class Control:
    """Hears the site's reports and sends it commands, as control does.

    *grants*: renewals are answered with all that they ask for.  *plans*: what a registration is
    answered with.
    """

    def __init__(self, broker_url):
        self.url = broker_url
        self.key = secrets.token_bytes(32)
        self.heard: list[tuple[Envelope, float]] = []
        self.grants = True
        self.plans = []
        self._publisher = broker.publisher_for(broker_url)
        broker.declare(broker_url, UPWARD)
        self._in_order = threading.Lock()
        self._stop = threading.Event()
        self._ears = [threading.Thread(target=self._listen, args=(each,)) for each in UPWARD]
        for ear in self._ears:
            ear.start()

    def _listen(self, queue):
        queues = broker.broker_for(self.url, queues=[queue], consume=True)
        name = UPWARD[queue].value
        dramatiq.actor(actor_name=name, queue_name=queue, broker=queues)(lambda message: None)
        while not self._stop.is_set():
            with suppress(ConnectionLost, QueueError):
                self._consume(queues.consume(queue, prefetch=8, timeout=50))
        queues.close()

    def _consume(self, consumer):
        try:
            for delivery in consumer:
                if self._stop.is_set():
                    return
                if delivery is not None:
                    self._take(delivery.kwargs["message"])
                    consumer.ack(delivery)
        finally:
            consumer.close()

    def _take(self, message):
        with suppress(Denied):  # the last words of another test's site
            said = opened(message, self.key)
            self.heard.append((said, time.monotonic()))
            if said.kind is Kind.RENEW and self.grants:
                self.send(Kind.RENEWED, said.body, to=said.agent)
            if said.kind is Kind.REGISTER:
                with self._in_order:
                    plans = [plan.encode() for plan in self.plans]
                    body = {"plans": plans, "snapshot": True, "parts": 1}
                    self.send(Kind.PLAN, body | {"snapshot_id": str(uuid4())}, to=said.agent)

    def close(self):
        self._stop.set()
        for ear in self._ears:
            ear.join()
        self._publisher.close()

    def of(self, kind, agent=None):
        heard = [envelope for envelope, _ in list(self.heard) if envelope.kind is kind]
        return [each for each in heard if agent in {None, each.agent}]

    def agent(self) -> UUID:
        until(lambda: self.of(Kind.REGISTER))
        return self.of(Kind.REGISTER)[0].agent

    def reports(self, *kinds, agent=None):
        """Return what was reported, once each, in the order it was first heard in."""
        found = {}
        for envelope in self.of(Kind.OBSERVATIONS, agent):
            for report in envelope.body["reports"]:
                number = (envelope.agent, envelope.body["incarnation"], report["seq"])
                found.setdefault(number, report)
        return [report for report in found.values() if not kinds or report["kind"] in kinds]

    def send(self, kind, body, to=None, *, age_s=0.0, lives_s=None):
        """Send a command, made *age_s* seconds ago, that dies *lives_s* seconds after that."""
        agent = to or self.agent()
        envelope = Envelope(kind=kind, site=SITE, agent=agent, body=body)
        queue = agent_queue(SITE, agent)
        message = {"message": sealed(envelope, self.key)}
        made_at = time.time() - age_s
        data = encoded(Actor.COMMAND, queue, message, now=made_at, expires_in_s=lives_s)
        broker.declare(self.url, [queue])
        self._publisher.publish([(queue, data)])

    def give(self, *plans, to=None):
        """Send *plans*, and return when they are served."""
        before = len(self.reports("plan-served"))
        body = {"plans": [plan.encode() for plan in plans], "snapshot": False}
        with self._in_order:  # or an answer that lacks them would be sent after them
            self.plans += plans
            self.send(Kind.PLAN, body, to=to)
        until(lambda: len(self.reports("plan-served")) == before + len(plans))


class Site:
    """The processes of one site, started by module name.

    *url* is the broker as it sees it, *edge* the edge; *control* has the site's key.
    """

    def __init__(
        self,
        folder: Path,
        control: Control,
        url: str = "",
        *,
        edge: str = "http://127.0.0.1:1",
        site: UUID = SITE,
    ) -> None:
        self.folder = folder
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir(parents=True)
        self._edge, self._site = edge, site
        self._enrol(control, url or control.url)
        self.process: subprocess.Popen[bytes] | None = None

    def _enrol(self, control, url):
        body = {"site": str(self._site), "slug": "lab", "signing_key": control.key.hex()}
        path = self.folder / "enrolment.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(body | {"broker": url, "edge": self._edge}))

    def start(self, module="actors.site", **more):
        settings = {
            "ENROLMENT_FILE": str(self.folder / "enrolment.json"),
            "DATA_DIR": str(self.folder),
            "BOOT_BIND_ADDR": "127.0.0.1",
            "BOOT_PORT": str(self.port),
            "BMC_NETWORKS": "127.0.0.0/8",
            "SECRET_BMC": PASSWORD,
            **more,
        }
        env = os.environ | {f"SPROUT_{name}": value for name, value in settings.items()}
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                env=env | {"dramatiq_restart_delay": "200"},
                stdout=log,
                stderr=log,
            )

    def end(self, how=signal.SIGTERM):
        """End it; return the processes that are left."""
        family = self.family()
        self.process.send_signal(how)
        self.process.wait(60)
        _, left = psutil.wait_procs(family, timeout=60)
        self.process = None
        return left

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name):
        """Return the newest process id that the supervisor logged for *name*."""
        lines = map(json.loads, (self.folder / "log").read_text().splitlines())
        started = [line for line in lines if line.get("event") == "site.started"]
        return [line["pid"] for line in started if line["child"] == name][-1]


class Cable:
    """A loopback port that leads to the server of *url*, until it is cut."""

    def __init__(self, url: str) -> None:
        there = urlsplit(url)
        self._to = (there.hostname, there.port)
        [self._port] = free_ports(1)
        host = there.netloc.rpartition(":")[0]
        self.url = urlunsplit(there._replace(netloc=f"{host}:{self._port}"))
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._door: socket.socket | None = None

    def mend(self) -> None:
        """Let connections through."""
        self._door = socket.create_server(("127.0.0.1", self._port))
        self._start(self._admit, self._door)

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        door, self._door = self._door, None
        if door is not None:
            _hang_up(door)
        with self._lock:
            for end in self._ends:
                _hang_up(end)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self, work, *args) -> threading.Thread:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()
        return thread

    def _admit(self, door: socket.socket) -> None:
        with suppress(OSError), door:
            while True:
                near, _ = door.accept()
                far = socket.create_connection(self._to)
                with self._lock:
                    self._ends |= {near, far}
                self._start(self._carry, near, far)

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=_pump, args=(far, near))
        back.start()
        _pump(near, far)
        back.join()
        with self._lock:
            self._ends -= {near, far}
        near.close()
        far.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def a_task(bmc, kind, **changes) -> dict[str, Any]:
    return {
        "task": str(uuid4()),
        "kind": kind,
        "epoch": 1,
        "attempt": 1,
        "deadline_s": 60,
        "machine": str(uuid4()),
        "run": None,
        "params": {},
        "bmc": {"address": bmc.url, "username": "admin", "secret_ref": "env:BMC"},
    } | changes
