"""Agents that speak with the certificate of another: written down, and nothing else is changed."""

from models import audit
from models.audit import Caller
from models.database import database
from models.messages import Envelope
from models.workloads import Workload, WorkloadRefused


def record(peer: Workload, envelope: Envelope, why: WorkloadRefused) -> None:
    """Write down that *peer* sent what is said to be of the agent of *envelope*."""
    with database.atomic():
        audit.record(
            Caller(name=peer.uri, request_id=str(envelope.id)),
            f"message.{envelope.kind.value}",
            kind="agent",
            id=envelope.agent,
            site=envelope.site,
            reason=str(why),
            refused=True,
            data={"code": why.code},
        )
