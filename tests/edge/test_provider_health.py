"""Readiness and metrics say in words how external providers do, and what is left there."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from edge import health, metrics
from models.commands import errands, outcomes, providing, watching
from models.errands import Ended, Errand
from models.tables import Errand as Row
from models.tables import Holding
from tests.edge import make as edge_make
from tests.models import make

pytestmark = pytest.mark.services


@pytest.fixture(autouse=True)
def chosen(db):
    providing.choose({"dns", "ipam"}, "prov.example")
    yield
    providing.choose((), "provisioning.sprout.local")


def looked(ended):
    watching.look(["dns", "ipam"])
    while held := errands.take([Errand.PROVIDER_HEALTH]):
        outcomes.settle(held, ended, make.render)


def told(app):
    """Return what a look of its own finds: answers are told again for a second."""
    app.extensions[health.LATEST] = health.Latest()
    return app.test_client().get("/readyz").json["checks"]["providers"]


def test_a_provider_that_nobody_looks_at_is_told_with_the_variable(app):
    found = told(app)

    assert found["ok"] is False
    assert "dns: nobody looks at it: does control run, with SPROUT_DNS_PROVIDER" in found["detail"]


def test_providers_that_work_are_named(app):
    looked(Ended(done=True))

    assert told(app) == {"ok": True, "detail": "external providers that work: dns, ipam"}


def test_one_that_does_not_work_is_told_in_its_words_and_the_edge_serves_on(app):
    looked(Ended(done=False, reason="contract at dns.example answers 503", retryable=True))

    assert "dns: contract at dns.example answers 503" in told(app)["detail"]
    assert app.test_client().get("/readyz").status_code == 200


def test_what_is_left_at_a_provider_is_told_until_there_is_too_much_of_it(app):
    looked(Ended(done=True))
    site = make.site()
    for number in range(5):
        Holding.create(
            capability="dns",
            machine_id=uuid4(),
            site_id=site,
            workflow_id=uuid4(),
            name=f"n{number}.example",
            params={},
            key="k",
            provider="",
            external_id="",
            state="left",
            detail="remove it there",
            gone_at=datetime.now(UTC),
        )

    detail = told(app)["detail"]
    assert detail.count("remove it there") == 3
    assert detail.endswith("and 2 more are left")


def test_networks_that_were_refused_are_told_with_why_and_those_that_are_gone(app):
    providing.choose({"network"}, "prov.example")
    watching.look(["network"])
    refused = {"network": "rack-2 (ten) of site ams-1", "why": "'ten' is not an IPv4 network"}
    result = {"refusals": [refused], "gone": 1}
    while held := errands.take([Errand.PROVIDER_HEALTH, Errand.NETWORK_SYNC]):
        outcomes.settle(held, Ended(done=True, result=result), make.render)

    found = told(app)

    assert found["ok"] is False
    assert "network: rack-2 (ten) of site ams-1: 'ten' is not an IPv4 network" in found["detail"]
    assert "1 are gone there" in found["detail"]
    assert app.test_client().get("/readyz").status_code == 200


def test_a_network_made_here_is_a_conflict_where_the_provider_holds_them(api, site):
    body = {
        "siteId": site["id"],
        "name": "rack-2",
        "cidr": "10.78.0.0/24",
        "rangeStart": "10.78.0.9",
        "rangeEnd": "10.78.0.9",
    }
    providing.choose({"network"}, "prov.example")

    refused = api.post("/v1/networks", body)
    providing.choose((), "prov.example")

    assert (refused.status_code, refused.json["type"]) == (409, "/problems/illegal-transition")
    assert "Make it there" in refused.text
    alone = body | {"cidr": "10.78.0.9/32"}
    assert "10.78.0.9/32 has no host addresses" in api.post("/v1/networks", alone).text
    assert api.post("/v1/networks", body).status_code == 201


def test_why_says_that_the_external_allocator_is_waited_for(api, site):
    machine = edge_make.machine(site["id"])
    made = api.made("/v1/machines", machine)
    providing.choose({"allocation"}, "prov.example")

    api.post("/v1/machines/allocate", {"siteId": site["id"], "count": 1})

    told = api.get(f"/v1/machines/{made['id']}/why").json
    assert (told["waiting"], told["party"]) == (True, "an outside system")
    assert "has not agreed yet" in told["sentence"]


def test_each_provider_is_looked_at_once_in_a_while_and_old_looks_are_forgotten(db):
    watching.look(["dns"])
    watching.look(["dns"])
    assert Row.select().count() == 1

    looked(Ended(done=True))
    watching.look(["dns", "ipam"])
    assert Row.select().count() == 2
    Row.update(finished_at="2025-01-01T00:00:00Z").execute()
    assert watching.forget() == 2


def test_a_look_that_another_process_asked_for_first_keeps_no_other_waiting(db):
    errands.ask(Errand.PROVIDER_HEALTH, uuid4(), "provider-health/dns", params={}, deadline_s=60)

    watching.look(["dns", "ipam"])

    assert {row.key for row in Row.select()} == {"provider-health/dns", "provider-health/ipam"}


def test_metrics_say_which_provider_works(db):
    looked(Ended(done=True))

    registry = CollectorRegistry()
    registry.register(metrics.Whole())
    text = generate_latest(registry).decode()

    assert 'sprout_provider_up{capability="dns"} 1.0' in text
