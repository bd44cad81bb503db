"""Machines that nobody entered: kept once for each site and MAC, and only so many of them."""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from peewee import fn

from models import audit
from models.audit import Caller
from models.commands import events
from models.commands.moves import announce, now
from models.commands.records import locked_site
from models.database import database
from models.discoveries import DiscoveryView, Sighting, Verdict
from models.errors import IllegalTransition, NotFound
from models.messages import Envelope
from models.observations import Observation, Seen
from models.paging import FIRST, Ask, Order, Part
from models.tables import Discovery, DiscoveryDrop, Machine, Site
from models.tables import Observation as Row
from models.whereabouts import Sites

MOST: Final = 10_000
"""Discoveries that are kept of one site; those seen longest ago make room, and are counted."""

ROWS_KEPT: Final = timedelta(days=1)
"""For how long each word of a stranger is kept: so late may a site repeat itself."""

AHEAD_S: Final = 300
"""Seconds that a site's clock may be ahead before its times are cut to ours."""

ORDER: Final = Order(
    "discoveries",
    MappingProxyType(
        {
            "firstSeen": Discovery.first_seen,
            "lastSeen": Discovery.last_seen,
            "times": Discovery.times,
        }
    ),
    Discovery.id,
    "-firstSeen",
)
"""How they can be listed."""

# What was seen last is what is shown: a site may tell late, and out of order.
_SEEN: Final = """
INSERT INTO discoveries AS d (id, site_id, mac, smbios_uuid, arch, vendor_class, relay, address,
    agent_id, first_seen, last_seen)
SELECT %(id)s, %(site)s, %(mac)s::macaddr, %(smbios_uuid)s::uuid, %(arch)s, %(vendor_class)s,
    %(relay)s::inet, %(address)s::inet, %(agent)s::uuid, %(at)s, %(at)s
WHERE NOT EXISTS (
    SELECT FROM interfaces JOIN machines ON machines.id = machine_id
    WHERE mac = %(mac)s::macaddr AND site_id = %(site)s)
ON CONFLICT (site_id, mac) DO UPDATE SET
    smbios_uuid = CASE WHEN d.last_seen > excluded.last_seen
        THEN d.smbios_uuid ELSE excluded.smbios_uuid END,
    arch = CASE WHEN d.last_seen > excluded.last_seen
        THEN d.arch ELSE excluded.arch END,
    vendor_class = CASE WHEN d.last_seen > excluded.last_seen
        THEN d.vendor_class ELSE excluded.vendor_class END,
    relay = CASE WHEN d.last_seen > excluded.last_seen
        THEN d.relay ELSE excluded.relay END,
    address = CASE WHEN d.last_seen > excluded.last_seen
        THEN d.address ELSE excluded.address END,
    agent_id = CASE WHEN d.last_seen > excluded.last_seen
        THEN d.agent_id ELSE excluded.agent_id END,
    times = d.times + 1,
    first_seen = least(d.first_seen, excluded.first_seen),
    last_seen = greatest(d.last_seen, excluded.last_seen)
RETURNING id, xmax = 0
"""
# Accepted ones are machines by now, and ignored ones would come back as new.
_FORGET: Final = """
DELETE FROM discoveries WHERE id IN (
    SELECT id FROM discoveries WHERE site_id = %s
    ORDER BY state = 'ignored', state = 'new', last_seen LIMIT %s FOR UPDATE SKIP LOCKED)
"""
_DROPPED: Final = """
INSERT INTO discovery_drops AS d (site_id, dropped) VALUES (%s, %s)
ON CONFLICT (site_id) DO UPDATE SET dropped = d.dropped + excluded.dropped, last_at = now()
"""


def hold_back(site_id: UUID) -> None:
    """Have who records a machine of the site wait for this transaction, and this for them.

    So nobody is a stranger and a machine.  Comes before all other locks.
    """
    database.execute_sql("SELECT FROM sites WHERE id = %s FOR SHARE", (str(site_id),))


def seen(envelope: Envelope, observations: Iterable[Observation]) -> None:
    """Keep what an agent tells of strangers, in the caller's transaction; each is told once.

    What is malformed is left out.  The caller holds back who records machines.
    """
    found = [Sighting.of(each) for each in observations]
    strangers = sorted((each for each in found if each), key=lambda each: (each.mac, each.at))
    if not strangers:
        return
    fresh = [each for each in (_kept(envelope, stranger) for stranger in strangers) if each]
    if fresh and _room(envelope.site):
        for discovery_id in fresh:
            _tell(Discovery.get_by_id(discovery_id), "found")
    if fresh:
        announce(envelope.site)


def _kept(envelope: Envelope, stranger: Sighting) -> UUID | None:
    """Return the id of a discovery that is new; None for any other."""
    at = datetime.fromtimestamp(min(max(stranger.at, 0.0), now().timestamp() + AHEAD_S), UTC)
    values = {
        "id": str(uuid4()),
        "site": str(envelope.site),
        "mac": stranger.mac,
        "smbios_uuid": None if stranger.smbios_uuid is None else str(stranger.smbios_uuid),
        "arch": stranger.arch,
        "vendor_class": stranger.vendor_class,
        "relay": stranger.relay,
        "address": stranger.address,
        "agent": str(envelope.agent),
        "at": at,
    }
    row = database.execute_sql(_SEEN, values).fetchone()
    return row[0] if row is not None and row[1] else None


def _room(site_id: UUID) -> bool:
    """Forget what is too much; False when it was: a flood is counted, and told to nobody."""
    over = Discovery.select().where(Discovery.site_id == site_id).count() - MOST
    if over <= 0:
        return True
    gone = database.execute_sql(_FORGET, (str(site_id), over)).rowcount
    database.execute_sql(_DROPPED, (str(site_id), gone))
    return False


def prune() -> int:
    """Forget what sites said of strangers long ago, but for its sum; return how many rows."""
    long_ago = now() - ROWS_KEPT
    gone = Row.delete().where(
        Row.machine_id.is_null()
        & (Row.kind == Seen.MACHINE_DISCOVERED.value)
        & (Row.received_at < long_ago)
    )
    return int(gone.execute())


def open_of(site_id: UUID, macs: Collection[str]) -> frozenset[str]:
    """Return those of *macs* that were seen at the site, and are no machine's yet."""
    query = Discovery.select(Discovery.mac).where(
        (Discovery.site_id == site_id)
        & Discovery.mac.in_(list(macs))
        & (Discovery.state != Verdict.ACCEPTED.value)
    )
    return frozenset(row.mac for row in query)


def claimed(caller: Caller, machine: Machine, macs: Collection[str]) -> None:
    """Mark discoveries of these MACs as that machine, in the transaction that records it."""
    theirs = "site_id = %s AND mac = ANY(%s::macaddr[]) AND state <> %s ORDER BY mac FOR UPDATE"
    wanted = (str(machine.site_id), list(macs), Verdict.ACCEPTED.value)
    for row in Discovery.all_where(theirs, *wanted):
        row.machine_id = machine.id
        _decide(caller, row, Verdict.ACCEPTED)


def ignore(caller: Caller, discovery_id: UUID, *, reason: str = "") -> None:
    """Have a stranger no longer shown as new.  Raises NotFound or IllegalTransition."""
    with database.atomic():
        row = locked(discovery_id)
        if row.state == Verdict.IGNORED.value:
            return
        _decide(caller, row, Verdict.IGNORED)
        told = {"mac": row.mac}
        audit.record(
            caller,
            "discovery.ignore",
            kind="discovery",
            id=row.id,
            site=row.site_id,
            reason=reason,
            data=told,
        )


def locked(discovery_id: UUID) -> Discovery:
    """Return a discovery that is not accepted yet, locked; its site's row is locked first.

    Raises NotFound, and IllegalTransition for one that is a machine.
    """
    first = _found(Discovery.get_or_none(Discovery.id == discovery_id), discovery_id)
    locked_site(first.site_id, "")
    again = Discovery.select().where(Discovery.id == discovery_id).for_update().first()
    row = _found(again, discovery_id)
    if row.state == Verdict.ACCEPTED.value:
        machine = Machine.get_by_id(row.machine_id)
        raise IllegalTransition(
            f"{row.mac} is machine {machine.hostname} already",
            hint=f"Look at it: sprout machines show {machine.hostname}",
        )
    return row


def _found(row: Discovery | None, discovery_id: UUID) -> Discovery:
    if row is None:
        raise NotFound(
            f"no discovery {discovery_id}", hint="List them with: sprout discoveries list"
        )
    return row


def _decide(caller: Caller, row: Discovery, state: Verdict) -> None:
    row.state = state.value
    row.decided_by, row.decided_at = caller.name, now()
    row.save()
    _tell(row, state.value, request_id=caller.request_id)
    announce(row.site_id)


def _tell(row: Discovery, kind: str, *, request_id: str = "") -> None:
    said = {
        "mac": row.mac,
        "state": row.state,
        "arch": row.arch,
        "uuid": _text(row.smbios_uuid),
        "vendorClass": row.vendor_class,
        "relay": row.relay,
        "machineId": _text(row.machine_id),
    }
    events.tell_of_discovery(row, kind, said, request_id=request_id)


def listed(
    *,
    among: Sites = None,
    site_id: UUID | None = None,
    state: Verdict | None = None,
    ask: Ask = FIRST,
) -> Part[DiscoveryView]:
    """Return discoveries, the newest first unless told."""
    query = _joined()
    if among is not None:
        query = query.where(Discovery.site_id.in_(among))
    if site_id is not None:
        query = query.where(Discovery.site_id == site_id)
    if state is not None:
        query = query.where(Discovery.state == state.value)
    return ORDER.part(query.objects(), ask, lambda rows: list(map(_view, rows)))


def one(discovery_id: UUID) -> DiscoveryView:
    """Return one discovery.  Raises NotFound."""
    row = _joined().where(Discovery.id == discovery_id).objects().first()
    return _view(_found(row, discovery_id))


def counts(site_id: UUID | None = None, *, among: Sites = None) -> Mapping[str, int]:
    """Return how many discoveries are new, and how many were forgotten for want of room."""
    news = Discovery.select().where(Discovery.state == Verdict.NEW.value)
    dropped = DiscoveryDrop.select(fn.SUM(DiscoveryDrop.dropped))
    if among is not None:
        news = news.where(Discovery.site_id.in_(among))
        dropped = dropped.where(DiscoveryDrop.site_id.in_(among))
    if site_id is not None:
        news = news.where(Discovery.site_id == site_id)
        dropped = dropped.where(DiscoveryDrop.site_id == site_id)
    return {"new": news.count(), "dropped": int(dropped.scalar() or 0)}


def _joined() -> Any:
    joined = Discovery.select(Discovery, Site.slug.alias("site_slug"))
    return joined.join(Site, on=(Site.id == Discovery.site_id))


def _view(row: Any) -> DiscoveryView:
    names = DiscoveryView.__dataclass_fields__
    return DiscoveryView(**{n: getattr(row, n) for n in names} | {"state": Verdict(row.state)})


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
