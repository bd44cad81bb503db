"""A SPIFFE URI names one agent, written in one way."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import workloads
from models.workloads import Workload, WorkloadRefused

SITE = UUID("5a1e0000-0000-4000-8000-000000000001")
AGENT = UUID("a9e70000-0000-4000-8000-00000000000a")
PATH = f"/site/{SITE}/agent/{AGENT}"
GOOD = f"spiffe://sprout.local{PATH}"


def test_an_agent_s_uri_names_its_site_and_itself():
    assert workloads.of([GOOD], "sprout.local") == Workload("sprout.local", SITE, AGENT)


@given(st.from_regex(workloads.TRUST_DOMAIN, fullmatch=True), st.uuids(), st.uuids())
def test_what_is_written_is_read_again(domain, site, agent):
    one = Workload(domain, site, agent)

    assert Workload.parsed(one.uri) == one


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://sprout.local",
        f"https://sprout.local{PATH}",
        f"SPIFFE://sprout.local{PATH}",
        f"spiffe:sprout.local{PATH}",
        f"spiffe://{PATH}",
        f"spiffe://Sprout.local{PATH}",
        f"spiffe://sprout.local:443{PATH}",
        f"spiffe://user@sprout.local{PATH}",
        f"spiffe://user:pw@sprout.local{PATH}",
        f"{GOOD}?x=1",
        f"{GOOD}?",
        f"{GOOD}#x",
        f"{GOOD}/",
        f"{GOOD}\n",
        f" {GOOD}",
        f"{GOOD}/../{AGENT}",
        f"spiffe://sprout.local/{PATH}",
        f"spiffe://sprout.local/site/{SITE}",
        f"spiffe://sprout.local/agent/{AGENT}",
        f"spiffe://sprout.local/agent/{AGENT}/site/{SITE}",
        f"spiffe://sprout.local/SITE/{SITE}/agent/{AGENT}",
        f"spiffe://sprout.local/site/{SITE.hex}/agent/{AGENT}",
        f"spiffe://sprout.local/site/{str(SITE).upper()}/agent/{AGENT}",
        f"spiffe://sprout.local/site/{{{SITE}}}/agent/{AGENT}",
        f"spiffe://sprout.local/site/berlin/agent/{AGENT}",
        f"spiffe://sprout.local/site/{SITE}%20/agent/{AGENT}",
        f"spiffe://{'a' * 256}{PATH}",
        f"spiffe://sprout.local/site/\u0665{str(SITE)[1:]}/agent/{AGENT}",
    ],
)
def test_any_other_form_is_refused(uri):
    with pytest.raises(WorkloadRefused):
        workloads.of([uri], "sprout.local")


@pytest.mark.parametrize("uris", [[], [GOOD, GOOD], [GOOD, "https://example.org/"]])
def test_a_certificate_names_exactly_one_uri(uris):
    with pytest.raises(WorkloadRefused, match=f"this one {len(uris)}"):
        workloads.of(uris, "sprout.local")


@pytest.mark.parametrize("domain", ["other.local", "sprout.local.", "xsprout.local"])
def test_another_trust_domain_is_refused(domain):
    with pytest.raises(WorkloadRefused, match=r"of the trust domain sprout\.local"):
        workloads.of([GOOD], domain)


def test_an_agent_answers_for_its_own_site_only():
    one = Workload.parsed(GOOD)

    one.answer_for(SITE)
    with pytest.raises(WorkloadRefused, match=f"of site {SITE}, the request of site {AGENT}"):
        one.answer_for(AGENT)
