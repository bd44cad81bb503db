"""Tokens of programs: made once, shown once, and ended at any time."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from flask import Response
from pydantic import ConfigDict, Field

from edge import access, auth
from edge.api.contract import answered, operation, resource
from edge.api.fields import (
    WHOLE,
    Answer,
    Body,
    Line,
    Listing,
    Page,
    Path,
    SortOf,
    Word,
    example,
)
from models import queries
from models.commands import tokens
from models.commands.tokens import TokenView
from models.errors import Denied, NotFound, Unknown
from models.roles import Role

api: Final = resource("api tokens", "What programs show: for a role, for some sites, for a while.")

MOST_DAYS: Final = 366
_AT: Final = "2025-06-01T12:00:00Z"
_EXAMPLE: Final = {
    "id": "018f6f4c-3d4e-7f50-8162-738495a6b7c8",
    "name": "nightly inventory",
    "role": "viewer",
    "sites": ["018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10"],
    "createdBy": "ada",
    "createdAt": _AT,
    "expiresAt": "2025-08-30T12:00:00Z",
    "lastUsedAt": None,
    "revokedAt": None,
    "revokedBy": "",
}


class TokenRef(Path):
    token: Annotated[UUID, Field(description="The token's id.")]


class TokenFilter(Listing):
    live: Annotated[bool | None, Field(description="Only those that are good now, or are not.")] = (
        None
    )
    search: Annotated[Word, Field(description="Part of a name.")] = ""
    sort: Annotated[str, SortOf(tokens.ORDER)] = tokens.ORDER.usual


class NewApiToken(Body):
    model_config = ConfigDict(
        json_schema_extra=example(
            {"name": "nightly inventory", "role": "viewer", "sites": ["ams-1"], "days": 90}
        )
    )

    name: Line
    role: Annotated[Role, Field(strict=False)]
    sites: Annotated[
        list[Line] | None,
        Field(min_length=1, max_length=100, description="Ids or slugs; left out: all sites."),
    ] = None
    days: Annotated[int, Field(ge=1, le=MOST_DAYS, description="How long it is good."), WHOLE] = 90


class ApiToken(Answer):
    """A token, without itself: it is kept hashed."""

    model_config = ConfigDict(json_schema_extra=example(_EXAMPLE))

    id: UUID
    name: str
    role: Role
    sites: Annotated[list[UUID] | None, Field(description="Null: all sites.")]
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: Annotated[datetime | None, Field(description="To the minute.")]
    revoked_at: datetime | None
    revoked_by: str


class ApiTokens(Page):
    items: list[ApiToken]


class MadeApiToken(ApiToken):
    model_config = ConfigDict(
        json_schema_extra=example({**_EXAMPLE, "token": "sprout_shown-once-and-never-again"})
    )

    token: Annotated[str, Field(description="Shown once; send it as `Authorization: Bearer`.")]


@operation(
    api,
    "post",
    "/v1/api-tokens",
    "createApiToken",
    answer=MadeApiToken,
    status=HTTPStatus.CREATED,
    refuses=("unknown-reference",),
    action="api-token.create",
    secret=True,
)
def create(body: NewApiToken) -> Response:
    """Make a token; the answer holds it, and nothing else ever will."""
    if body.sites is None:
        access.demand("api-token.create", None)
    sites = None if body.sites is None else [_site(ref, n) for n, ref in enumerate(body.sites)]
    if auth.operator().way is auth.Way.API_TOKEN:
        raise Denied(
            "a token makes no tokens: it would outlive its own end",
            hint="Make tokens as a person, or with the admin's token.",
        )
    token_id, token = tokens.create(
        auth.caller(),
        name=body.name,
        role=body.role,
        sites=None if sites is None else set(sites),
        life=timedelta(days=body.days),
    )
    shown = ApiToken.of(tokens.one(token_id)).model_dump()
    made = MadeApiToken(**shown, token=token)
    return answered(made, HTTPStatus.CREATED, location=f"/v1/api-tokens/{token_id}")


@operation(
    api,
    "get",
    "/v1/api-tokens",
    "listApiTokens",
    answer=ApiTokens,
    refuses=("not-found",),
    action="api-token.read",
)
def index(query: TokenFilter) -> Response:
    """List tokens."""
    among = access.sites_for("api-token.read")
    found = tokens.listed(among=among, live=query.live, search=query.search, ask=query.ask())
    return answered(ApiTokens.showing(found))


@operation(
    api, "get", "/v1/api-tokens/<token>", "getApiToken", answer=ApiToken, action="api-token.read"
)
def show(path: TokenRef) -> Response:
    """Show one token."""
    return answered(ApiToken.of(_judged("api-token.read", path.token)))


@operation(
    api,
    "delete",
    "/v1/api-tokens/<token>",
    "revokeApiToken",
    answer=ApiToken,
    refuses=("illegal-transition",),
    action="api-token.revoke",
)
def revoke(path: TokenRef) -> Response:
    """End a token at once; it stays in the list."""
    _judged("api-token.revoke", path.token)
    tokens.revoke(auth.caller(), path.token)
    return answered(ApiToken.of(tokens.one(path.token)))


def _site(ref: str, place: int) -> UUID:
    """Return the site that *ref* names, if the caller may give rights there."""
    try:
        site = queries.site(ref).id
        access.demand("api-token.create", site)
    except (NotFound, Denied):
        # A site that the caller may not give is not told from one that is nowhere.
        raise Unknown(
            f"no site {ref}", field=f"/sites/{place}", hint="List them with: sprout sites list"
        ) from None
    return site


def _judged(action: str, token_id: UUID) -> TokenView:
    """Return the token if it is for none but sites at which the caller may.  Raises NotFound."""
    found = tokens.one(token_id)
    among = access.sites_for(action)
    if among is not None and (found.sites is None or not among.issuperset(found.sites)):
        raise tokens.missing()
    return found
