"""Tokens by which programs come in: kept hashed, for some sites, for a while."""

import hashlib
import json
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from peewee import SQL

from models import audit
from models.audit import Caller
from models.commands.moves import now
from models.database import database
from models.errors import IllegalTransition, NotFound
from models.paging import FIRST, Ask, Order, Part
from models.roles import Grant, Role
from models.tables import ApiToken

ORDER: Final = Order(
    "api-tokens",
    MappingProxyType({"createdAt": ApiToken.created_at, "expiresAt": ApiToken.expires_at}),
    ApiToken.id,
    "-createdAt",
)
"""How they can be listed."""

PREFIX: Final = "sprout_"
"""How every token begins: whoever finds one knows what it is."""

SEEN_EVERY: Final = timedelta(minutes=1)
"""How exactly the last use is kept: a row is not written for every request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """A token as it may be shown; *sites* None: all."""

    id: UUID
    name: str
    role: Role
    sites: tuple[UUID, ...] | None
    created_by: str
    person: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Return what the token stands for; sites by id."""
        if self.sites is None:
            return (Grant(self.role),)
        return tuple(Grant(self.role, str(site)) for site in self.sites)


def token_hash(token: str) -> str:
    """Return what is kept of a token: it is random enough for a plain hash."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def create(
    caller: Caller, *, name: str, role: Role, sites: Collection[UUID] | None, life: timedelta
) -> tuple[UUID, str]:
    """Make a token; return its id and, once and never again, itself."""
    token = PREFIX + secrets.token_urlsafe(32)
    at = now()
    with database.atomic():
        row = ApiToken.create(
            id=uuid4(),
            name=name,
            hash=token_hash(token),
            role=role.value,
            sites=None if sites is None else sorted(map(str, sites)),
            created_by=caller.name,
            person=caller.person,
            created_at=at,
            expires_at=at + life,
        )
        audit.record(
            caller,
            "api-token.create",
            kind="api-token",
            id=row.id,
            site=_only(row.sites),
            data={"name": name, "role": role.value, "sites": row.sites},
        )
    return row.id, token


def revoke(caller: Caller, token_id: UUID, *, reason: str = "") -> None:
    """End a token at once.  Raises NotFound, or IllegalTransition when it is ended already."""
    with database.atomic():
        row: ApiToken = _found(ApiToken.select().where(ApiToken.id == token_id).for_update())
        if row.revoked_at is not None:
            raise IllegalTransition(f"the token was revoked by {row.revoked_by}")
        row.revoked_at, row.revoked_by = now(), caller.name
        row.save()
        audit.record(
            caller,
            "api-token.revoke",
            kind="api-token",
            id=row.id,
            site=_only(row.sites),
            reason=reason,
            data={"name": row.name},
        )


def used(token: str) -> TokenView | None:
    """Return the token that *token* is, and note its use; None for any that is not good now."""
    row: ApiToken | None = ApiToken.get_or_none(ApiToken.hash == token_hash(token))
    at = now()
    if row is None or row.revoked_at is not None or row.expires_at <= at:
        return None
    if row.last_used_at is None or row.last_used_at < at - SEEN_EVERY:
        ApiToken.update(last_used_at=at).where(ApiToken.id == row.id).execute()
    return _view(row)


def alive(ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of *ids* whose tokens are good now."""
    good = ApiToken.revoked_at.is_null() & (ApiToken.expires_at > now())
    rows = ApiToken.select(ApiToken.id).where(ApiToken.id.in_(ids) & good)
    return frozenset(row.id for row in rows)


def listed(
    *,
    among: Collection[UUID] | None = None,
    live: bool | None = None,
    search: str = "",
    ask: Ask = FIRST,
) -> Part[TokenView]:
    """Return tokens, the newest first unless told; with *among*, for none but these sites.

    With *live*, those that are good now, or those that are not.
    """
    query = ApiToken.select().where(ApiToken.name.contains(search))
    if live is not None:
        good = ApiToken.revoked_at.is_null() & (ApiToken.expires_at > now())
        query = query.where(good if live else ~good)
    if among is not None:
        query = query.where(SQL("t1.sites <@ %s::jsonb", (json.dumps([*map(str, among)]),)))
    return ORDER.part(query, ask, lambda rows: list(map(_view, rows)))


def one(token_id: UUID) -> TokenView:
    """Return one token.  Raises NotFound."""
    return _view(_found(ApiToken.select().where(ApiToken.id == token_id)))


def missing() -> NotFound:
    """Return the error of a token that is not there, or not for who asks."""
    return NotFound("there is no such token", hint="List them with: sprout tokens list")


def _only(sites: Sequence[str] | None) -> UUID | None:
    """Return the site that a row is about, None for several or all."""
    return UUID(sites[0]) if sites and len(sites) == 1 else None


def _found(query: Any) -> Any:
    row = query.first()
    if row is None:
        raise missing()
    return row


def _view(row: ApiToken) -> TokenView:
    names = set(TokenView.__dataclass_fields__) - {"role", "sites"}
    sites = None if row.sites is None else tuple(map(UUID, row.sites))
    return TokenView(
        **{name: getattr(row, name) for name in names}, role=Role(row.role), sites=sites
    )
