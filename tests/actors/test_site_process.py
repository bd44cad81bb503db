"""`python -m actors.site` whole, on real brokers; the test is control, and owns the BMC."""

import os
import signal
import subprocess
import sys
import threading
import time
from uuid import uuid4

import psutil
import pytest
import requests

from actors.site.store import AgentStore
from models import ssh_access
from models.bootplan import Access, Addressing, Document, token, url
from models.messages import Kind
from models.observations import Observation, Seen, Source
from pxe_stack.store import JOURNAL, PLANS, JournalStore, PlanStore
from tests.actors.hostile_bmc import PASSWORD, RESET
from tests.actors.lane import until
from tests.actors.site_lab import SITE, a_plan, an_artifact
from tests.actors.site_whole import ONE_BROKER, Control, Site, a_task
from tests.pxe_stack.nets import network

HERE = Addressing(address="127.0.0.1", prefix_length=8)
"""The test speaks as the machine: tokens open for its address alone."""

END = 8000
"""Characters."""

pytestmark = pytest.mark.services


@pytest.fixture
def site(tmp_path, control):
    made = Site(tmp_path, control)
    made.start()
    yield made
    if made.process is not None:
        made.end()
    # Shown where a test failed: what was reported, and the end of what the site logged.
    print(*control.reports(), (tmp_path / "log").read_text()[-END:], sep="\n")  # noqa: T201


def test_a_site_registers_and_its_heart_beats(site, control):
    until(lambda: control.of(Kind.HEARTBEAT))

    [registration] = control.of(Kind.REGISTER)
    assert registration.site == SITE
    advertised = dict(registration.body["advertise"])
    assert ssh_access.public_key(advertised.pop("ssh_ca"))
    assert advertised == {"boot_base_url": site.url}
    drives = ["redfish", "ipmi", "virtual-media"]
    always = ["files", "http", "inventory-image", "sync", "wake-on-lan"]
    assert set(registration.body["capabilities"]) == {*drives, *always, "remote-task"}


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

    control.give(plan)

    [served] = control.reports("plan-served")
    assert (served["run"], served["data"]["digest"]) == (str(plan.run), plan.digest)
    assert (
        requests.get(f"{site.url}/artifacts/debian/disk.raw", timeout=60).content == b"image" * 100
    )
    assert (
        requests.get(url(plan, control.key, Access.SCRIPT, "script"), timeout=60).status_code == 200
    )


def test_a_callback_is_heard_by_control_at_once(site, control):
    plan = a_plan(control.agent(), boot_base_url=site.url, addressing=HERE)
    control.give(plan)
    callback = url(plan, control.key, Access.CALLBACK, "started")

    began = time.monotonic()
    assert requests.post(callback, data={"disk": "S1"}, timeout=60).status_code == 200
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
    assert asked.wait(60)

    os.kill(site.child("agent"), signal.SIGKILL)
    go_on.set()
    until(lambda: control.reports("task-failed"))

    [report] = control.reports("task-failed")
    assert report["data"]["unknown"]
    assert bmc.count("POST", RESET) == 1
    store = AgentStore(site.folder / "site")
    assert [(each.method, each.status) for each in store.intents()] == [("POST", None)]
    store.close()
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
        control.give(a_plan(control.agent()))  # so that the first registration was answered
        rabbitmq_server.stop(signal.SIGTERM)
        rabbitmq_server.start()
        until(lambda: len(control.of(Kind.REGISTER)) > 1, seconds=60)
    finally:
        site.end()
        control.close()


@ONE_BROKER
@pytest.mark.parametrize("wrong", [7200, -7200], ids=["ahead", "behind"])
def test_a_site_with_a_wrong_clock_does_what_is_fresh_and_says_that_it_is_wrong(
    tmp_path, control, bmc, wrong
):
    site = Site(tmp_path, control)
    site.start("tests.actors.skewed_site", SKEW_S=str(wrong))
    try:
        control.agent()
        stale, fresh = a_task(bmc, "power-off"), a_task(bmc, "power-on")
        control.send(Kind.TASK, fresh, lives_s=35)
        control.send(Kind.TASK, stale, age_s=60, lives_s=35)
        until(lambda: control.reports("task-done"))
        until(lambda: control.of(Kind.HEARTBEAT) and len(control.of(Kind.REGISTER)) > 1)
    finally:
        site.end()

    assert [done["data"]["task"] for done in control.reports("task-done")] == [fresh["task"]]
    offsets = [beat.body.get("clock_offset_ms", 0) for beat in control.of(Kind.HEARTBEAT)]
    assert abs(offsets[-1] - wrong * 1000) < 60_000


@ONE_BROKER
def test_a_second_site_over_one_store_names_the_first_and_leaves_it_serving(site, control):
    control.agent()
    env = psutil.Process(site.process.pid).environ()

    second = subprocess.run(
        [sys.executable, "-m", "actors.site"], env=env, capture_output=True, text=True, check=False
    )

    assert second.returncode == 2
    assert f"(pid {site.process.pid})" in second.stderr
    control.give(a_plan(control.agent(), boot_base_url=site.url, addressing=HERE))


@ONE_BROKER
def test_a_site_in_a_copied_folder_yields_and_stays_down_until_somebody_looks(site, control):
    until(lambda: control.of(Kind.HEARTBEAT))
    own = control.of(Kind.HEARTBEAT)[0].body["incarnation"]

    control.send(Kind.PLAN, {"plans": [], "rivals": {"holds": "another", "yields": ["x"]}})
    control.give(a_plan(control.agent(), boot_base_url=site.url, addressing=HERE))
    control.send(Kind.PLAN, {"plans": [], "rivals": {"holds": "another", "yields": [own]}})

    assert site.process.wait(60) == 2
    site.start()
    assert site.process.wait(60) == 2
    assert "site was copied" in (site.folder / "log").read_text()
    (site.folder / "site" / "yielded").unlink()
    site.start()
    until(lambda: len(control.of(Kind.REGISTER)) > 1)


@ONE_BROKER
def test_a_site_that_was_killed_starts_again_over_its_store(site, control):
    agent = control.agent()

    site.process.kill()
    site.process.wait(60)
    site.start()
    until(lambda: len(control.of(Kind.REGISTER, agent)) > 1)


@ONE_BROKER
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["told", "killed"])
def test_nothing_outlives_the_site(site, control, how):
    control.agent()

    assert site.end(how) == []


@ONE_BROKER
def test_an_agent_stays_small_after_it_has_spoken_to_a_bmc(site, control, bmc):
    control.send(Kind.TASK, a_task(bmc, "redfish-inventory"))
    until(lambda: control.reports("task-done"))

    pss = psutil.Process(site.child("agent")).memory_full_info().pss

    assert pss < 70 * 2**20


@ONE_BROKER
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


@pytest.mark.parametrize(
    ("service", "wanted"),
    [("DHCP", "SPROUT_DHCP_BIND_INTERFACE"), ("DNS", "SPROUT_DNS_BIND_ADDR")],
)
def test_a_site_that_is_to_answer_and_is_not_told_where_is_refused_by_name(
    tmp_path, control, service, wanted
):
    site = Site(tmp_path, control)

    site.start(**{f"{service}_PROVIDER": "builtin"})

    assert site.process.wait(timeout=60) == 2
    assert f"{wanted}: needed" in (site.folder / "log").read_text()


def test_a_site_whose_networks_are_to_be_answered_is_refused_at_its_next_start(tmp_path, control):
    site = Site(tmp_path, control)
    folder = site.folder / "site"
    folder.mkdir(mode=0o700)
    plans = PlanStore(folder / PLANS)
    plans.put_networks([network(name="lab")], version=1)
    plans.close()

    site.start()

    assert site.process.wait(timeout=60) == 2
    said = (site.folder / "log").read_text()
    assert "SPROUT_DHCP_BIND_INTERFACE: needed where network lab has DHCP mode full" in said
