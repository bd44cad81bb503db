"""A list as its URL asks for it: the query is the API's own, word for word.

So what narrows a page narrows /v1, and a page's URL is its curl line with another path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flask import request, url_for

from edge import access
from edge.api import reading
from edge.api.fields import Listing

_Query = TypeVar("_Query", bound=Listing)


@dataclass(frozen=True, slots=True)
class Wanted(Generic[_Query]):
    """*query* as the API reads it; *given* as it stands in the URL; *own*: words of the page."""

    query: _Query
    given: Mapping[str, str]
    own: Mapping[str, str]

    def url(self, **changes: str | None) -> str:
        """Return this page with *changes*, from its start; None or nothing takes a word away."""
        words = {**self.own, **self.given, "cursor": "", **changes}
        kept: dict[str, Any] = {name: word for name, word in words.items() if word}
        return url_for(request.endpoint or "", **(request.view_args or {}), **kept)

    def after(self, cursor: str | None) -> str | None:
        """Return where the list goes on, None at its end."""
        return None if cursor is None else self.url(cursor=cursor)

    @property
    def here(self) -> str:
        """Return this part of the list."""
        return self.url(cursor=self.given.get("cursor"))

    @property
    def part(self) -> str:
        """Return what tells this part of the list from others that stand on the same page."""
        return self.given.get("cursor", "")[-12:]

    def sorting(self, word: str) -> tuple[str, str]:
        """Return where a column's heading leads, and how it is sorted now, as ARIA says it."""
        sort = self.query.sort
        said = {word: "ascending", f"-{word}": "descending"}.get(sort, "none")
        return self.url(sort=f"-{word}" if sort == word else word), said


def wanted(model: type[_Query], action: str, *own: str, limit: int | None = None) -> Wanted[_Query]:
    """Return what the URL asks for; what a form left empty is not asked.

    *own* are words that only the page knows; *limit*: rows of a part, unless told.  Raises
    Unreadable, and NotFound for what the caller does not see.
    """
    said = {name: word for name, word in request.args.items() if word}
    mine = {name: said.pop(name) for name in own if name in said}
    usual = {} if limit is None else {"limit": str(limit)}
    query = reading.from_text(model, usual | access.filtered(action, said))
    return Wanted(query, said, mine)
