from ipaddress import ip_network
from uuid import uuid4

import pytest

from actors.drivers.deadline import Deadline
from actors.drivers.errors import NotAllowed, Refused
from actors.drivers.reach import Rules
from actors.site.leases import Leases, Warrant
from actors.site.orders import Order
from actors.site.tasks import JOBS, Bench, Restart
from config import secrets
from models.workflows import Task
from tests.actors import hostile_bmc
from tests.actors.hostile_bmc import PASSWORD, RESET

LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"),))
RESOLVERS = {
    "env": secrets.from_environment({"SPROUT_SECRET_BMC": PASSWORD}, prefix="SPROUT_SECRET_")
}


@pytest.fixture
def bmc():
    with hostile_bmc.running() as running:
        yield running


def perform(bmc, kind, *, rules=LOOPBACK, ref="env:BMC", **params):
    order = Order.parse(
        {
            "task": str(uuid4()),
            "kind": kind,
            "epoch": 1,
            "deadline_s": 10,
            "machine": str(uuid4()),
            "params": params,
            "bmc": {"address": bmc.url, "username": "admin", "secret_ref": ref},
        }
    )
    told = []
    bench = Bench(rules, RESOLVERS)
    leases = Leases()
    leases.hold(order.task, order.epoch, lambda: None)
    leases.answered(leases.renewal())
    warrant = Warrant(leases, order.task, order.epoch, lambda method, url: None)
    tell = lambda at, data: told.append(dict(data))  # noqa: E731 - said once
    return bench.perform(order, Deadline.after(5), tell, warrant), told


def test_every_kind_of_task_has_a_job():
    assert set(JOBS) == set(Task)


def test_only_what_writes_nothing_is_repeated_after_a_restart():
    assert {kind for kind, job in JOBS.items() if job.restart is Restart.REPEAT} == {Task.INVENTORY}


@pytest.mark.parametrize(
    ("kind", "params", "result"),
    [
        ("power-on", {}, {"power": "on", "changed": True}),
        ("power-off", {"force": True}, {"power": "off", "changed": False}),
        ("reboot", {}, {"power": "on", "changed": True}),
        ("boot-source", {"source": "pxe"}, {"source": "pxe", "enabled": "Once", "mode": "Legacy"}),
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


def test_a_bmc_outside_the_sites_networks_is_not_called(bmc):
    with pytest.raises(NotAllowed):
        perform(bmc, "power-on", rules=Rules(networks=(ip_network("10.0.0.0/8"),)))

    assert bmc.requests == []
