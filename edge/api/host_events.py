"""What happens to hosts, as it happens: Server-Sent Events named state, operation and activity."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from flask import Response
from flask_openapi.models.media_type import MediaType
from flask_openapi.models.response import Response as Documented
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from edge.api.contract import operation, resource
from edge.api.fields import Answer, example
from edge.events import MIME_TYPE, streamed
from edge.live.handover import Form
from models.kinds import Kind, Progress
from models.phases import Phase

api: Final = resource("host events", "What happens to hosts, as it happens.")

_COMMON: Final = {
    "host_id": "018f6f45-3e4f-7051-8263-748596071829",
    "hostname": "pve-01",
    "site": "home",
    "operation_id": "018f6f46-4f50-7162-8374-859607182930",
    "at": "2025-06-01T12:00:00Z",
}
_SAID: Final[dict[str, dict[str, Any]]] = {
    "state": _COMMON | {"state": "pxe_ready", "from": "registered"},
    "operation": _COMMON
    | {"kind": "provision", "state": "running", "step": "netbooted", "detail": ""},
    "activity": _COMMON
    | {"source": "http", "kind": "answer-served", "applied": True, "data": {"bytes": 812}},
}


class _OfHost(Answer):
    model_config = ConfigDict(alias_generator=None)

    host_id: UUID
    hostname: str
    site: Annotated[str, Field(description="The slug of the site that it is at.")]
    operation_id: Annotated[UUID | None, Field(description="Null: of no operation.")]
    at: datetime


class HostMoved(_OfHost):
    """The data of an event `state`."""

    model_config = ConfigDict(json_schema_extra=example(_SAID["state"]))

    state: Phase
    came_from: Annotated[Phase, Field(alias="from", description="Where it stood before.")]


class HostOperated(_OfHost):
    """The data of an event `operation`: it began, came to another step, or ended."""

    model_config = ConfigDict(json_schema_extra=example(_SAID["operation"]))

    kind: Kind | None
    state: Progress
    step: Annotated[str | None, Field(description="The step that it is at.")]
    detail: Annotated[str, Field(description="Why it failed or was cancelled; may be empty.")]


class HostSeen(_OfHost):
    """The data of an event `activity`: something was seen, or said."""

    model_config = ConfigDict(json_schema_extra=example(_SAID["activity"]))

    source: Annotated[str, Field(description="Who saw it.")]
    kind: str
    applied: Annotated[bool, Field(description="False: it came late, or again.")]
    data: dict[str, Any]


class HostEvents(Answer):
    """The data of the events of the stream, by their names."""

    model_config = ConfigDict(json_schema_extra=example(_SAID))

    state: HostMoved
    operation: HostOperated
    activity: HostSeen


class Resuming(BaseModel):
    last_event_id: str = Field(
        default_factory=str,
        alias="Last-Event-ID",
        description="The id of the event that was heard last: what came after it is told first.",
    )


def _shown() -> Documented:
    told = (
        f"id: {number}\nevent: {name}\ndata: {to_json(data).decode()}\n\n"
        for number, (name, data) in enumerate(_SAID.items(), start=4169)
    )
    content = MediaType.model_validate(
        {"schema": {"type": "string"}, "example": "retry: 2000\n\n" + "".join(told)}
    )
    return Documented(description="A stream that goes on.", content={MIME_TYPE: content})


@operation(
    api,
    "get",
    "/events",
    "streamHostEvents",
    answer=HostEvents,
    streamed=_shown(),
    header=Resuming,
    refuses=("no-stream",),
    action="host.read",
)
def stream() -> Response:
    """Stream what happens to hosts, by Server-Sent Events.

    The data of `state`, `operation` and `activity` is JSON: HostEvents. Each has an id;
    `Last-Event-ID` resumes, and without it the stream begins now. `reset` says that some in between
    are not kept any more, `ended` why the stream ends. A comment comes every 15 seconds at least.
    """
    return streamed(Form.HOSTS)
