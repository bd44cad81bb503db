"""Who an agent is: its certificate is its own, and it speaks to nobody in clear."""

from uuid import UUID, uuid4

import pytest

from actors.broker_contract import Unconfirmed
from actors.site import identity
from actors.site.enrolment import Enrolment
from actors.site.identity import Impostor
from models.workloads import Workload
from tests.services import certificates
from tests.services.certificates import LONG_AGO, YESTERDAY

OWN = Workload(
    "sprout.local",
    UUID("5a1e0000-0000-4000-8000-000000000001"),
    UUID("a9e70000-0000-4000-8000-00000000000a"),
)
ELSEWHERE = "edge.example.org"


def enrolled(edge="https://edge.example.org", broker="amqps://u:p@broker.example.org/"):
    return Enrolment(site=OWN.site, slug="lab", signing_key=b"k", broker=broker, edge=edge)


@pytest.fixture
def ours(tmp_path):
    return certificates.authority(tmp_path / "ours")


def test_an_agent_stays_the_same_workload(tmp_path):
    first = identity.workload(enrolled(), tmp_path, "sprout.local")

    assert identity.workload(enrolled(), tmp_path, "sprout.local") == first
    assert (first.trust_domain, first.site) == ("sprout.local", OWN.site)


OTHERS = {
    "another agent's": ([Workload("sprout.local", OWN.site, uuid4()).uri], "it is of spiffe://"),
    "another site's": ([Workload("sprout.local", uuid4(), OWN.agent).uri], "it is of spiffe://"),
    "another domain's": ([Workload("x.local", OWN.site, OWN.agent).uri], "trust domain x.local"),
    "nobody's": ([], "one SPIFFE URI, this one 0"),
    "two agents'": ([OWN.uri, Workload("sprout.local", OWN.site, uuid4()).uri], "this one 2"),
}


@pytest.mark.parametrize(("names", "why"), OTHERS.values(), ids=OTHERS)
def test_a_certificate_that_is_not_the_agent_s_own_is_refused(ours, names, why):
    with pytest.raises(Impostor) as caught:
        identity.signer(OWN, ours.issue("other", *names))

    assert why in str(caught.value)
    assert f"It must name {OWN.uri}, which `sprout site --identity` prints." in str(caught.value)


def test_by_a_certificate_that_has_run_out_nothing_is_said(ours):
    sign = identity.signer(OWN, ours.issue("own", OWN.uri, begins=LONG_AGO, ends=YESTERDAY))

    with pytest.raises(Unconfirmed, match="is not valid now"):
        sign({"signature": "x"})


@pytest.mark.parametrize(
    "told",
    [
        enrolled(),
        enrolled(edge="http://127.0.0.1:8080", broker="amqp://u:p@localhost/"),
        enrolled(broker="postgresql://u:p@[::1]:5432/x"),
        enrolled(broker="postgresql://u:p@db.example.org/x?sslmode=verify-full"),
    ],
)
def test_tls_or_loopback_is_spoken(told):
    identity.demand_tls(told, told.broker)


@pytest.mark.parametrize(
    ("told", "what"),
    [
        (enrolled(edge="http://edge.example.org:8080"), "the edge of the enrolment is spoken to"),
        (enrolled(broker="amqp://u:p@10.0.0.1/"), "the broker of the enrolment is spoken to"),
        (enrolled(broker="postgresql://u:p@10.0.0.1/x"), "by postgresql, in clear"),
        (enrolled(broker="postgres://u:p@10.0.0.1/x?sslmode=require"), "by postgres, in clear"),
    ],
)
def test_nobody_is_spoken_to_in_clear_over_a_network(told, what):
    with pytest.raises(Impostor, match=what) as caught:
        identity.demand_tls(told, told.broker)

    assert "u:p" not in str(caught.value)
