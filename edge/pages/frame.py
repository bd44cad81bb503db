"""What is around every page: who looks, at which site, where else to go, the same by machine."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

from flask import request, url_for

from edge import access, auth
from edge.pages import standing
from edge.wording import age, duration, size
from models import lists
from models.commands import policy_source, server_types
from models.differences import sentence
from models.paging import Ask
from models.views import SiteView

SITES: Final = 30
"""Sites that the switcher names; the page of sites has them all."""


@dataclass(frozen=True, slots=True)
class Rail:
    """One of the places of the rail: *key* follows `g` on the keyboard."""

    label: str
    endpoint: str
    key: str
    sited: bool = True


RAIL: Final = (
    Rail("Machines", "fleet.index", "m"),
    Rail("Discoveries", "discovered.index", "d"),
    Rail("Workflows", "flows.index", "w"),
    Rail("Approvals", "consents.index", "a"),
    Rail("Sites", "places.index", "s", sited=False),
    Rail("Audit", "ledger.index", "l"),
)

_UNDER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "machine": "fleet",
        "host": "fleet",
        "jobs": "places",
        "asking": "fleet",
        "asking.approve": "consents",
        "entering": "fleet",
        "entering.site": "places",
        "entering.network": "places",
        "shelves": "places",
        "isos": "places",
        "allocating": "places",
    }
)
"""Blueprints and endpoints whose pages stand under another's place of the rail."""


OPTIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "sprout machines list": frozenset({"state", "search", "siteId"}),
        "sprout workflows list": frozenset({"machineId"}),
        "sprout discoveries list": frozenset({"state", "siteId"}),
        "sprout approvals list": frozenset({"machineId", "siteId"}),
        "sprout sync-jobs list": frozenset({"mode", "state", "siteId"}),
        "sprout integration-jobs list": frozenset({"kind", "siteId"}),
        "sprout sites list": frozenset({"search"}),
        "sprout images list": frozenset({"search"}),
        "sprout isos list": frozenset({"state"}),
        "sprout profiles list": frozenset({"search"}),
        "sprout audit list": frozenset({"machineId", "limit"}),
    }
)
"""Words of the API that the command line has too, by its command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What `base.html` shows; *site* is the reference that stands in the URL."""

    who: str
    rights: str
    csrf: str
    rail: Sequence[tuple[Rail, str, bool]]
    site: str
    sites: Sequence[tuple[SiteView, str]]
    everywhere: str
    search: str
    trouble: str
    untyped: str


def around() -> Frame:
    """Return what is around the page that is asked for."""
    site = request.args.get("siteId", "")
    own = request.blueprint or ""
    here = _UNDER.get(request.endpoint or "") or _UNDER.get(own, own)
    known = lists.sites(among=access.visible_sites(), ask=Ask(limit=SITES))
    return Frame(
        who=auth.operator().name,
        rights=", ".join(f"{g.role} of {g.site or 'all sites'}" for g in auth.operator().grants),
        csrf=auth.csrf_token(),
        rail=[(each, _at(each, site), each.endpoint.startswith(f"{here}.")) for each in RAIL],
        site=next((s.slug for s in known if site in {s.slug, str(s.id)}), site),
        sites=[(each, _switched(here, each.slug)) for each in known],
        everywhere=_switched(here, ""),
        search=request.args.get("search", "") if here == "fleet" else "",
        trouble=policy_source.standing().trouble,
        untyped=server_types.standing().told,
    )


def _at(place: Rail, site: str) -> str:
    return url_for(place.endpoint, siteId=site or None if place.sited else None)


def _switched(here: str, slug: str) -> str:
    """Return the list that is looked at, or else the machines, at another site."""
    found = (each for each in RAIL if each.sited and each.endpoint == f"{here}.index")
    return _at(next(found, RAIL[0]), slug)


def commands(path: str, command: str, words: Mapping[str, str] | None = None) -> list[str]:
    """Return how the same is asked by curl and by command line; *words* narrow a list.

    The command line may know fewer of them than the API.
    """
    asked = {name: word for name, word in (words or {}).items() if name != "cursor"}
    url = request.host_url.rstrip("/") + path + (f"?{urlencode(asked)}" if asked else "")
    known = OPTIONS.get(command, frozenset())
    options = "".join(
        f" --{kebab(name)} {shlex.quote(word)}" for name, word in asked.items() if name in known
    )
    asking = 'curl -H "Authorization: Bearer $SPROUT_API_TOKEN"'
    return [f"{asking} {shlex.quote(url)}", f"{command}{options}"]


def kebab(name: str) -> str:
    """Return the word of the command line for a word of the API."""
    return re.sub("[A-Z]", lambda found: f"-{found[0].lower()}", name)


def exact(at: datetime) -> str:
    """Return *at* to the second, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _age(at: datetime) -> str:
    return age((datetime.now(UTC) - at).total_seconds())


def _far(at: datetime) -> str:
    """Return how far off *at* is where nobody counts seconds, "" where that is."""
    left = (at - datetime.now(UTC)).total_seconds()
    return f"in {duration(left)}" if left >= FAR_S else ""


FAR_S: Final = 7200
"""Seconds from which on a deadline is told in hours."""

FILTERS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "age": _age,
        "called": standing.called,
        "exact": exact,
        "far": _far,
        "duration": duration,
        "size": size,
        "difference": sentence,
    }
)
"""What templates turn values into words with."""
