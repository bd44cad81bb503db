"""Whose certificate stands behind a message of an agent: it must be of the agent that is named.

The broker sees the certificate of a connection and tells nobody; so agents sign what they say by
their certificate's key, beside the signature by the site's, which its agents share.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models import workloads
from models.commands import impostors
from models.messages import Envelope
from models.workloads import WorkloadRefused

if TYPE_CHECKING:
    from config.tls import Credentials  # cryptography is large: for processes that speak TLS

_DEMANDED: "list[tuple[Credentials, str]]" = []


def demand(credentials: "Credentials", trust_domain: str) -> None:
    """From now on, believe agents of *trust_domain* with a certificate of our authority alone."""
    _DEMANDED[:] = [(credentials, trust_domain)]


def judge(message: Mapping[str, Any], envelope: Envelope) -> None:
    """Return if *message*, which holds *envelope*, is proved to be of the agent that it names.

    Without TLS nothing is demanded.  Raises WorkloadRefused; that somebody holds the certificate
    of another is written down in the audit.
    """
    for credentials, trust_domain in _DEMANDED:
        peer = workloads.of(_names(message, credentials), trust_domain)
        try:
            peer.be(envelope.site, envelope.agent)
        except WorkloadRefused as exc:
            impostors.record(peer, envelope, exc)
            raise


def _names(message: Mapping[str, Any], credentials: "Credentials") -> tuple[str, ...]:
    from config import proofs  # noqa: PLC0415 - as above

    text = str(message["signature"]).encode()
    try:
        return proofs.holder(message.get("proof"), text, credentials, time.time())
    except proofs.Unproven as exc:
        raise WorkloadRefused(str(exc), field="/proof") from exc
