"""What is numbered and told in order: where it is read, and how it is said, for each form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from edge.live import wording
from edge.live.handover import Form
from edge.live.wording import Scope
from models import host_log
from models.commands import events

BATCH: Final = 50


@dataclass(frozen=True, slots=True)
class Read:
    """What was *told*; to go on *after* a number; *more*: there may be more at once."""

    told: Sequence[Any]
    after: int
    more: bool


@dataclass(frozen=True, slots=True)
class Feed:
    """Questions to the database, and words.

    Attributes:
        newest, oldest: the numbers between which something is kept.
        since: what came after a number, BATCH rows at most, for one scope or for all.
        behind: whether there is something after a number that is told only later.
        wants: whether a scope is told of one of those.
        said: the text of some of them.
    """

    newest: Callable[[], int]
    oldest: Callable[[], int]
    since: Callable[[int, Scope], Read]
    behind: Callable[[int], bool]
    wants: Callable[[Scope, Any], bool]
    said: Callable[[Sequence[Any]], bytes]


def _events(after: int, scope: Scope) -> Read:
    wanted: dict[str, Any] = {"machine": scope.machine, "site": scope.site, "kind": scope.kind}
    found = events.since(after, limit=BATCH, among=scope.sites, **wanted)
    return Read(found, found[-1].id if found else after, len(found) == BATCH)


def _hosts(after: int, scope: Scope) -> Read:
    found = host_log.since(after, limit=BATCH, among=scope.sites)
    return Read(found.told, found.after, found.whole)


FEEDS: Final[Mapping[Form, Feed]] = MappingProxyType(
    {
        Form.EVENTS: Feed(
            newest=events.newest,
            oldest=events.oldest,
            since=_events,
            behind=events.behind,
            wants=Scope.wants,
            said=wording.events,
        ),
        Form.HOSTS: Feed(
            newest=host_log.newest,
            oldest=host_log.oldest,
            since=_hosts,
            behind=host_log.behind,
            wants=lambda scope, told: scope.sees(told.site_id),
            said=wording.hosts,
        ),
    }
)
