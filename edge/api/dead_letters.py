"""Dead letters: messages that nobody could work on."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import auth
from edge.api.contract import answered, operation, resource
from edge.api.fields import Answer, Line, Listing, Page, Path, SortOf, example
from models.commands import dead_letters
from models.commands.dead_letters import Letter

api: Final = resource("dead letters", "Messages that nobody could work on, and why.")

_EXAMPLE: Final = {
    "id": "5a1e7d2a-7c11-5a55-9d6f-5f3e2b10c0de",
    "messageId": "8c7b6a59-4837-4261-8504-938271605f4e",
    "queue": "sprout.reports.1",
    "reason": "rejected",
    "detail": "Denied: the signature is not this site's",
    "diedAt": "2025-06-01T12:00:00Z",
    "keptAt": "2025-06-01T12:00:01Z",
    "replayedAt": None,
    "replayedBy": None,
    "size": 812,
}


class DeadLetterRef(Path):
    letter: Annotated[UUID, Field(description="The dead letter's id.")]


class DeadLetterFilter(Listing):
    replayed: Annotated[
        bool | None, Field(description="Only those that were sent again, or were not.")
    ] = None
    queue: Annotated[Line | None, Field(description="The queue that it was on.")] = None
    sort: Annotated[str, SortOf(dead_letters.ORDER)] = dead_letters.ORDER.usual


class DeadLetter(Answer):
    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    id: UUID
    message_id: str
    queue: str
    reason: str
    detail: str
    died_at: datetime | None
    kept_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None
    size: Annotated[int, Field(description="Length of the message in bytes.")]


class DeadLetters(Page):
    items: list[DeadLetter]


class OpenedLetter(DeadLetter):
    model_config = ConfigDict(
        json_schema_extra=example({**_EXAMPLE, "body": {"actor_name": "report", "kwargs": {}}})
    )

    body: Annotated[Any, Field(description="The message, secrets masked; text if it is no JSON.")]


@operation(
    api,
    "get",
    "/v1/dead-letters",
    "listDeadLetters",
    answer=DeadLetters,
    refuses=("not-found",),
    action="dead-letter.read",
)
def index(query: DeadLetterFilter) -> Response:
    """List dead letters."""
    found = dead_letters.listed(replayed=query.replayed, queue=query.queue, ask=query.ask())
    return answered(DeadLetters.showing(found))


@operation(
    api,
    "get",
    "/v1/dead-letters/<letter>",
    "getDeadLetter",
    answer=OpenedLetter,
    action="dead-letter.read",
)
def show(path: DeadLetterRef) -> Response:
    """Show one dead letter with its message; what is secret in it is masked."""
    return answered(_opened(dead_letters.one(path.letter)))


@operation(
    api,
    "post",
    "/v1/dead-letters/<letter>/replay",
    "replayDeadLetter",
    answer=OpenedLetter,
    status=HTTPStatus.ACCEPTED,
    refuses=("illegal-transition",),
    action="dead-letter.replay",
)
def replay(path: DeadLetterRef) -> Response:
    """Put the message on its queue once more, unless it died of its age."""
    dead_letters.replay(auth.caller(), path.letter)
    return answered(_opened(dead_letters.one(path.letter)), HTTPStatus.ACCEPTED)


def _opened(letter: Letter) -> OpenedLetter:
    fields = DeadLetter.of(letter).model_dump()
    return OpenedLetter(**fields, body=dead_letters.shown(letter.body))
