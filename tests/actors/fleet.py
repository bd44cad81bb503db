"""Control and a site as real processes, and machines whose BMCs count what is done to them."""

import json
import os
import subprocess
import threading
from contextlib import ExitStack, suppress
from types import SimpleNamespace

from models import queries
from models.commands import agents, asks
from models.database import Unavailable, borrowed
from models.errors import NotReady
from models.kinds import Kind, Progress
from models.tables import Task
from tests.actors import hostile_bmc
from tests.actors.control_process import ControlProcess
from tests.actors.hostile_bmc import RESET
from tests.actors.lane import until
from tests.actors.site_whole import Site
from tests.models import make


class Fleet:
    """*count* machines that are off; one after another they are asked to be on."""

    def __init__(self, folder, database_url, broker_url, *, count):
        self._stack = ExitStack()
        macs = [f"52:54:00:00:01:{number:02x}" for number in range(count)]
        self._bmcs = [self._stack.enter_context(hostile_bmc.running(mac=mac)) for mac in macs]
        with borrowed():
            self.site_id = make.site("lab")
            key = agents.signing_key(self.site_id)
            self._waiting = [self._machine(n, bmc) for n, bmc in enumerate(self._bmcs)]
        self._flows = []
        self._go_on = threading.Event()
        (folder / "control").mkdir()
        self.control = ControlProcess(folder / "control", database_url, broker_url)
        self.site = Site(folder / "site", SimpleNamespace(url=broker_url, key=key))
        path = self.site.folder / "enrolment.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"site": str(self.site_id)}))

    def start(self):
        """Start both, and return when they know each other."""
        self.control.start()
        self._stack.callback(self.control.end)
        self.site.start()
        self._stack.callback(self.site.end)
        until(lambda: self._seen() and all(agent.live for agent in self._seen()))

    def close(self):
        self.let_go()
        self._stack.close()

    def hold(self):
        """Have the BMCs take writes, but do and answer none."""

        def held(handler):
            return handler.path == RESET and not self._go_on.wait(60)

        for bmc in self._bmcs:
            bmc.faults.append(held)

    def let_go(self):
        """Have them do what they took, and answer."""
        self._go_on.set()

    def ask(self, count, pace_s=0.0):
        """Ask for the next *count* machines, *pace_s* apart, or when the database is back."""
        for _ in range(count):
            until(self._asked, seconds=60)
            threading.Event().wait(pace_s)

    def writes(self):
        """Return how often each BMC was told to reset."""
        return [bmc.count("POST", RESET) for bmc in self._bmcs]

    def grants(self):
        """Return how many tasks were given to agents."""
        with borrowed():
            return Task.select().count()

    def lapses(self):
        """Return how many of them control took back, since their lease had ended."""
        with borrowed():
            return Task.select().where(Task.state == "lost").count()

    def all_done(self):
        with suppress(Unavailable), borrowed():
            flows = [queries.workflow(flow) for flow in self._flows]
            assert all(flow.progress in {Progress.RUNNING, Progress.SUCCEEDED} for flow in flows)
            return [flow.progress for flow in flows] == [Progress.SUCCEEDED] * len(self._bmcs)
        return False

    def logged(self):
        """Return what both logged: the events, and each line that is none."""
        text = self.control.log.read_text() + (self.site.folder / "log").read_text()
        lines = text.splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return told, [line for line in lines if not line.startswith("{")]

    def _asked(self):
        """Ask for one more; as a person would, again while no agent has been heard anew."""
        with suppress(Unavailable, NotReady), borrowed():
            flow = asks.power(make.ADA, self._waiting[0], Kind.POWER_ON)
            self._flows.append(flow)
            return self._waiting.pop(0)
        return None

    def _machine(self, number, bmc):
        reached = {"protocol": "redfish", "address": bmc.url, "username": "admin"}
        return make.machine(
            self.site_id,
            f"node-{number:02d}",
            [make.interface(bmc.mac)],
            bmc=reached | {"secret_ref": "env:BMC"},
        )

    def _seen(self):
        with borrowed():
            return queries.agents(self.site_id)


def hang_up_all(server):
    """Have RabbitMQ end every connection, as an operator would."""
    subprocess.run(
        ["/usr/lib/rabbitmq/bin/rabbitmqctl", "close_all_connections", "a test"],
        env=server._environment() | {"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        timeout=60,
    )
