"""A site, control and RabbitMQ by mutual TLS: each agent is believed to be itself alone."""

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import requests

from actors import broker
from actors.drivers import edge_line
from config import proofs
from models import queries
from models.commands import agents, dead_letters
from models.database import borrowed
from models.messages import LEASE_QUEUE, REPORT_QUEUE, Actor, Envelope, Kind, encoded, sealed
from models.paging import Ask
from models.tables import Agent, Audit
from models.workloads import Workload
from tests.actors.control_process import ControlProcess
from tests.actors.lane import until
from tests.actors.site_whole import Site
from tests.conftest import copied
from tests.edge.conftest import TOKEN, Edge, serving, variables
from tests.models import make
from tests.services import certificates, process, rabbitmq
from tests.services.certificates import LATER, LONG_AGO, TOMORROW, YESTERDAY

pytestmark = pytest.mark.services

HOST = "127.0.0.1"
DOMAIN = "sprout.local"


@dataclass(frozen=True)
class World:
    """Control, the agents' listener at the edge, and RabbitMQ, which speak TLS alone."""

    node: rabbitmq.RabbitMQ
    ours: certificates.Authority
    foreign: certificates.Authority
    listener: str
    edge: Edge

    def enrolment(self, site: UUID) -> dict:
        url = f"{self.edge.url}/v1/sites/{site}/enrol"
        token = {"Authorization": f"Bearer {TOKEN}"}
        return requests.post(url, json={}, headers=token, timeout=60).json()


@pytest.fixture(scope="module")
def world(postgres, migrated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    ours = certificates.authority(folder / "ours")
    foreign = certificates.authority(folder / "foreign")
    [port] = process.free_ports(1)
    with (
        copied(postgres, migrated) as url,
        borrowed(),
        rabbitmq.running(folder / "node", tls=ours.issue("broker", hosts=["localhost"])) as node,
    ):
        control = ControlProcess(
            folder, url, node.tls_url, **certificates.variables(ours.issue("control"))
        )
        env = variables(url, folder) | certificates.variables(ours.issue("edge", hosts=[HOST]))
        env |= {"SPROUT_BROKER": node.tls_url, "SPROUT_SITE_BROKER": node.tls_url}
        env |= {"SPROUT_AGENT_BIND": f"{HOST}:{port}"}
        command = [sys.executable, "-m", "edge.agents"]
        listener = process.launch(command, folder / "agents", env=env, cwd=folder)
        try:
            control.start()
            with serving(env, folder) as edge:
                yield World(node, ours, foreign, f"https://{HOST}:{port}", edge)
            assert control.lives
        finally:
            control.end()
            process.stop(listener)


class Enrolled(Site):
    """A site that was enrolled at the world's edge; its certificate is made when it is asked."""

    def __init__(self, folder: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = make.site(f"s{secrets.token_hex(4)}")
        self.enrolment = world.enrolment(self.site)
        self._world = world
        self._set = monkeypatch.setenv
        super().__init__(folder, None, "none")

    def _enrol(self, control, url):
        self.write(self.enrolment)

    def write(self, enrolment):
        path = self.folder / "enrolment.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps({"signing_key": enrolment["signingKey"], **enrolment}))

    @property
    def uri(self) -> str:
        """What `sprout site --identity` prints."""
        done = self.run("--identity")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, *arguments):
        given = {
            "ENROLMENT_FILE": str(self.folder / "enrolment.json"),
            "DATA_DIR": str(self.folder),
            "BOOT_BIND_ADDR": HOST,
            "BOOT_PORT": str(self.port),
        }
        return subprocess.run(
            [sys.executable, "-m", "actors.site", *arguments],
            env=os.environ | {f"SPROUT_{name}": value for name, value in given.items()},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def show(self, credentials):
        for name, value in certificates.variables(credentials).items():
            self._set(name, value)

    @property
    def live(self) -> bool:
        return any(agent.live for agent in queries.agents(self.site))

    def said(self, event, text=""):
        """Whether the site has logged *event*, and *text* in its line."""
        lines = (self.folder / "log").read_text().splitlines()
        return any(f'"{event}"' in line and text in line for line in lines)


@pytest.fixture
def site(world, tmp_path, monkeypatch):
    made = Enrolled(tmp_path / "site", world, monkeypatch)
    yield made
    if made.process is not None:
        made.end()


def test_a_site_with_its_own_certificate_registers_and_shows_live(world, site):
    own = world.ours.issue("agent", site.uri)
    site.show(own)

    site.start()
    until(lambda: site.live)

    [agent] = queries.agents(site.site)
    assert Workload(DOMAIN, site.site, agent.id).uri == site.uri
    edge = edge_line.Edge(site.enrolment["edge"], tls=own.client)
    with edge.exchange("GET", "/v1/workload", headers={}) as answer:
        assert json.loads(answer.text())["spiffeId"] == site.uri


def test_what_the_edge_hands_out_leads_to_tls(world, site):
    assert site.enrolment["edge"] == world.listener
    assert site.enrolment["broker"].startswith("amqps://")


# --- what an agent refuses to start with ---


def test_an_agent_does_not_start_with_the_certificate_of_another_site(world, site):
    site.show(world.ours.issue("other", Workload(DOMAIN, uuid4(), uuid4()).uri))

    done = site.run()

    assert done.returncode == 2
    assert f"It must name {site.uri}, which `sprout site --identity` prints." in done.stderr


def test_an_agent_does_not_start_to_speak_in_clear_over_a_network(world, site):
    site.write(site.enrolment | {"broker": "amqp://u:p@broker.example.org/"})
    site.show(world.ours.issue("agent", site.uri))

    done = site.run()

    assert (done.returncode, "the broker of the enrolment" in done.stderr) == (2, True)


def test_an_agent_without_a_certificate_does_not_start(world, site, monkeypatch):
    site.show(world.ours.issue("agent", site.uri))
    monkeypatch.delenv("SPROUT_TLS_CERT_FILE")

    done = site.run()

    assert (done.returncode, done.stderr.partition(":")[0]) == (2, "SPROUT_TLS_CERT_FILE")


# --- what the others do not believe ---


def test_an_agent_of_a_foreign_authority_reaches_nobody(world, site):
    own = replace(world.foreign.issue("agent", site.uri), ca=world.ours.file)
    site.show(own)

    site.start()
    until(lambda: site.said("uplink.away", "unknown ca"))

    assert not site.live
    assert Agent.get_or_none(Agent.site_id == site.site) is None


def test_a_certificate_that_ran_out_stops_nothing_but_words_until_it_is_renewed(world, site):
    own = world.ours.issue("late", site.uri, begins=LONG_AGO, ends=YESTERDAY)
    site.show(own)
    site.start()
    until(lambda: site.said("uplink.away", "is not valid now"))
    assert not site.live
    agent = site.child("agent")

    world.ours.issue("late", site.uri)
    until(lambda: site.live)

    assert site.child("agent") == agent


@dataclass
class Speaker:
    """Holds the key of a site, and says what it likes as one of its agents."""

    world: World
    site: UUID
    agent: UUID
    key: bytes

    def own(self, *, by=None, **more):
        return (by or self.world.ours).issue("speaker", self.uri(), **more)

    def uri(self, **other):
        named = {"trust_domain": DOMAIN, "site": self.site, "agent": self.agent} | other
        return Workload(**named).uri

    def other(self, **other):
        return self.world.ours.issue("speaker", self.uri(**other))

    def message(self, credentials, kind, words=None):
        """Return the message of *kind*, proved by *credentials*, or without any."""
        body = {
            Kind.REGISTER: {"hostname": "h", "incarnation": "i"},
            Kind.RENEW: {"n": 1, "tasks": []},
        }[kind]
        made = sealed(Envelope(kind=kind, site=self.site, agent=self.agent, body=body), self.key)
        if credentials is None:
            return made
        chain, key = credentials.own()
        at = int(time.time())
        text = (words or made["signature"]).encode()
        der = [each.public_bytes(proofs.Encoding.DER) for each in chain]
        signature = proofs._signed(key, proofs._bound(text, at))
        proof = {"at": at, "chain": list(map(proofs._text, der))}
        return made | {"proof": proof | {"signature": proofs._text(signature)}}


@pytest.fixture
def speaker(world):
    site = make.site(f"s{secrets.token_hex(4)}")
    return Speaker(world, site, uuid4(), agents.signing_key(site))


@pytest.fixture
def say(world):
    """Publishes a message as a peer of RabbitMQ whose own certificate is good."""
    broker.secure(world.ours.issue("peer"))
    publisher = broker.publisher_for(world.node.tls_url)

    def say(message, kind=Kind.REGISTER):
        queue, actor = QUEUES[kind]
        data = encoded(actor, queue, {"message": message}, now=time.time())
        publisher.publish([(queue, data)])
        return json.loads(data)["message_id"]

    yield say
    publisher.close()
    broker.secure(None)


QUEUES = {
    Kind.REGISTER: (REPORT_QUEUE, Actor.REPORT),
    Kind.RENEW: (LEASE_QUEUE, Actor.RENEW),
}
UNBELIEVED = {
    "none": (lambda s: None, "bears no proof"),
    "foreign authority": (lambda s: s.own(by=s.world.foreign), "certificate is refused"),
    "expired": (lambda s: s.own(begins=LONG_AGO, ends=YESTERDAY), "not valid at validation time"),
    "not yet valid": (lambda s: s.own(begins=TOMORROW, ends=LATER), "not valid at validation time"),
    "another agent's": (lambda s: s.other(agent=uuid4()), "the message of agent"),
    "another site's": (lambda s: s.other(site=uuid4()), "the message of agent"),
    "another domain's": (lambda s: s.other(trust_domain="x.local"), "of the trust domain x.local"),
    "nobody's": (lambda s: s.world.ours.issue("speaker"), "names one SPIFFE URI, this one 0"),
    "an authority's": (lambda s: s.own(signs=True), "names one SPIFFE URI, this one 0"),
}


def test_a_message_is_believed_from_the_agent_that_it_names_alone(speaker, say):
    sent = {
        say(speaker.message(made(speaker), kind), kind): (name, why)
        for name, (made, why) in UNBELIEVED.items()
        for kind in QUEUES
    }

    until(lambda: sent.keys() <= dead().keys())
    letters = dead()
    for letter, (name, why) in sent.items():
        assert (letters[letter].reason, why in letters[letter].detail) == ("rejected", True), name
    assert Agent.get_or_none(Agent.id == speaker.agent) is None


def dead():
    return {letter.message_id: letter for letter in dead_letters.listed(ask=Ask(limit=1000))}


def test_a_proof_of_other_words_is_none(speaker, say):
    letter = say(speaker.message(speaker.own(), Kind.REGISTER, words="other words"))

    until(lambda: letter in dead())
    assert "other words" in dead()[letter].detail


def test_who_speaks_for_another_is_written_down(speaker, say):
    other = uuid4()
    letter = say(speaker.message(speaker.other(site=other), Kind.REGISTER))

    until(lambda: letter in dead())
    row = Audit.select().order_by(Audit.id.desc()).get()
    assert (row.actor, row.action) == (speaker.uri(site=other), "message.register")
    assert (row.outcome, row.object_id) == ("refused", str(speaker.agent))


def test_a_message_of_the_agent_that_it_names_is_taken(speaker, say):
    say(speaker.message(speaker.own(), Kind.REGISTER))

    until(lambda: Agent.get_or_none(Agent.id == speaker.agent))
