"""Hosts in every state, at a site of their own."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from models import queries
from models.commands import asks, providing, root_password, server_types
from models.errands import Errand
from models.phases import Phase
from models.steps import Trait
from models.tables import Agent as AgentRow
from tests.edge import racked
from tests.models import make


def enter(folder: Path) -> Mapping[str, UUID]:
    """Fill the database with them; return those that have pages of their own."""
    server_types.follow_file(racked.types(folder))
    root_password.choose(racked.HASH)
    providing.choose((), "home.example", hosts=(Trait.INFRASTRUCTURE,))
    home = racked.Racked()
    home.agent.silent(-3600)
    AgentRow.update(hostname="pi.home", software="0.1.0").where(
        AgentRow.id == home.agent.id
    ).execute()
    ready = _host(home, 1)
    home.rebuild(ready, reason="new in the rack")
    home.bring(ready, Phase.FIRST_BOOT)
    racked.run_errand(Errand.INFRASTRUCTURE_REGISTER)
    failed = _host(home, 2)
    asks.cancel(make.ADMIN, home.rebuild(failed), reason="the wrong one")
    late = home.rebuild(failed)
    home.bring(failed, Phase.PXE_BOOTED)
    make.overdue(late)
    found = {state: _host(home, n) for n, (state, _, _) in enumerate(racked.SEEN, start=3)}
    for state, host in found.items():
        home.rebuild(host, reason="new in the rack")
        home.bring(host, state)
    woken = home.host("pve-08", "58:47:ca:7a:08:18", "minisforum-um790")
    home.rebuild(woken)
    home.bring(woken, Phase.PXE_READY)
    return {
        "host": found[Phase.PXE_READY],
        "host-installing": found[Phase.INSTALLING],
        "host-joining": found[Phase.FIRST_BOOT],
        "host-registered": _host(home, 9),
        "host-failed": failed,
        "host-ready": ready,
        "operation": queries.machine(found[Phase.INSTALLED]).workflow.id,
        "operation-failed": late,
    }


def _host(home: racked.Racked, number: int) -> UUID:
    return home.host(f"pve-{number:02d}", f"58:47:ca:7a:0{number}:1{number}")
