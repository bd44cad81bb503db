"""A site's account at the broker: what it is for, and every way out of it, tried."""

import time
from contextlib import closing, suppress
from uuid import uuid4

import pika
import psycopg2
import pytest
from pika.exceptions import AMQPError, ChannelClosedByBroker

from actors import broker
from actors.broker_contract import Unconfirmed, Unroutable
from actors.control.accounts import Keeper
from models import accounts
from models.commands import agents, inventory
from models.messages import (
    CONTROL_QUEUE,
    EVENTS_EXCHANGE,
    LEASE_QUEUE,
    REPORT_QUEUE,
    Actor,
    agent_queue,
    encoded,
)
from tests.actors.lane import until
from tests.models import make
from tests.services import rabbitmq

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    with rabbitmq.running(tmp_path_factory.mktemp("managed"), management=True) as server:
        yield server


class Site:
    """One site with its account and the queue of one agent."""

    def __init__(self, base, slug):
        self.id, self.agent = make.site(slug), uuid4()
        inventory.enrolment(make.ADA, self.id)
        self.queue = agent_queue(self.id, self.agent)
        self.key = agents.signing_key(self.id)
        self.url = accounts.url(base, self.id, self.key)


@pytest.fixture
def sites(db, managed):
    keeper = Keeper(managed.url, managed.admin_url)
    made = [Site(managed.url, f"s{uuid4().hex[:6]}") for _ in range(2)]
    broker.declare(
        managed.url, [CONTROL_QUEUE, REPORT_QUEUE, LEASE_QUEUE, *(s.queue for s in made)]
    )

    def ready():
        with suppress(Exception):
            for site in made:
                keeper.ensure(site.id)
            return True
        return False

    until(ready)  # the management API answers a moment after AMQP does
    return made


def message(queue):
    return encoded(Actor.REPORT, queue, {"message": {}}, now=time.time())


def test_an_account_says_what_is_for_control_and_reads_what_is_for_its_agents(sites, managed):
    mine, _ = sites
    fenced = broker.publisher_for(mine.url, fenced=True)
    control = broker.publisher_for(managed.url)
    with closing(fenced), closing(control):
        fenced.publish([(queue, message(queue)) for queue in (REPORT_QUEUE, LEASE_QUEUE)])
        control.publish([(mine.queue, message(mine.queue))])

    queues = broker.broker_for(mine.url, queues=[mine.queue], consume=True, fenced=True)
    consumer = queues.consume(mine.queue, timeout=200)
    # Nobody answers to it here: it ends as a dead letter, by the one exchange of the account.
    next(consumer)
    consumer.close()
    until(lambda: mine.queue in {d.queue for d in broker.dead_letters_of(managed.url).peek(1000)})


ESCAPES = {
    "reads another site's queue": lambda c, me, other: c.basic_get(other.queue),
    "consumes another site's queue": lambda c, me, other: c.basic_consume(other.queue, print),
    "empties another site's queue": lambda c, me, other: c.queue_purge(other.queue),
    "deletes another site's queue": lambda c, me, other: c.queue_delete(other.queue),
    "reads the reports": lambda c, me, other: c.basic_get(REPORT_QUEUE),
    "reads control's queue": lambda c, me, other: c.basic_get(CONTROL_QUEUE),
    "declares a queue": lambda c, me, other: c.queue_declare("sprout.agent.mine.1"),
    "declares an exchange": lambda c, me, other: c.exchange_declare("mine"),
    "binds its queue to the events": lambda c, me, other: c.queue_bind(
        me.queue, EVENTS_EXCHANGE, "#"
    ),
    "binds the reports elsewhere": lambda c, me, other: c.queue_bind(
        REPORT_QUEUE, "sprout.up", CONTROL_QUEUE
    ),
    "writes to another site's queue": lambda c, me, other: publish(c, "", other.queue),
    "writes to control's queue": lambda c, me, other: publish(c, "", CONTROL_QUEUE),
    "writes an event": lambda c, me, other: publish(c, EVENTS_EXCHANGE, "site.x.machine.y"),
    "writes to amq.topic": lambda c, me, other: publish(c, "amq.topic", "x"),
    "says it is somebody else": lambda c, me, other: publish(
        c, "sprout.up", REPORT_QUEUE, user_id="guest"
    ),
}


def publish(channel, exchange, key, **properties):
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(**properties))


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
def test_an_account_gets_nowhere_else(sites, escape):
    mine, other = sites

    with (
        pika.BlockingConnection(pika.URLParameters(mine.url)) as connection,
        pytest.raises(ChannelClosedByBroker) as refused,
    ):
        escape(connection.channel(), mine, other)

    assert refused.value.reply_code in {403, 406}


def test_an_account_cannot_administer(sites, managed):
    mine, _ = sites
    url = mine.url.replace("amqp", "http").replace(f":{managed.port}", f":{managed.admin_port}")

    with pytest.raises(Exception, match="refused"):
        Keeper(managed.url, url).ensure(mine.id)


def test_a_wrong_password_lets_nobody_in(sites):
    mine, _ = sites
    wrong = mine.url.replace(accounts.password(mine.key), "0" * 48)

    with pytest.raises(AMQPError):
        pika.BlockingConnection(pika.URLParameters(wrong))


@pytest.fixture
def roles(db, database_url):
    broker.declare(database_url, [CONTROL_QUEUE, REPORT_QUEUE, LEASE_QUEUE])
    keeper = Keeper(database_url, "")
    made = [Site(database_url, f"s{uuid4().hex[:6]}") for _ in range(2)]
    for site in made:
        keeper.ensure(site.id)
        keeper.ensure(site.id)
    broker.declare(database_url, [site.queue for site in made])
    return made


def test_a_role_reads_its_own_and_adds_to_what_is_for_control(roles, database_url):
    mine, other = roles
    with closing(broker.publisher_for(mine.url, fenced=True)) as fenced:
        fenced.publish([(REPORT_QUEUE, message(REPORT_QUEUE))])
        with pytest.raises((Unconfirmed, Unroutable)):
            fenced.publish([(other.queue, message(other.queue))])
        with pytest.raises((Unconfirmed, Unroutable)):
            fenced.publish([(CONTROL_QUEUE, message(CONTROL_QUEUE))])

    with closing(broker.publisher_for(database_url)) as control:
        control.publish([(site.queue, message(site.queue)) for site in roles])
    with closing(psycopg2.connect(mine.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT DISTINCT queue FROM queue.messages")
        assert cursor.fetchall() == [(mine.queue,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM sites",
        "SELECT * FROM machines",
        "SELECT * FROM queue.dead_letters",
        "DELETE FROM queue.queues",
        "INSERT INTO queue.queues VALUES ('mine')",
        "CREATE TABLE public.mine (a int)",
        "SET ROLE sprout",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_a_role_sees_nothing_but_its_queue(roles, statement):
    mine, _ = roles

    with closing(psycopg2.connect(mine.url)) as connection, pytest.raises(psycopg2.Error):
        connection.cursor().execute(statement)


def test_a_site_role_cannot_touch_what_waits_for_another(roles, database_url):
    mine, other = roles
    with closing(broker.publisher_for(database_url)) as control:
        control.publish([(other.queue, message(other.queue))])

    with closing(psycopg2.connect(mine.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("DELETE FROM queue.messages")
        cursor.execute("UPDATE queue.messages SET body = ''")
        connection.commit()

    with closing(psycopg2.connect(database_url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT octet_length(body) > 0 FROM queue.messages")
        assert cursor.fetchall() == [(True,)]
