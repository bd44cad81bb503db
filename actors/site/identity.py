"""Who this agent is among workloads: the SPIFFE URI that its certificate must name.

A site's messages are signed with the site's key and its agents share an account at the broker: the
certificate is what tells one agent from another, so that it must be this one's.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.site.enrolment import Enrolment
from actors.site.store import AgentStore
from config.values import is_loopback
from models import workloads
from models.workloads import Workload, WorkloadRefused

if TYPE_CHECKING:
    from config.tls import Credentials  # cryptography is large: for processes that speak TLS

_CLEAR: Final = ("http://", "amqp://")


class Impostor(Exception):
    """The certificate is another's, or would not be asked for: says which, and what is wanted."""


def workload(enrolled: Enrolment, directory: Path, trust_domain: str) -> Workload:
    """Return who the agent with its store in *directory* is; a new store makes a new agent."""
    store = AgentStore(directory)
    store.close()
    return Workload(trust_domain, enrolled.site, store.agent)


def prove(own: Workload, credentials: "Credentials") -> None:
    """Raise Impostor unless the certificate of *credentials* is that of *own*."""
    try:
        shown = workloads.of(credentials.names(), own.trust_domain)
    except WorkloadRefused as exc:
        raise Impostor(_sentence(credentials, str(exc), own)) from exc
    if shown != own:
        raise Impostor(_sentence(credentials, f"it is of {shown.uri}", own))


def demand_tls(enrolled: Enrolment, broker_url: str) -> None:
    """Raise Impostor when the edge or the broker would be spoken to in clear over a network."""
    for what, url in (("edge", enrolled.edge), ("broker", broker_url)):
        if url.startswith(_CLEAR) and not is_loopback(url):
            scheme = url.partition(":")[0]
            raise Impostor(
                f"SPROUT_TLS_ENABLED: the {what} of the enrolment is spoken to by {scheme}, in "
                f"clear. Set SPROUT_TLS_ENABLED at the edge too, and enrol this site again."
            )


def _sentence(credentials: "Credentials", why: str, own: Workload) -> str:
    return (
        f"SPROUT_TLS_CERT_FILE: {credentials.cert} is not this agent's certificate: {why}. "
        f"It must name {own.uri}, which `sprout site --identity` prints."
    )
