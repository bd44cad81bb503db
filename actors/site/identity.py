"""Who this agent is among workloads: the SPIFFE URI that its certificate must name.

A site's messages are signed with the site's key and its agents share an account at the broker: the
certificate is what tells one agent from another, so that it must be this one's, and its key signs
what the agent says.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actors.broker_contract import Unconfirmed
from actors.site.enrolment import Enrolment
from actors.site.store import AgentStore
from config.values import is_loopback
from models import workloads
from models.workloads import Workload, WorkloadRefused

if TYPE_CHECKING:
    from config.tls import Credentials  # cryptography is large: for processes that speak TLS

_CLEAR: Final = ("http://", "amqp://")
_VERIFIED: Final = "sslmode=verify-full"

Sign = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Adds to a message what proves that this agent says it.  Raises Unconfirmed when nothing can."""


class Impostor(Exception):
    """The certificate is another's, or would not be asked for: says which, and what is wanted."""


def workload(enrolled: Enrolment, directory: Path, trust_domain: str) -> Workload:
    """Return who the agent with its store in *directory* is; a new store makes a new agent."""
    store = AgentStore(directory)
    store.close()
    return Workload(trust_domain, enrolled.site, store.agent)


def signer(own: Workload, credentials: "Credentials") -> Sign:
    """Return what proves messages of *own* by the key of *credentials*.  Raises Impostor.

    While the certificate has run out, or is another's, nothing is said: reports wait in the journal
    until it is renewed.
    """
    from config import proofs, tls  # noqa: PLC0415 - as above

    _prove(own, credentials)
    prover = proofs.Prover(credentials, own.uri)
    try:
        prover.look()
    except tls.Unusable as exc:
        raise Impostor(_sentence(credentials, str(exc), own)) from exc

    def sign(message: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            proof = prover.proof(str(message["signature"]).encode(), time.time())
        except tls.Unusable as exc:
            raise Unconfirmed(f"nothing proves who says it: {exc}") from exc
        return {**message, "proof": proof}

    return sign


def demand_tls(enrolled: Enrolment, broker_url: str) -> None:
    """Raise Impostor when the edge or the broker would be spoken to in clear over a network."""
    for what, url in (("edge", enrolled.edge), ("broker", broker_url)):
        if _in_clear(url) and not is_loopback(url):
            scheme = url.partition(":")[0]
            raise Impostor(
                f"SPROUT_TLS_ENABLED: the {what} of the enrolment is spoken to by {scheme}, in "
                f"clear. Set SPROUT_TLS_ENABLED at the edge too, have SPROUT_SITE_BROKER there "
                f"begin with amqps:// (or end in ?{_VERIFIED}), and enrol this site again."
            )


def _in_clear(url: str) -> bool:
    return url.startswith(_CLEAR) or (url.startswith("postgres") and _VERIFIED not in url)


def _prove(own: Workload, credentials: "Credentials") -> None:
    """Raise Impostor unless the certificate of *credentials* is that of *own*."""
    try:
        shown = workloads.of(credentials.names(), own.trust_domain)
    except WorkloadRefused as exc:
        raise Impostor(_sentence(credentials, str(exc), own)) from exc
    if shown != own:
        raise Impostor(_sentence(credentials, f"it is of {shown.uri}", own))


def _sentence(credentials: "Credentials", why: str, own: Workload) -> str:
    return (
        f"SPROUT_TLS_CERT_FILE: {credentials.cert} is not this agent's certificate: {why}. "
        f"It must name {own.uri}, which `sprout site --identity` prints."
    )
