"""Networks on their way down to a site and strangers on their way up: real control, real site."""

from types import SimpleNamespace

import pytest

from models import queries
from models.bootnet import Mode
from models.commands import adopting, agents, discoveries, networks, site_networks
from models.commands.adopting import Adoption
from pxe_stack.store import JOURNAL, PLANS, JournalStore, PlanStore
from tests.actors.control_process import ControlProcess
from tests.actors.lane import until
from tests.actors.site_whole import Site
from tests.models import make
from tests.models.test_discoveries import STRANGER, sighting

pytestmark = pytest.mark.services


@pytest.fixture(params=["rabbitmq", "postgres"])
def broker_url(request, db):
    return request.getfixturevalue("rabbitmq_server").url if request.param == "rabbitmq" else db


@pytest.fixture
def site(tmp_path, db, broker_url):
    """The id of a site that is served, and its folder."""
    site_id = make.site()
    known = SimpleNamespace(key=agents.signing_key(site_id), url=broker_url)
    control = ControlProcess(tmp_path, db, broker_url)
    served = Site(tmp_path / "site", known, site=site_id)
    control.start()
    served.start()
    try:
        until(lambda: any(agent.live for agent in queries.agents(site_id)))
        yield SimpleNamespace(id=site_id, folder=served.folder / "site")
    finally:
        served.end()
        assert control.end() == 0


@pytest.fixture
def plans(site):
    until((site.folder / PLANS).exists)
    store = PlanStore(site.folder / PLANS)
    yield store
    store.close()


def current(site):
    return all(agent.networks_current for agent in queries.agents(site.id))


def test_a_change_of_a_network_is_at_the_site_at_once_and_control_knows_it(site, plans):
    made = make.network(site.id, pool_start="10.77.0.100", pool_end="10.77.0.199", dhcp_mode="full")
    until(lambda: plans.networks() == site_networks.of_site(site.id) != ())
    assert {each.network for each in plans.ranges()} == {made}

    networks.update_network(make.ADA, made, {"dhcp_mode": "reserved"}, version=1)
    until(lambda: plans.networks()[0].mode is Mode.RESERVED)

    until(lambda: current(site), seconds=60)


@pytest.mark.parametrize("broker_url", ["postgres"], indirect=True)
def test_a_stranger_that_the_site_saw_is_known_to_control_and_can_be_accepted(site):
    journal = JournalStore(site.folder / JOURNAL)
    for _ in range(2):
        journal.append(sighting())
    journal.close()

    until(lambda: [view.times for view in discoveries.listed()] == [2])
    (view,) = discoveries.listed()
    machine = adopting.accept(make.ADA, view.id, Adoption(hostname="node-77"))

    assert (view.mac, view.site_id) == (STRANGER, site.id)
    assert queries.machine(machine).interfaces[0].mac == STRANGER
