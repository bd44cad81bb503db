"""`python -m actors.site` whole, on real brokers; the test is control, and owns the BMC."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import dramatiq
import psutil
import pytest
import requests

from actors import broker
from models.bootplan import Access, Addressing, Document, token, url
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
from models.observations import Observation, Seen, Source
from pxe_stack.store import JOURNAL, JournalStore
from tests.actors import hostile_bmc
from tests.actors.hostile_bmc import PASSWORD, RESET
from tests.actors.lane import until
from tests.actors.site_lab import SITE, a_plan, an_artifact
from tests.services.process import free_ports

HERE = Addressing(address="127.0.0.1", prefix_length=8)
"""The test speaks as the machine: tokens open for its address alone."""

pytestmark = pytest.mark.services


class Control:
    """Hears the site's reports and sends it commands, as control does."""

    def __init__(self, broker_url):
        self.url = broker_url
        self.key = secrets.token_bytes(32)
        self.heard = []
        self._publisher = broker.publisher_for(broker_url)
        broker.declare(broker_url, [REPORT_QUEUE, LEASE_QUEUE])
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self._listen)
        self._worker.start()

    def _listen(self):
        ours = [REPORT_QUEUE, LEASE_QUEUE]
        queues = broker.broker_for(self.url, queues=ours, consume=True)

        def report(message):
            with suppress(Denied):  # the last words of another test's site
                self.heard.append((opened(message, self.key), time.monotonic()))

        dramatiq.actor(actor_name=Actor.REPORT.value, queue_name=REPORT_QUEUE, broker=queues)(
            report
        )

        def renew(message):
            with suppress(Denied):
                asked = opened(message, self.key)
                self.heard.append((asked, time.monotonic()))
                self.send(Kind.RENEWED, asked.body, to=asked.agent)

        dramatiq.actor(actor_name=Actor.RENEW.value, queue_name=LEASE_QUEUE, broker=queues)(renew)
        broker.run_worker(queues, threads=1, queues=ours, stop=self._stop, grace_s=2)
        queues.close()

    def close(self):
        self._stop.set()
        self._worker.join()
        self._publisher.close()

    def of(self, kind):
        return [envelope for envelope, _ in self.heard if envelope.kind is kind]

    def agent(self) -> UUID:
        until(lambda: self.of(Kind.REGISTER))
        return self.of(Kind.REGISTER)[0].agent

    def reports(self, *kinds):
        bodies = [envelope.body for envelope in self.of(Kind.OBSERVATIONS)]
        reports = [report for body in bodies for report in body["reports"]]
        return [report for report in reports if report["kind"] in kinds]

    def send(self, kind, body, to=None):
        agent = to or self.agent()
        envelope = Envelope(kind=kind, site=SITE, agent=agent, body=body)
        queue = agent_queue(SITE, agent)
        message = {"message": sealed(envelope, self.key)}
        self._publisher.publish([(queue, encoded(Actor.COMMAND, queue, message, now=time.time()))])


class Site:
    """The processes of one site, started by module name."""

    def __init__(self, folder: Path, control: Control) -> None:
        self.folder = folder
        [self.port] = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir()
        self._enrol(control)
        self.process: subprocess.Popen[bytes] | None = None

    def _enrol(self, control):
        body = {"site": str(SITE), "slug": "lab", "signing_key": control.key.hex()}
        path = self.folder / "enrolment.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(body | {"broker": control.url, "edge": "http://127.0.0.1:1"}))

    def start(self):
        settings = {
            "ENROLMENT_FILE": str(self.folder / "enrolment.json"),
            "DATA_DIR": str(self.folder),
            "BOOT_BIND_ADDR": "127.0.0.1",
            "BOOT_PORT": str(self.port),
            "BMC_NETWORKS": "127.0.0.0/8",
            "SECRET_BMC": PASSWORD,
        }
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "actors.site"],
                env=os.environ | {f"SPROUT_{name}": value for name, value in settings.items()},
                stdout=log,
                stderr=log,
            )

    def end(self, how=signal.SIGTERM):
        family = self.family()
        self.process.send_signal(how)
        self.process.wait(20)
        _, left = psutil.wait_procs(family, timeout=10)
        self.process = None
        return left

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name):
        """Return the newest process id that the supervisor logged for *name*."""
        lines = map(json.loads, (self.folder / "log").read_text().splitlines())
        started = [line for line in lines if line.get("event") == "site.started"]
        return [line["pid"] for line in started if line["child"] == name][-1]


@pytest.fixture(params=["rabbitmq", "postgres"])
def broker_url(request):
    server = request.getfixturevalue(f"{request.param}_server")
    return server.url if request.param == "rabbitmq" else server.fresh_database()


@pytest.fixture
def control(broker_url):
    made = Control(broker_url)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path, control):
    made = Site(tmp_path, control)
    made.start()
    yield made
    if made.process is not None:
        made.end(signal.SIGKILL)


@pytest.fixture
def bmc():
    with hostile_bmc.running() as running:
        yield running


def a_task(bmc, kind, **changes):
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


def test_a_site_registers_and_its_heart_beats(site, control):
    until(lambda: control.of(Kind.HEARTBEAT))

    [registration] = control.of(Kind.REGISTER)
    assert registration.site == SITE
    assert registration.body["advertise"] == {"boot_base_url": site.url}
    assert registration.body["capabilities"] == ["redfish", "http"]


def test_a_power_task_reaches_the_bmc_and_its_result_reaches_control(site, control, bmc):
    body = a_task(bmc, "power-on")

    control.send(Kind.TASK, body)
    until(lambda: control.reports("task-done", "task-failed"))

    [done] = control.reports("task-done")
    assert (done["machine"], done["data"]["task"]) == (body["machine"], body["task"])
    assert done["data"]["result"] == {"power": "on", "changed": True}
    assert (bmc.power, bmc.count("POST", RESET)) == ("On", 1)
    assert PASSWORD not in (site.folder / "log").read_text()


def test_a_plan_is_served_before_it_is_acknowledged(site, control):
    image = an_artifact(site.artifacts, "debian/disk.raw", b"image" * 100)
    script = Document(
        name="script", access=Access.SCRIPT, media_type="text/plain", body="#!ipxe\nexit\n"
    )
    plan = a_plan(
        control.agent(), image, documents=(script,), boot_base_url=site.url, addressing=HERE
    )

    control.send(Kind.PLAN, {"plans": [plan.encode()], "snapshot": False})
    until(lambda: control.reports("plan-served", "plan-refused"))

    [served] = control.reports("plan-served")
    assert (served["run"], served["data"]["digest"]) == (str(plan.run), plan.digest)
    assert (
        requests.get(f"{site.url}/artifacts/debian/disk.raw", timeout=5).content == b"image" * 100
    )
    assert (
        requests.get(url(plan, control.key, Access.SCRIPT, "script"), timeout=5).status_code == 200
    )


def test_a_callback_is_heard_by_control_at_once(site, control):
    plan = a_plan(control.agent(), boot_base_url=site.url, addressing=HERE)
    control.send(Kind.PLAN, {"plans": [plan.encode()], "snapshot": False})
    until(lambda: control.reports("plan-served"))
    callback = url(plan, control.key, Access.CALLBACK, "started")

    began = time.monotonic()
    assert requests.post(callback, data={"disk": "S1"}, timeout=5).status_code == 200
    until(lambda: control.reports("install-started"))

    heard = next(at for envelope, at in reversed(control.heard) if "reports" in envelope.body)
    assert heard - began < 1.0
    assert token(control.key, plan.run, Access.CALLBACK) not in str(
        control.reports("install-started")
    )


def test_an_agent_that_is_killed_in_the_middle_of_a_write_comes_back_and_does_not_repeat_it(
    site, control, bmc
):
    asked, go_on = threading.Event(), threading.Event()

    def hold(handler):
        if handler.path != RESET or asked.is_set():
            return False
        asked.set()
        return not go_on.wait(30)

    bmc.faults.append(hold)
    agent = control.agent()
    control.send(Kind.TASK, a_task(bmc, "power-on"))
    assert asked.wait(20)

    os.kill(site.child("agent"), signal.SIGKILL)
    go_on.set()
    until(lambda: control.reports("task-failed"))

    [report] = control.reports("task-failed")
    assert report["data"]["unknown"]
    assert [path for method, path in bmc.requests if method == "POST"].count(RESET) == 1
    assert {envelope.agent for envelope, _ in control.heard} == {agent}


def test_what_was_seen_while_the_agent_was_away_is_reported_in_order(site, control):
    control.agent()
    site.end()
    journal = JournalStore(site.folder / "site" / JOURNAL)
    runs = [observe(journal) for _ in range(5)]
    journal.close()

    site.start()
    until(lambda: len(control.reports("installed")) == 5)

    assert [report["run"] for report in control.reports("installed")] == runs


def observe(journal):
    run = uuid4()
    journal.append(Observation(kind=Seen.INSTALLED, source=Source.HTTP, at=1.0, run=run))
    return str(run)


def test_a_site_registers_again_when_the_broker_was_restarted(rabbitmq_server, tmp_path):
    control = Control(rabbitmq_server.url)
    site = Site(tmp_path, control)
    site.start()
    try:
        control.agent()
        rabbitmq_server.stop()
        rabbitmq_server.start()
        until(lambda: len(control.of(Kind.REGISTER)) > 1, seconds=60)
    finally:
        site.end()
        control.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["told", "killed"])
def test_nothing_outlives_the_site(site, control, how):
    control.agent()

    assert site.end(how) == []


def test_an_agent_stays_small_after_it_has_spoken_to_a_bmc(site, control, bmc):
    control.send(Kind.TASK, a_task(bmc, "redfish-inventory"))
    until(lambda: control.reports("task-done"))

    pss = psutil.Process(site.child("agent")).memory_full_info().pss

    assert pss < 70 * 2**20


def test_a_site_without_enrolment_says_which_command_to_run_and_waits_for_it(tmp_path, control):
    site = Site(tmp_path, control)
    enrolled = site.folder / "enrolment.json"
    enrolled.rename(site.folder / "later.json")

    site.start()
    try:
        until(lambda: "sprout sites enrol SITE > FILE" in (site.folder / "log").read_text())
        assert control.of(Kind.REGISTER) == []
        (site.folder / "later.json").rename(enrolled)
        assert control.agent()
    finally:
        site.end()


def test_a_site_with_bad_settings_ends_and_names_the_variable(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "actors.site"],
        env=os.environ | {"SPROUT_DATA_DIR": str(tmp_path), "SPROUT_BOOT_PORT": "x"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "SPROUT_BOOT_PORT" in ended.stderr
