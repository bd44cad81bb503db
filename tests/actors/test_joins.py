"""Joins and registrations as errands of control."""

import math
import threading
from uuid import uuid4

import pytest

from actors.control import errands as runner
from actors.control import joins
from actors.control.errand import Job, Means
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Refused, Unreachable
from actors.drivers.ssh_keys import Fresh
from config.clusters import Access, Infrastructure
from config.secrets import Secret, Unresolved
from models.commands import errands
from models.database import borrowed
from models.errands import Errand as Name
from models.errands import Held
from models.tables import Errand
from tests.actors.join_lab import loopback
from tests.actors.lane import until
from tests.services import provider, pve
from tests.services.provider import TOKEN, answer

pytestmark = pytest.mark.services

SITE = Fresh.made()
SECRETS = {
    "PASSWORD": Secret(pve.PASSWORD),
    "KEY": SITE.login("root").private_key,
    "T": Secret(TOKEN),
}


def resolve(name):
    if name not in SECRETS:
        raise Unresolved(f"env:{name} is not set")
    return SECRETS[name]


RESOLVERS = {"env": resolve}


def means(**more):
    access = Access(name="lab", password="env:PASSWORD", ssh_key="env:KEY")
    return Means(**{"resolvers": RESOLVERS, "cluster": access} | more)


def job(name, **params):
    held = Held(
        id=uuid4(), name=name, subject=uuid4(), key="k/1", params=params, fence=1, left_s=300
    )
    return Job(held, Deadline.after(300), math.inf)


class Hosts:
    """Hosts that are to be of one cluster, and the keys of their runs."""

    def __init__(self, world, count):
        self.world, self.keys, self.told, self.member = world, {}, [], {}
        for number in range(1, count + 1):
            run = uuid4()
            self.keys[run] = key = Fresh.made()
            lines = (f"{key.public} run", f"{SITE.public} site")
            node = world.node(f"node-{number}", f"127.0.0.{70 + number}", *lines)
            host = {"address": node.host.address, "keys": node.host.keys, "port": node.host.port}
            told = {"node": node.name, "run": str(run), "host": host}
            self.told.append(told)

    def key_of(self, run):
        return self.keys[run].login("root").private_key

    def first(self):
        """Have the first make the cluster, by which the others join."""
        found = self.doer(job(Name.CLUSTER_JOIN, **self.told[0]), means())
        self.member = self.told[0]["host"] | {"cluster": "lab", "fingerprint": ""}
        return found

    @property
    def doer(self):
        return joins.joiner(self.key_of, loopback, member_of=lambda _run: self.member)


def test_the_first_host_makes_the_cluster_and_the_others_join_it_one_at_a_time(
    pve_world, database_url
):
    hosts = Hosts(pve_world, 3)
    first = hosts.first()
    with borrowed():
        asked = [
            errands.ask(
                Name.CLUSTER_JOIN,
                uuid4(),
                told["node"],
                params=told,
                deadline_s=600,
                lane="cluster-join",
            )
            for told in hosts.told[1:]
        ]
    stop, at_once, most = threading.Event(), [], []

    def counted(job, means):
        at_once.append(job)
        most.append(len(at_once))
        try:
            return hosts.doer(job, means)
        finally:
            at_once.remove(job)

    made = runner.Runner(means(), {Name.CLUSTER_JOIN: counted})
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    until(lambda: _ended(asked), seconds=400)
    stop.set()
    thread.join(60)

    with borrowed():
        rows = {row.key: (row.state, row.detail) for row in Errand.select()}
    assert rows == {"node-2": ("done", ""), "node-3": ("done", "")}
    assert first["moves"] == ["create"]
    assert max(most) == 1
    assert sorted(pve_world.cluster()["nodes"]) == ["node-1", "node-2", "node-3"]


def _ended(asked):
    with borrowed():
        return Errand.select().where(Errand.finished_at.is_null()).count() == 0


def test_nothing_that_is_stored_of_a_join_holds_a_secret(pve_world):
    hosts = Hosts(pve_world, 2)
    held = job(Name.CLUSTER_JOIN, **hosts.told[1])
    found = hosts.first()
    again = hosts.doer(held, means())

    kept = f"{found}{again}{held.held.params}"
    assert pve.PASSWORD not in kept
    assert "PRIVATE KEY" not in kept
    assert again["key_gone"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cluster": None}, "no cluster is set here"),
        ({"cluster": Access(name="a name that is none")}, "the cluster is not set as it must be"),
        ({"cluster": Access(member="10.0.0.1", password="env:PASSWORD")}, "no SSH key is set"),
    ],
)
def test_what_is_not_set_is_told_before_anything_is_spoken_to(more, words):
    def never(*_):
        raise AssertionError("it connected")

    host = {"address": "10.0.0.2", "keys": ["ssh-ed25519 AAAA"]}
    told = {"node": "node-1", "run": str(uuid4()), "host": host}
    doer = joins.joiner(lambda _run: SECRETS["KEY"], never, member_of=lambda _run: {})

    with pytest.raises(Refused, match=words):
        doer(job(Name.CLUSTER_JOIN, **told), means(**more))


@pytest.mark.parametrize(
    ("private", "words"),
    [(None, "key of this rebuild is gone"), (Secret("no key"), "no key in OpenSSH's form")],
)
def test_a_run_without_its_key_is_to_be_rebuilt(private, words):
    host = {"address": "10.0.0.2", "keys": ["ssh-ed25519 AAAA"]}
    told = {"node": "node-1", "run": str(uuid4()), "host": host}
    doer = joins.joiner(lambda _run: private, loopback, member_of=lambda _run: {})

    with pytest.raises(Refused, match=words):
        doer(job(Name.CLUSTER_JOIN, **told), means())


# --- registration ---

HOST = {
    "hostname": "node-1.example",
    "ip": "10.0.0.2",
    "hardware_id": "4c4c4544-0042/7",
    "server_type": "minisforum-ms-01",
}


@pytest.fixture
def service():
    with provider.running() as made:
        yield made


def register(service, host=HOST, **more):
    known = {"url": service.url, "token": "env:T", "server_types": {"minisforum-ms-01": "7"}}
    infrastructure = Infrastructure(**known | more)
    return joins.register(
        job(Name.INFRASTRUCTURE_REGISTER, **host), means(infrastructure=infrastructure)
    )


def test_a_host_is_told_by_what_the_service_calls_its_type_and_may_be_told_twice(service):
    told = HOST | {"server_type": "7"}

    assert register(service) == register(service) == {"told": told}

    assert service.hosts == {HOST["hardware_id"]: told}
    assert {each.key for each in service.seen} == {"k/1"}


def test_without_a_service_nothing_is_told():
    assert joins.register(job(Name.INFRASTRUCTURE_REGISTER, **HOST), means()) == {"off": True}


@pytest.mark.parametrize("fault", [answer(500), answer(401), answer(404), answer(409), answer(422)])
def test_whatever_the_service_answers_may_pass_and_is_tried_again(service, fault):
    service.faults.append(fault)

    with pytest.raises(Unreachable, match="Infrastructure service"):
        register(service)
    register(service)

    assert list(service.hosts) == [HOST["hardware_id"]]


def test_a_type_that_the_map_lacks_is_told_and_nothing_is_sent(service):
    with pytest.raises(Unreachable, match="does not say what other is called there"):
        register(service, HOST | {"server_type": "other"})

    assert service.seen == []


@pytest.mark.parametrize("hardware", ["", ".", "..", "../.."])
def test_a_hardware_id_that_would_lead_to_another_path_is_told_and_nothing_is_sent(
    service, hardware
):
    with pytest.raises(Unreachable, match="is no hardware id"):
        register(service, HOST | {"hardware_id": hardware})

    assert service.seen == []


@pytest.mark.parametrize(("types", "sent"), [({}, "minisforum-ms-01"), ({"a": "b"}, "")])
def test_a_host_without_a_type_and_a_service_without_a_map_are_told_as_they_are(
    service, types, sent
):
    host = HOST | ({} if sent else {"server_type": ""})

    assert register(service, host, server_types=types)["told"]["server_type"] == sent


def test_a_service_that_is_away_is_told_without_its_token():
    with pytest.raises(Unreachable) as caught:
        joins.register(
            job(Name.INFRASTRUCTURE_REGISTER, **HOST),
            means(infrastructure=Infrastructure(url="http://127.0.0.1:9", token=TOKEN)),
        )

    assert TOKEN not in str(caught.value)
