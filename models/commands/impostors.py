"""Agents that speak as another: written down, and nothing else is changed."""

from models import audit
from models.audit import Caller
from models.database import database
from models.messages import Envelope
from models.workloads import Workload, WorkloadRefused


def record(peer: Workload, envelope: Envelope, why: WorkloadRefused) -> None:
    """Write down that *peer* sent what is said to be of the agent of *envelope*."""
    _write(peer.uri, envelope, str(why), why.code)


def of_another_site(envelope: Envelope) -> None:
    """Write down that the site of *envelope* spoke as an agent that another site has."""
    _write(f"site {envelope.site}", envelope, "the agent is another site's", "wrong-site")


def _write(who: str, envelope: Envelope, reason: str, code: str) -> None:
    with database.atomic():
        audit.record(
            Caller(name=who, request_id=str(envelope.id)),
            f"message.{envelope.kind.value}",
            kind="agent",
            id=envelope.agent,
            site=envelope.site,
            reason=reason,
            refused=True,
            data={"code": code},
        )
