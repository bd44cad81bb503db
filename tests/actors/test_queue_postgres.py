"""What the embedded queue does beyond the contract: leases, owners, a role that sees little."""

from contextlib import ExitStack, closing

import pytest

from actors import broker, broker_postgres, queue_postgres
from actors.broker_contract import Unconfirmed
from models.postgres import Refused, Session
from tests.actors.lane import PATIENCE_S, until

pytestmark = pytest.mark.services

LAPSE = "UPDATE queue.messages SET leased_until = now() - interval '1 second'"
LEASES = "SELECT owner, leased_until FROM queue.messages"


@pytest.fixture
def sessions(postgres_lane):
    """Makes connections to the lane's database, closed after the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Session(postgres_lane.url, name="test"))


@pytest.fixture
def owners(postgres_lane, sessions):
    """Makes consumers of the lane's queue, as the tables know them."""
    return lambda: queue_postgres.Owner(sessions(), postgres_lane.queue)


def test_two_owners_never_take_the_same_message(postgres_lane, owners):
    postgres_lane.send(*(postgres_lane.message(n) for n in range(10)))
    one, other = owners(), owners()

    taken = [*one.take(4), *other.take(4), *one.take(4)]

    assert len({message.id for message in taken}) == len(taken) == 10


def test_an_owner_that_hangs_loses_its_messages_with_the_lease(postgres_lane, owners, sessions):
    postgres_lane.send(postgres_lane.message())
    hanging, other = owners(), owners()
    hanging.take(1)

    freed_early = other.reclaim()
    sessions().run(LAPSE)

    assert (freed_early, other.reclaim(), len(other.take(1))) == (0, 1, 1)


def test_an_owner_cannot_settle_what_another_has_taken_since(postgres_lane, owners, sessions):
    postgres_lane.send(postgres_lane.message())
    late, other = owners(), owners()
    (message,) = late.take(1)
    sessions().run(LAPSE)
    other.reclaim()
    other.take(1)

    late.acknowledge([message.id])
    late.give_back([message.id])
    late.renew([message.id])

    assert len(sessions().run(LEASES + " WHERE owner IS NOT NULL")) == 1


def test_a_lease_is_renewed_while_the_message_is_worked_on(postgres_lane, sessions, monkeypatch):
    monkeypatch.setattr(broker_postgres, "RENEW_S", 0.1)
    postgres_lane.send(postgres_lane.message())

    with postgres_lane.consuming() as consumer:
        next(consumer)
        before = sessions().run(LEASES)
        until(lambda: next(consumer) or sessions().run(LEASES) != before)

        assert sessions().run(LEASES)[0][1] > before[0][1]


def test_a_message_given_back_was_no_delivery(postgres_lane, owners, sessions):
    postgres_lane.send(postgres_lane.message())
    owner = owners()

    owner.give_back([message.id for message in owner.take(1)])

    assert sessions().run("SELECT deliveries, owner FROM queue.messages") == [(0, None)]


def test_the_schema_is_made_once_and_again_without_harm(sessions):
    queue_postgres.create_schema(sessions())
    queue_postgres.create_schema(sessions())


def test_a_sites_role_works_on_its_queue_and_reports(postgres_lane, site_url):
    reports = postgres_lane.queue.replace("t.", "r.")
    broker.declare(postgres_lane.url, [reports])
    url = site_url(reads=[postgres_lane.queue], writes=[reports])
    postgres_lane.send(postgres_lane.message("task"))

    with closing(broker.publisher_for(url)) as publisher:
        publisher.publish([(reports, b"{}")])

    postgres_lane.url = url
    with postgres_lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "task"


def test_a_sites_role_sees_no_other_queue_and_no_other_table(postgres_lane, site_url, sessions):
    sessions().run("CREATE TABLE machines (secret text)")
    postgres_lane.send(postgres_lane.message("not for it"))
    url = site_url(reads=["its.1"], writes=["reports.1"])

    with Session(url, name="site") as session:
        assert session.run("SELECT body FROM queue.messages") == []
        for forbidden in ("SELECT * FROM machines", "SELECT * FROM queue.dead_letters"):
            with pytest.raises(Refused):
                session.run(forbidden)
    with closing(broker.publisher_for(url)) as publisher, pytest.raises(Unconfirmed):
        publisher.publish([(postgres_lane.queue, b"{}")])


def test_a_role_with_a_strange_name_is_refused(sessions):
    with pytest.raises(ValueError, match="role"):
        queue_postgres.create_role(sessions(), 'x"; DROP', "secret", reads=[], writes=[])


@pytest.fixture
def site_url(postgres_lane, sessions):
    """Makes a restricted role and returns the lane's URL with its login."""

    def make(*, reads, writes):
        role = postgres_lane.queue.replace(".", "_")
        queue_postgres.create_role(sessions(), role, "secret", reads=reads, writes=writes)
        return f"postgresql://{role}:secret@{postgres_lane.url.split('@')[1]}"

    return make
