"""What other systems hold for machines: noted before they are asked, and undone in the end.

Rule 1: a row is there before anybody outside is asked, so that whatever dies is known and undone.
Rule 2: what was refused because of what it said is left where it is, and named: it may be
        somebody else's.
Rule 3: a name is held for one machine at a time: undoing one's never takes another's away.
Rule 4: an address goes back to whom it is from when no agent can serve it any more.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from peewee import SQL

from models.commands import errands
from models.commands.moves import now
from models.database import database, in_turn
from models.errands import Ended, Errand
from models.errors import NotReady, Taken
from models.tables import Allocation, Holding, Machine, Workflow

IPAM: Final = "ipam"
DHCP: Final = "dhcp"
DNS: Final = "dns"
ALLOCATION: Final = "allocation"

REMOVES: Final[Mapping[str, Errand]] = MappingProxyType(
    {
        IPAM: Errand.IPAM_RELEASE,
        DHCP: Errand.DHCP_REMOVE,
        DNS: Errand.DNS_REMOVE,
        ALLOCATION: Errand.MACHINE_RELEASE,
    }
)
"""The errand that undoes a holding."""

PATIENCE_S: Final = 7 * 24 * 3600
"""Seconds for which an undoing is tried; then it is left to a person."""

_TRIES: Final = 10_000

_BY_NAME: Final = frozenset({DHCP, DNS})
"""What a provider holds once for each name; an address is its key's alone."""

_FREED: Final = """
SELECT holdings.id FROM holdings LEFT JOIN allocations ON allocations.id = allocation_id
WHERE holdings.state = 'held' AND allocation_id IS NOT NULL
    AND coalesce(allocations.state = 'released', true)
LIMIT 100"""

_FREE: Final = """
SELECT holdings.id FROM holdings LEFT JOIN machines ON machines.id = machine_id
WHERE holdings.state = 'held' AND capability = 'allocation'
    AND coalesce(machines.state IN ('registered', 'commissioning', 'available', 'retired'), true)
LIMIT 100"""


def wanted(  # what, for whom, by which workflow and under which key
    capability: str,
    machine: Machine,
    flow: Workflow,
    key: str,
    *,
    name: str,
    params: Mapping[str, Any],
) -> Holding:
    """Note that a provider is to hold *params* for the machine.

    Raises NotReady while what it held before is being undone: the two would meet; and Taken for
    a name or a reservation that is another machine's, or is undone for one: providers know them by
    *name* alone.
    """
    _demand_own(capability, machine, name)
    row = _open(capability, machine, name)
    if row is not None:
        _stop_leaving(row)
        row = _open(capability, machine, name)  # what undid it may have ended just now
    if row is None:
        return noted(capability, machine, flow.id, key, name=name, params=params)
    # What was held before this workflow is not undone with it, whoever asked again since then:
    # a host may run by it.  What was being undone is this workflow's from now on.
    if row.state == "leaving" or not row.provider:
        row.workflow_id, row.provider = flow.id, ""
    row.params, row.key, row.state = dict(params), key, "asked"
    row.save()
    return row


def _open(capability: str, machine: Machine, name: str) -> Holding | None:
    found: Holding | None = Holding.get_or_none(
        (Holding.capability == capability)
        & (Holding.machine_id == machine.id)
        & (Holding.name == name)
        & Holding.gone_at.is_null()
    )
    return found


def _demand_own(capability: str, machine: Machine, name: str) -> None:
    if capability not in _BY_NAME:
        return
    # Two machines, of two sites too, may want the same name at once: one of them waits here.
    in_turn(f"sprout holding {capability} {name}")
    other: Holding | None = Holding.get_or_none(
        (Holding.capability == capability)
        & (Holding.name == name)
        & (Holding.machine_id != machine.id)
        & Holding.gone_at.is_null()
    )
    if other is not None:
        near = other.site_id == machine.site_id
        whose = f"machine {other.machine_id}" if near else "a machine of another site"
        raise Taken(
            f"the {capability.upper()} provider holds {name} for {whose}",
            hint="Rename one of the two; or wait, if that one was retired, until it is undone.",
        )


def noted(  # the same, by an order that need not be a workflow's
    capability: str,
    machine: Machine,
    order: UUID,
    key: str,
    *,
    name: str,
    params: Mapping[str, Any],
) -> Holding:
    """Note that a provider is to hold *params* for the machine, of which it holds nothing yet."""
    made: Holding = Holding.create(
        capability=capability,
        machine_id=machine.id,
        site_id=machine.site_id,
        workflow_id=order,
        name=name,
        params=dict(params),
        key=key,
        provider="",
        external_id="",
        state="asked",
        detail="",
    )
    return made


def _stop_leaving(row: Holding) -> None:
    if not errands.withdraw(row.id, REMOVES[row.capability]):
        raise NotReady(
            f"what the machine's {row.capability.upper()} provider held is being undone",
            hint="Ask again in a minute.",
        )


def kept(row: Holding, result: Mapping[str, Any], allocation: UUID | None = None) -> None:
    """Note that the provider holds it, as *result* says."""
    row.state, row.allocation_id = "held", allocation
    row.provider = str(result.get("provider", ""))[:200]
    row.external_id = str(result.get("external_id", ""))[:200]
    row.save()


def left(row: Holding, why: str) -> None:
    """Note that a provider may hold something that is not touched from here any more."""
    row.state, row.detail, row.gone_at = "left", why[:500], now()
    row.save()


def never(flow: Workflow, holding: str | None) -> None:
    """Note that a provider never held what *flow* asked of it first: what is there is another's."""
    Holding.update(state="gone", gone_at=now()).where(
        (Holding.id == holding)
        & (Holding.state == "asked")
        & (Holding.workflow_id == flow.id)
        & (Holding.created_at >= flow.created_at)
    ).execute()


def gone(ids: Iterable[UUID]) -> None:
    """Note that providers hold these no more."""
    Holding.update(state="gone", gone_at=now()).where(
        Holding.id.in_(list(ids)) & Holding.gone_at.is_null()
    ).execute()


def of(machine: Machine, *capabilities: str) -> list[Holding]:
    """Return what providers hold for the machine, or may, by *capabilities*."""
    among = Holding.capability.in_(capabilities) & Holding.gone_at.is_null()
    query = Holding.select().where((Holding.machine_id == machine.id) & among)
    return list(query.order_by(Holding.created_at))


def item(row: Holding) -> dict[str, Any]:
    """Return what an errand is told of a holding that it is to undo."""
    told = {"holding": str(row.id), "external_id": row.external_id, "key": row.key}
    return {**row.params, **told}


def let_go(machine: Machine) -> None:
    """Have the machine's names and reservations undone; its addresses follow when they are free."""
    take_back(of(machine, DNS, DHCP))


def undo(flow: Workflow) -> None:
    """Have undone what providers were asked for by a workflow that powered no machine."""
    mine = (Holding.workflow_id == flow.id) & Holding.gone_at.is_null()
    rows = list(Holding.select().where(mine).order_by(Holding.created_at.desc()))
    take_back([row for row in rows if row.allocation_id is None])
    addresses = [row.allocation_id for row in rows if row.allocation_id is not None]
    Allocation.update(state="releasing", let_go=SQL("pg_current_xact_id()")).where(
        Allocation.id.in_(addresses) & (Allocation.state == "reserved")
    ).execute()


def sweep() -> int:
    """Have given back what is free: addresses that no agent can serve any more, and machines.

    Returns how many.
    """
    freed = [row[0] for each in (_FREED, _FREE) for row in database.execute_sql(each).fetchall()]
    for holding in freed:
        with database.atomic():
            row = Holding.first_where("id = %s AND state = 'held' FOR UPDATE", holding)
            take_back([] if row is None else [row])
    return len(freed)


def take_back(rows: Collection[Holding]) -> None:
    """Have providers told that they need not hold these any more, until they have heard it."""
    for row in rows:
        if row.state == "leaving":
            continue
        row.state = "leaving"
        row.save()
        errands.ask(
            REMOVES[row.capability],
            row.id,
            f"{row.id}/undo",
            params={"items": [item(row)]},
            deadline_s=PATIENCE_S,
            tries=_TRIES,
            backoff_s=5,
            # Who asks for it may be at it still, and must not come after the undoing.
            wait_s=errands.under_way_s(row.workflow_id, row.key),
            site_id=row.site_id,
        )


def undone(holding: UUID, ended: Ended) -> None:
    """Take in how undoing a holding ended."""
    row = Holding.first_where("id = %s AND gone_at IS NULL FOR UPDATE", holding)
    if row is None:
        return
    if ended.done:
        gone([holding])
    else:
        left(row, f"{ended.reason}; remove {row.name} there by hand")
