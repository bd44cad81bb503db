"""Broker and database go away while tasks flow: each side effect happens once, and is counted."""

import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.actors.control_process import RESTART_S
from tests.actors.fleet import Fleet, hang_up_all
from tests.actors.lane import until

pytestmark = pytest.mark.services

MACHINES = 12
HELD = 4
"""Machines whose BMC was told to reset, and has not answered, as the server goes away."""

PACE_S = 0.2

TRYING = 4
"""Control's threads, and the consumers of both: as many may say that something is away."""


@pytest.fixture(params=["rabbitmq"])
def fleet(request, tmp_path, database_url):
    server = request.getfixturevalue("rabbitmq_server") if request.param == "rabbitmq" else None
    made = Fleet(tmp_path, database_url, server.url if server else database_url, count=MACHINES)
    try:
        made.start()
        yield made
    finally:
        made.close()


@contextmanager
def away(server, how):
    server.stop(how)
    yield
    server.start()


@contextmanager
def killed(broker):
    """Killed a moment after its queues were made: see `Lane.crash`."""
    threading.Event().wait(1.5)
    with away(broker, signal.SIGKILL):
        yield


@contextmanager
def hung_up(broker):
    hang_up_all(broker)
    yield
    hang_up_all(broker)


BROKER = {
    "restarted": lambda broker: away(broker, signal.SIGTERM),
    "killed": killed,
    "connections closed": hung_up,
}
# To PostgreSQL SIGTERM means to wait for its clients, and after SIGKILL shared memory stays.
DATABASE = {"restarted": signal.SIGINT, "killed": signal.SIGQUIT}


@pytest.mark.parametrize("outage", BROKER.values(), ids=BROKER.keys())
def test_what_flows_while_the_broker_goes_away_is_done_once(fleet, rabbitmq_server, outage):
    flow_through(fleet, outage(rabbitmq_server))


@pytest.mark.parametrize("fleet", ["rabbitmq", "postgres"], indirect=True)
@pytest.mark.parametrize("how", DATABASE.values(), ids=DATABASE.keys())
def test_what_flows_while_the_database_goes_away_is_done_once(fleet, postgres, how):
    flow_through(fleet, away(postgres, how))


def flow_through(fleet, outage):
    """Have machines powered on before, in and after *outage*; count what was done and said."""
    fleet.hold()
    fleet.ask(HELD)
    until(lambda: sum(fleet.writes()) == HELD)
    began = time.monotonic()
    asking = threading.Thread(target=fleet.ask, args=(MACHINES - HELD, PACE_S))
    asking.start()

    with outage:
        fleet.let_go()
        threading.Event().wait(1.0)
    asking.join(60)
    until(fleet.all_done, seconds=60)

    assert fleet.writes() == [1] * MACHINES
    # Only where a lease ended in an outage that outlasted it was a task given to somebody again.
    assert fleet.grants() == MACHINES + fleet.lapses()
    told, untold = fleet.logged()
    assert [line for line in told if "exception" in line] == []
    assert untold == []
    tries = 1 + (time.monotonic() - began) / RESTART_S
    often = Counter(line["event"].partition(":")[0] for line in told if line["level"] != "info")
    assert max(often.values(), default=0) <= TRYING * tries, often
