"""Policy decisions: how each request was judged, by which rule, and what would change it."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access
from edge.api.approvals import OfMachines
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Page, Path, SortOf, example
from models import day2_queries

api: Final = resource("policy decisions", "How each request was judged, and by which rule.")


class PolicyDecisionRef(Path):
    decision: Annotated[UUID, Field(description="The decision's id.")]


class PolicyDecisionFilter(OfMachines):
    sort: Annotated[str, SortOf(day2_queries.DECISIONS)] = day2_queries.DECISIONS.usual
    allowed: bool | None = None

    def wanted(self) -> dict[str, Any]:
        """Return what the columns are to be.  Raises NotFound."""
        return {**super().wanted(), "allowed": self.allowed}


class PolicyDecision(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f49-7283-7495-8697-b81930415263",
                "at": "2025-06-01T12:00:00Z",
                "actor": "admin",
                "action": "reboot",
                "machineId": "018f6f45-3e4f-7051-8263-748596071829",
                "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
                "allowed": False,
                "rule": "actions/reboot/approval",
                "reason": "reboot needs an approval by an admin of ams-1",
                "wouldChange": "Have it approved, and name the approval.",
                "approvalId": None,
                "inputs": {"state": "active", "role": "admin"},
                "policy": "de63c91031d836e9b1f366f7d19283294c192852642ad1f69a02f0daa6c9fc09",
                "requestId": "7d0c1a52c1e84f0f8a4c0f5b6a1d2e3f",
            }
        )
    )

    id: UUID
    at: datetime
    actor: str
    action: str
    machine_id: Annotated[UUID | None, Field(description="None: asked of the site.")]
    site_id: UUID
    allowed: bool
    rule: Annotated[str, Field(description="Its place in the policy; `default`: none spoke.")]
    reason: str
    would_change: Annotated[str, Field(description="What would have it judged otherwise.")]
    approval_id: UUID | None
    inputs: Annotated[dict[str, Any], Field(description="What was judged.")]
    policy: Annotated[str, Field(description="SHA-256 of the policy that was in force.")]
    request_id: str


class PolicyDecisions(Page):
    items: list[PolicyDecision]


@operation(
    api,
    "get",
    "/v1/policy-decisions",
    "listPolicyDecisions",
    answer=PolicyDecisions,
    refuses=("not-found",),
    action="policy-decision.read",
)
def index(query: PolicyDecisionFilter) -> Response:
    """List policy decisions."""
    found = day2_queries.policy_decisions(
        among=access.visible_sites(), wanted=query.wanted(), ask=query.ask()
    )
    return answered(PolicyDecisions.showing(found))


@operation(
    api,
    "get",
    "/v1/policy-decisions/<decision>",
    "getPolicyDecision",
    answer=PolicyDecision,
    action="policy-decision.read",
)
def show(path: PolicyDecisionRef) -> Response:
    """Show one policy decision."""
    return answered(PolicyDecision.of(day2_queries.policy_decision(path.decision)))
