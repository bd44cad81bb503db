"""One RabbitMQ node and one PostgreSQL cluster for all tests of the queues."""

from collections.abc import Iterator

import pytest

from actors.control import integrations
from tests.actors import hostile_bmc, partners
from tests.actors.hostile_bmc import Bmc
from tests.actors.integration_lab import SECRET, World
from tests.actors.join_lab import pve_lab, pve_nodes, pve_world
from tests.actors.lane import Lane, on_postgres, on_rabbitmq
from tests.actors.raw_headers import raw_headers
from tests.actors.site_whole import Control
from tests.services import postgres, provider, rabbitmq

__all__ = ["pve_lab", "pve_nodes", "pve_world", "raw_headers"]


@pytest.fixture(scope="session")
def rabbitmq_server(tmp_path_factory) -> Iterator[rabbitmq.RabbitMQ]:
    with rabbitmq.running(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    with postgres.running(durable=False) as server:
        yield server


@pytest.fixture
def peer() -> Iterator[provider.Provider]:
    """A provider that keeps to the contract."""
    with provider.running() as made:
        yield made


@pytest.fixture(params=["rabbitmq", "postgres"])
def lane(request) -> Iterator[Lane]:
    """A fresh queue, on each kind of broker in turn."""
    server = request.getfixturevalue(f"{request.param}_server")
    made = {"rabbitmq": on_rabbitmq, "postgres": on_postgres}[request.param](server)
    yield made
    made.close()


@pytest.fixture
def rabbitmq_lane(rabbitmq_server) -> Iterator[Lane]:
    made = on_rabbitmq(rabbitmq_server)
    yield made
    made.close()


@pytest.fixture
def postgres_lane(postgres_server) -> Iterator[Lane]:
    made = on_postgres(postgres_server)
    yield made
    made.close()


@pytest.fixture(params=["rabbitmq", "postgres"])
def broker_url(request) -> str:
    server = request.getfixturevalue(f"{request.param}_server")
    return server.url if request.param == "rabbitmq" else server.fresh_database()


@pytest.fixture
def control(broker_url) -> Iterator[Control]:
    """What a site speaks to, played by the test."""
    made = Control(broker_url)
    yield made
    made.close()


@pytest.fixture
def bmc() -> Iterator[Bmc]:
    with hostile_bmc.running() as running:
        yield running


@pytest.fixture
def partner():
    """Another system that speaks HTTP, and believes whoever has the lab's secret."""
    with partners.running() as made:
        made.token = SECRET
        yield made


@pytest.fixture
def world(db, partner, monkeypatch):
    """A site whose integration jobs run as soon as they are asked for."""
    monkeypatch.setattr(integrations, "PAUSES_S", (0.01,))
    monkeypatch.setattr(integrations, "SLICE_S", 0.01)
    return World(partner)
