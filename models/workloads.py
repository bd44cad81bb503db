"""Who an agent is: the one SPIFFE URI in its certificate.  Pure.

    spiffe://<trust domain>/site/<site>/agent/<agent>

Site and agent are UUIDs in lower case (SPIFFE-ID, section 2; X.509-SVID, section 2).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self
from uuid import UUID

from models.errors import Denied

TRUST_DOMAIN: Final = r"[a-z0-9._-]{1,255}"
"""How a trust domain is written (SPIFFE-ID, section 2.1)."""

_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FORM: Final = re.compile(f"spiffe://({TRUST_DOMAIN})/site/({_UUID})/agent/({_UUID})")


class WorkloadRefused(Denied):
    """A peer whose certificate is no agent's of ours, or that speaks for somebody else."""

    code = "workload-refused"


@dataclass(frozen=True, slots=True)
class Workload:
    """One agent."""

    trust_domain: str
    site: UUID
    agent: UUID

    @classmethod
    def parsed(cls, uri: str) -> Self:
        """Return the agent that *uri* names.  Raises WorkloadRefused for any other form."""
        match = _FORM.fullmatch(uri)
        if match is None:
            raise WorkloadRefused(
                "the SPIFFE URI is not of the form spiffe://DOMAIN/site/UUID/agent/UUID"
            )
        return cls(match[1], UUID(match[2]), UUID(match[3]))

    @property
    def uri(self) -> str:
        """Return the SPIFFE URI."""
        return f"spiffe://{self.trust_domain}/site/{self.site}/agent/{self.agent}"

    def answer_for(self, site: UUID) -> None:
        """Return if the agent may speak for *site*.  Raises WorkloadRefused."""
        if self.site != site:
            raise WorkloadRefused(
                f"the certificate is of an agent of site {self.site}, the request of site {site}"
            )

    def be(self, site: UUID, agent: UUID) -> None:
        """Return if it is *agent* of *site*, whom a message names.  Raises WorkloadRefused."""
        if (self.site, self.agent) != (site, agent):
            raise WorkloadRefused(
                f"the certificate is of {self.uri}, the message of agent {agent} of site {site}",
                field="/envelope/agent",
            )


def of(uris: Sequence[str], trust_domain: str) -> Workload:
    """Return whose certificate names *uris*.

    Raises WorkloadRefused unless it is one agent of *trust_domain*.
    """
    if len(uris) != 1:
        raise WorkloadRefused(
            f"a certificate names one SPIFFE URI, this one {len(uris)}",
            hint="`sprout site --identity` prints the URI that an agent's certificate must name.",
        )
    found = Workload.parsed(uris[0])
    if found.trust_domain != trust_domain:
        raise WorkloadRefused(
            f"the certificate is of the trust domain {found.trust_domain}",
            hint=f"Agents here are of {trust_domain} (SPROUT_WORKLOAD_TRUST_DOMAIN).",
        )
    return found
