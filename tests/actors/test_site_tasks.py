from ipaddress import ip_network
from uuid import uuid4

import pytest

from actors.drivers import bmcs
from actors.drivers.circuits import FIRST_REST_S, MOST_SILENT, Circuits
from actors.drivers.deadline import Deadline
from actors.drivers.errors import LeaseLost, NoEffect, NotAllowed, Refused, Resting, Unreachable
from actors.drivers.reach import Rules
from actors.site import commands, warrant
from actors.site.leases import LEASE_S, Leases
from actors.site.orders import Order
from actors.site.tasks import JOBS, Bench, Restart
from actors.site.warrant import QUIET_S, REPEAT_S, Progress, Warrant
from config import secrets
from models.steps import CAPABILITY, REDFISH, Task
from tests.actors import hostile_bmc
from tests.actors.hostile_bmc import PASSWORD, RESET, SESSIONS, on, times

LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"),))
RESOLVERS = {
    "env": secrets.from_environment({"SPROUT_SECRET_BMC": PASSWORD}, prefix="SPROUT_SECRET_")
}


@pytest.fixture
def bmc():
    with hostile_bmc.running() as running:
        yield running


class Ledger:
    """Keeps intents and outcomes in memory."""

    def __init__(self):
        self.intents, self.outcomes = [], {}

    def intend(self, task, epoch, method, url):
        self.intents.append((method, url))
        return len(self.intents)

    def conclude(self, intent, status):
        self.outcomes[intent] = status


def perform(
    bmc,
    kind,
    *,
    rules=LOOPBACK,
    ref="env:BMC",
    ledger=None,
    said=None,
    seconds=60,
    leases=None,
    resolvers=RESOLVERS,
    bench=None,
    **params,
):
    order = Order.parse(
        {
            "task": str(uuid4()),
            "kind": kind,
            "epoch": 1,
            "deadline_s": 60,
            "machine": str(uuid4()),
            "params": params,
            "bmc": {"address": bmc.url, "username": "admin", "secret_ref": ref},
        }
    )
    told = []
    own = bench or Bench(rules, resolvers)
    leases = leases or Leases()
    leases.hold(order.task, order.epoch, lambda: None)
    leases.answered(leases.renewal())
    progress = Progress([].append if said is None else said.append)
    given = Warrant(leases, ledger or Ledger(), order.task, order.epoch, progress)
    tell = lambda at, data: told.append(dict(data))  # noqa: E731 - said once
    try:
        return own.perform(order, Deadline.after(seconds), tell, given), told
    finally:
        own.close()


def test_every_kind_of_task_that_an_agent_announces_has_a_job():
    can = {REDFISH, *bmcs.capabilities(), commands.CAPABILITY}

    assert set(JOBS) == {task for task in Task if CAPABILITY.get(task, REDFISH) in can}


def test_only_what_writes_nothing_is_repeated_after_a_restart():
    assert {kind for kind, job in JOBS.items() if job.restart is Restart.REPEAT} == {Task.INVENTORY}


@pytest.mark.parametrize(
    ("kind", "params", "result"),
    [
        ("power-on", {}, {"power": "on", "changed": True}),
        ("power-off", {"force": True}, {"power": "off", "changed": False}),
        ("reboot", {}, {"power": "on", "changed": True}),
        ("boot-source", {"source": "pxe"}, {"source": "pxe", "enabled": "Once", "mode": "Legacy"}),
        ("virtual-media", {"url": "http://i/a.iso"}, {"image": "http://i/a.iso", "changed": True}),
        ("virtual-media", {}, {"image": "", "changed": False}),
        ("virtual-media", {"eject": True}, {"image": "", "changed": False}),
    ],
)
def test_a_task_does_at_the_bmc_what_it_is_called(bmc, kind, params, result):
    assert perform(bmc, kind, **params)[0] == result


def test_an_inventory_task_brings_facts(bmc):
    result, _ = perform(bmc, "redfish-inventory", macs=[hostile_bmc.MAC])

    assert result["nics"][0]["mac"] == hostile_bmc.MAC


def test_each_write_is_told_of_and_the_reads_between_are_summed(bmc):
    _, told = perform(bmc, "power-on")

    [order] = [each for each in told if each["path"] == RESET]
    assert (order["verb"], order["status"]) == ("POST", 204)
    assert order["ms"] > 0
    reads = [each for each in told if each["verb"] == "GET"]
    assert sum(each["calls"] for each in reads) == sum(m == "GET" for m, _ in bmc.requests)


def test_no_secret_is_told(bmc):
    _, told = perform(bmc, "power-on")

    assert PASSWORD not in str(told)


@pytest.mark.parametrize("ref", ["env:OTHER", "vault:a/b#c", PASSWORD])
def test_a_secret_that_the_site_cannot_resolve_is_refused_before_anything_is_sent(bmc, ref):
    with pytest.raises(Refused) as caught:
        perform(bmc, "power-on", ref=ref)

    assert bmc.requests == []
    assert PASSWORD not in str(caught.value)


def test_a_secret_that_cannot_be_had_now_may_be_asked_for_again(bmc):
    def away(name):
        raise secrets.Unavailable(f"vault:{name}: Vault is sealed")

    with pytest.raises(Unreachable, match="sealed"):
        perform(bmc, "power-on", ref="vault:kv/bmc#password", resolvers={"vault": away})

    assert bmc.requests == []


def test_a_bmc_outside_the_sites_networks_is_not_called(bmc):
    with pytest.raises(NotAllowed):
        perform(bmc, "power-on", rules=Rules(networks=(ip_network("10.0.0.0/8"),)))

    assert bmc.requests == []


def test_a_bmc_that_was_silent_is_asked_no_more_for_a_while_and_its_answer_ends_that(bmc):
    now = [0.0]
    bench = Bench(LOOPBACK, RESOLVERS, Circuits(lambda: now[0]))
    bmc.faults.append(lambda handler: handler.connection.close() or True)
    for _ in range(MOST_SILENT):
        with pytest.raises(Unreachable):
            perform(bmc, "power-on", bench=bench)
    asked = len(bmc.requests)

    with pytest.raises(Resting, match="did not answer 3 times; it is asked again in 10 s"):
        perform(bmc, "power-on", bench=bench)

    assert len(bmc.requests) == asked
    bmc.faults.clear()
    now[0] += FIRST_REST_S
    assert perform(bmc, "power-on", bench=bench)[0]["changed"]


@pytest.mark.parametrize(
    ("kind", "params", "writes"),
    [
        ("power-on", {}, ["POST"]),
        ("power-off", {"force": True}, []),
        ("boot-source", {"source": "pxe"}, ["PATCH"]),
        ("redfish-inventory", {}, []),
    ],
)
def test_every_write_has_an_intent_and_its_outcome_and_nothing_else_has(bmc, kind, params, writes):
    ledger = Ledger()

    perform(bmc, kind, ledger=ledger, **params)

    assert [method for method, _ in ledger.intents] == writes
    sent = [m for m, path in bmc.requests if m in {"POST", "PATCH"} and path != SESSIONS]
    assert sent == writes
    assert list(ledger.outcomes) == list(range(1, len(writes) + 1))


def test_a_write_that_the_bmc_never_answered_has_an_intent_and_no_outcome(bmc):
    bmc.faults.append(times(1, on("POST", RESET, lambda handler: handler.connection.close())))
    ledger = Ledger()

    with pytest.raises(Unreachable):
        perform(bmc, "power-on", ledger=ledger)

    assert (len(ledger.intents), ledger.outcomes) == (1, {})


def test_a_lease_that_ends_between_two_writes_lets_the_second_not_out(bmc):
    now = [0.0]
    leases = Leases(lambda: now[0])

    def cut_off(handler):
        now[0] += LEASE_S  # while the machine goes off, no renewal is answered
        return False

    bmc.power = "On"
    bmc.faults.append(lambda handler: handler.path == RESET and cut_off(handler))
    ledger = Ledger()

    with pytest.raises(LeaseLost):
        perform(bmc, "reboot", ledger=ledger, leases=leases, force=True)

    assert (bmc.power, bmc.count("POST", RESET), len(ledger.intents)) == ("Off", 1, 1)


def test_a_task_that_waits_says_what_for(bmc, monkeypatch):
    monkeypatch.setattr(warrant, "QUIET_S", 0.0)
    bmc.obeys, said = False, []

    with pytest.raises(NoEffect):
        perform(bmc, "power-on", said=said, seconds=4)

    assert said[0]["doing"] == "waiting for power on, it is off"


def test_progress_is_told_now_and_then():
    now, said = [0.0], []
    progress = Progress(said.append, lambda: now[0])

    for second in range(60):
        now[0] = float(second)
        progress("waiting" if second < 40 else "reading")

    assert [(each["doing"], each["seconds"]) for each in said] == [
        ("waiting", QUIET_S),
        ("waiting", QUIET_S + REPEAT_S),
        ("waiting", QUIET_S + 2 * REPEAT_S),
        ("reading", 40.0),
        ("reading", 40.0 + REPEAT_S),
    ]
