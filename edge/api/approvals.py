"""Approvals: a person's word for one action on one machine; good once, and until it expires."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access, auth, refusals
from edge.api import reading, verb_forms
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    CLOSED,
    WHOLE,
    Answer,
    Body,
    Line,
    Listing,
    Page,
    Path,
    Reason,
    Sha256,
    SortOf,
    example,
)
from models import day2_queries, queries
from models.commands import approvals
from models.day2_views import ApprovalView
from models.paging import Part

api: Final = resource("approvals", "A person's word for one action on one machine; good once.")

_EXAMPLE: Final = {
    "machineId": "018f6f45-3e4f-7051-8263-748596071829",
    "action": "release",
    "decision": "approved",
    "reason": "the tenant is gone",
    "parameters": None,
    "receipts": None,
}
_DAY: Final = 86_400

Decided = Literal["approved", "denied"]
Receipts = Annotated[
    dict[Line, Sha256],
    Field(
        max_length=32,
        description="SHA-256 of each rendered document, by its name.",
        json_schema_extra=CLOSED,
    ),
]
ActionName = Annotated[
    Line, Field(description="An action of /v1/day2-actions.", examples=["release"])
]


class ApprovalRef(Path):
    approval: Annotated[UUID, Field(description="The approval's id.")]


class OfMachines(Listing):
    """What narrows a list of what was approved, judged or done."""

    machine_id: Annotated[Line | None, Field(description="A machine's id or host name.")] = None
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    action: ActionName | None = None

    def wanted(self) -> dict[str, Any]:
        """Return what the columns are to be.  Raises NotFound."""
        machine, site = self.machine_id, self.site_id
        return {
            "machine_id": None if machine is None else queries.machine(machine).id,
            "site_id": None if site is None else queries.site(site).id,
            "action": self.action,
        }


class ApprovalFilter(OfMachines):
    open: Annotated[
        bool | None, Field(description="Only those that still let something happen, or not.")
    ] = None
    sort: Annotated[str, SortOf(day2_queries.APPROVALS)] = day2_queries.APPROVALS.usual


class NewApproval(Body):
    """With parameters it is good for these alone; with receipts, for what is rendered so."""

    model_config = ConfigDict(json_schema_extra=example({**_EXAMPLE, "expiresInS": 3600}))

    machine_id: Annotated[Line, Field(description="A machine's id or host name.")]
    action: ActionName
    decision: Decided
    reason: Reason = ""
    parameters: Annotated[
        dict[str, Any] | None, Field(description="As the verb's body has them.", max_length=32)
    ] = None
    receipts: Receipts | None = None
    expires_in_s: Annotated[
        int | None,
        Field(ge=1, le=30 * _DAY, description="Seconds; policy says how many at most."),
        WHOLE,
    ] = None


class Approval(Answer):
    model_config = ConfigDict(
        json_schema_extra=example(
            {
                "id": "018f6f48-6172-7384-8596-a70819304152",
                "siteId": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10",
                **_EXAMPLE,
                "parametersSha256": None,
                "state": "open",
                "decidedBy": "admin",
                "role": "admin",
                "createdAt": "2025-06-01T12:00:00Z",
                "expiresAt": "2025-06-01T13:00:00Z",
                "usedAt": None,
                "usedBy": None,
                "workflowId": None,
            }
        )
    )

    id: UUID
    machine_id: UUID
    site_id: UUID
    action: str
    decision: Decided
    state: Annotated[
        Literal["open", "denied", "used", "expired"],
        Field(description="Only one that is open lets anything happen."),
    ]
    reason: str
    decided_by: str
    role: Annotated[str | None, Field(description="What its giver had at the site.")]
    parameters: dict[str, Any] | None
    parameters_sha256: str | None
    receipts: dict[str, str] | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_by: str | None
    workflow_id: Annotated[UUID | None, Field(description="What it was used for.")]

    @classmethod
    def of(cls, view: object) -> Self:
        """Return the answer that shows the approval *view*."""
        assert isinstance(view, ApprovalView)  # noqa: S101 - for the type checker
        fields = {name: getattr(view, name) for name in cls.model_fields if name != "state"}
        return cls(**fields, state=state_of(view))


def state_of(view: ApprovalView) -> Literal["open", "denied", "used", "expired"]:
    """Return how *view* stands now."""
    if view.decision == "denied":
        return "denied"
    if view.used_at is not None:
        return "used"
    return "expired" if view.expires_at <= datetime.now(UTC) else "open"


class Approvals(Page):
    items: list[Approval]


@operation(
    api,
    "post",
    "/v1/approvals",
    "createApproval",
    answer=Approval,
    status=HTTPStatus.CREATED,
    refuses=("not-found", "invalid", "denied", "not-ready", "policy-denied"),
    action="approval.create",
)
def create(body: NewApproval) -> Response:
    """Approve one action on one machine, or deny it."""
    machine = queries.machine(body.machine_id)
    refusals.concerns(machine.id, machine.site_id)
    access.demand("approval.create", machine.site_id)
    new = approvals.NewApproval(
        machine_id=machine.id,
        action=body.action,
        decision=body.decision,
        reason=body.reason,
        parameters=_parameters(body),
        receipts=body.receipts,
        expires_s=body.expires_in_s,
    )
    approval_id = approvals.create_approval(auth.caller(), new)
    made = Approval.of(day2_queries.approval(approval_id))
    return answered(made, HTTPStatus.CREATED, location=f"/v1/approvals/{approval_id}")


def _parameters(body: NewApproval) -> dict[str, Any] | None:
    """Return the parameters as the verb will have them.  Raises Unreadable."""
    form = verb_forms.FORMS.get(body.action)
    if body.parameters is None or form is None:
        return body.parameters
    return verb_forms.parameters(reading.from_part(form, body.parameters, "parameters"))


@operation(
    api,
    "get",
    "/v1/approvals",
    "listApprovals",
    answer=Approvals,
    refuses=("not-found",),
    action="approval.read",
)
def index(query: ApprovalFilter) -> Response:
    """List approvals."""
    return answered(Approvals.showing(found(query)))


def found(query: ApprovalFilter) -> Part[ApprovalView]:
    """Return the approvals that *query* asks for, of those that the caller sees."""
    return day2_queries.approvals(
        among=access.visible_sites(), wanted=query.wanted(), is_open=query.open, ask=query.ask()
    )


@operation(
    api,
    "get",
    "/v1/approvals/<approval>",
    "getApproval",
    answer=Approval,
    action="approval.read",
)
def show(path: ApprovalRef) -> Response:
    """Show one approval."""
    return answered(Approval.of(day2_queries.approval(path.approval)))
