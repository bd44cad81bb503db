"""Domain events over HTTP: the same CloudEvents that the topic exchange carries."""

import time
from typing import Annotated, Any, Final

from flask import Response, current_app, request
from pydantic import ConfigDict, Field

from edge import access
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Limit, Line, Query, example
from edge.events import MIME_TYPE, streamed
from edge.live.handover import Form
from models import queries
from models.commands import events
from models.events import DomainEvent

api: Final = resource("domain events", "What happened to machines, in order, as CloudEvents 1.0.")

LONGEST_WAIT_S: Final = 20
LOOK_S: Final = 1.0
"""How long a hint that was missed can delay an answer."""

_EXAMPLE: Final = {
    "specversion": "1.0",
    "id": "018f6f45-3e4f-7051-8263-748596071829/4",
    "source": "/sites/ams-1/machines/018f6f45-3e4f-7051-8263-748596071829",
    "type": "sprout.machine.provisioned",
    "subject": "node-01",
    "time": "2025-06-01T12:00:00Z",
    "datacontenttype": "application/json",
    "sequence": "000000000004",
    "sproutrequestid": "7d0c1a52c1e84f0f8a4c0f5b6a1d2e3f",
    "data": {"event": "provisioned", "from": "provisioning", "to": "active"},
}


class EventFilter(Query):
    after: Annotated[
        int,
        Field(
            ge=-1,
            le=2**63 - 1,
            description="`next` of the answer before; 0: the oldest; -1: only say what is newest.",
        ),
    ] = 0
    machine_id: Annotated[Line | None, Field(description="A machine's id or host name.")] = None
    site_id: Annotated[Line | None, Field(description="A site's id or slug.")] = None
    kind: Annotated[Line | None, Field(description="The last word of the type.")] = None
    limit: Limit = 100
    wait: Annotated[
        int,
        Field(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the first, if none is."),
    ] = 0


class Events(Answer):
    model_config = ConfigDict(json_schema_extra=example({"items": [_EXAMPLE], "next": 41}))

    items: Annotated[list[dict[str, Any]], Field(description="CloudEvents 1.0, oldest first.")]
    next: Annotated[int, Field(description="What to ask with as `after` for what comes then.")]


@operation(
    api,
    "get",
    "/v1/events",
    "listEvents",
    answer=Events,
    refuses=("not-found", "no-stream"),
    action="event.read",
)
def index(query: EventFilter) -> Response:
    """List what happened to machines after a point, waiting a while for something to happen.

    With `Accept: text/event-stream` it is a stream of them by Server-Sent Events, each with its
    position as the event's id: `Last-Event-ID`, or `after`, resumes.  An event named `reset` says
    that some in between are not kept any more, one named `ended` why the stream ends.
    """
    wanted: dict[str, Any] = {
        "among": access.visible_sites(),
        "machine": None if query.machine_id is None else queries.machine(query.machine_id).id,
        "site": queries.site_id(query.site_id),
        "kind": query.kind,
    }
    if request.accept_mimetypes.best_match(["application/json", MIME_TYPE]) == MIME_TYPE:
        after = None if query.after < 0 else query.after
        wanted.pop("among")
        return streamed(Form.EVENTS, after=after, **wanted)
    if query.after < 0:
        return answered(Events(items=[], next=events.newest()))
    found = _found(query, wanted)
    last = found[-1].id if found else query.after
    return answered(Events(items=[each.cloud_event() for each in found], next=last))


def _found(query: EventFilter, wanted: dict[str, Any]) -> list[DomainEvent]:
    until = time.monotonic() + query.wait
    ringer = current_app.extensions["sprout-waiting"]
    bell = ringer.take() if query.wait else None
    try:
        while True:
            found = events.since(query.after, limit=query.limit, **wanted)
            left = until - time.monotonic()
            if found or left <= 0 or bell is None:
                return found
            bell.wait(min(left, LOOK_S))
    finally:
        if bell is not None:
            ringer.give_back(bell)
