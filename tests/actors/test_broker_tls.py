"""RabbitMQ by mutual TLS: what each connection shows, and whom it believes."""

import json
import re
import shutil
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import quote
from uuid import uuid4

import dramatiq
import pytest

from actors import broker
from actors.broker_contract import ConnectionLost, QueueError
from config.tls import Credentials
from models.messages import Actor
from tests.services import certificates, rabbitmq
from tests.services.certificates import LATER, LONG_AGO, TOMORROW, YESTERDAY
from tests.services.changes import awaited

pytestmark = pytest.mark.services

QUEUE = "t.tls.1"
URI = f"spiffe://sprout.local/site/{uuid4()}/agent/{uuid4()}"
SERVER_ALERT = re.compile(r"generated SERVER ALERT: Fatal - (?!Bad Record)(.*?)[^\w ]")
"""Why a node refused a client; a bad record is how it reads the alert of one that refused it."""
ONE = [(QUEUE, json.dumps({"queue_name": QUEUE}).encode())]


class Bare(Credentials):
    """Believes the authority, and shows no certificate."""

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca)


@dataclass(frozen=True)
class Secured:
    """A node that lets in whoever shows a certificate of *ours*; its own is for `localhost`."""

    node: rabbitmq.RabbitMQ
    ours: certificates.Authority
    foreign: certificates.Authority


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    ours = certificates.authority(folder / "ours")
    foreign = certificates.authority(folder / "foreign", name="foreign")
    with rabbitmq.running(folder / "node", tls=ours.issue("broker", hosts=["localhost"])) as node:
        broker.declare(node.url, [QUEUE])
        yield Secured(node, ours, foreign)


@pytest.fixture(autouse=True)
def nothing_is_shown_afterwards():
    yield
    broker.secure(None)


def publish(url: str) -> None:
    made = broker.publisher_for(url)
    try:
        made.publish(ONE)
    finally:
        made.close()


def consume(url: str) -> None:
    queues = broker.broker_for(url, queues=[QUEUE], consume=True)
    dramatiq.actor(actor_name=Actor.REPORT.value, queue_name=QUEUE, broker=queues)(print)
    consumer = queues.consume(QUEUE, timeout=50)
    next(consumer)
    consumer.close()


def tell_events(url: str) -> None:
    made = broker.event_publisher_for(url)
    try:
        made.publish([AnEvent()])
    finally:
        made.close()


def take_commands(url: str) -> None:
    stop = threading.Event()
    stop.set()
    broker.listen_to_automation(url, lambda _: {}, stop)


class AnEvent:
    """As much of a domain event as is published."""

    routing_key = "site.lab.machine.active"

    def cloud_event(self):
        return {"id": "1"}


CONNECTIONS: dict[str, Callable[[str], object]] = {
    "publisher": publish,
    "consumer": consume,
    "declaring": lambda url: broker.declare(url, [QUEUE]),
    "dead-letters": lambda url: broker.dead_letters_of(url).peek(),
    "events": tell_events,
    "automation": take_commands,
}
EVERY = pytest.mark.parametrize("connect", CONNECTIONS.values(), ids=CONNECTIONS)


def refused(connect, url):
    """Return why *connect* came to nothing: as the failure that whoever connects waits for."""
    with pytest.raises((QueueError, ConnectionLost)) as caught:
        connect(url)
    return str(caught.value)


def alert_at(node, connect):
    """Return the alert by which *node* refused *connect*, as its own log has it.

    In TLS 1.3 a server refuses after the handshake: its alert and its hanging up race, and the
    client may never read the alert.
    """
    before = len(node.log.read_text())
    refused(connect, node.tls_url)
    return awaited(node.folder, lambda: SERVER_ALERT.search(node.log.read_text(), before))[1]


@EVERY
def test_every_connection_shows_the_certificate(secured, connect):
    broker.secure(secured.ours.issue("agent", URI))

    connect(secured.node.tls_url)


@EVERY
def test_no_connection_is_made_without_a_certificate(secured, connect):
    broker.secure(Bare(*three(secured.ours.issue("agent", URI))))

    assert alert_at(secured.node, connect) == "Certificate required"


def three(made):
    return made.ca, made.cert, made.key


def test_a_foreign_authority_s_certificate_is_refused(secured):
    made = secured.foreign.issue("agent", URI)
    broker.secure(replace(made, ca=secured.ours.file))

    assert alert_at(secured.node, publish) == "Unknown CA"


@pytest.mark.parametrize(
    ("begins", "ends"), [(LONG_AGO, YESTERDAY), (TOMORROW, LATER)], ids=["expired", "not-yet-valid"]
)
def test_a_certificate_out_of_its_time_is_refused(secured, begins, ends):
    broker.secure(secured.ours.issue("agent", URI, begins=begins, ends=ends))

    assert alert_at(secured.node, publish) == "Certificate Expired"


@EVERY
def test_a_broker_whose_certificate_is_for_another_host_is_refused(secured, connect):
    broker.secure(secured.ours.issue("agent", URI))
    elsewhere = secured.node.tls_url.replace("localhost", "127.0.0.1")

    assert "127.0.0.1" in refused(connect, elsewhere)


def test_a_broker_of_a_foreign_authority_is_refused(secured):
    broker.secure(replace(secured.ours.issue("agent", URI), ca=secured.foreign.file))

    assert "certificate verify failed" in refused(publish, secured.node.tls_url)


def test_a_url_cannot_have_a_broker_believed_unseen(secured):
    broker.secure(replace(secured.ours.issue("agent", URI), ca=secured.foreign.file))
    lax = quote(str({"ca_certs": str(secured.ours.file), "verify_mode": ssl.CERT_NONE.value}))

    assert "certificate verify failed" in refused(
        publish, f"{secured.node.tls_url}?ssl_options={lax}"
    )


def test_without_credentials_only_the_system_s_authorities_are_believed(secured):
    broker.secure(None)

    assert "certificate verify failed" in refused(publish, secured.node.tls_url)


def test_a_certificate_that_is_renewed_on_disk_is_shown_at_the_next_connection(secured):
    own = secured.ours.issue("renewed", URI, begins=LONG_AGO, ends=YESTERDAY)
    broker.secure(own)
    publisher = broker.publisher_for(secured.node.tls_url)
    expired = alert_at(secured.node, lambda _: publisher.publish(ONE))

    secured.ours.issue("renewed", URI)
    publisher.publish(ONE)

    assert expired == "Certificate Expired"
    publisher.close()


@EVERY
def test_a_certificate_that_is_gone_is_a_connection_that_failed(secured, connect):
    own = secured.ours.issue("gone", URI)
    broker.secure(own)
    shutil.move(own.key, own.key.with_suffix(".away"))

    assert "No such file" in refused(connect, secured.node.tls_url)
