"""The directory of a site's own processes: its store, as the agent that owns it sees it."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final
from uuid import UUID

from models.bootnet import Mode
from models.bootplan import BootPlan
from models.installer_calls import Caller
from models.phases import Phase
from pxe_stack import moment
from pxe_stack.directory import Held, Known, StoredFile, is_fresh
from pxe_stack.moment import Moment
from pxe_stack.store import JOURNAL, PLANS, JournalStore, PlanStore

_ANOTHERS: Final = frozenset({Mode.PROXY, Mode.OFF})
"""Modes of networks whose addresses another server gives."""


class SiteDirectory:
    """Plans of *plans*, phases of *journal*, as they are at the time that *clock* tells."""

    def __init__(
        self,
        plans: PlanStore,
        journal: JournalStore,
        agent: UUID,
        clock: Callable[[], Moment] = moment.now,
    ) -> None:
        self._plans = plans
        self._journal = journal
        self._agent = agent
        self._clock = clock
        self._version = -1
        self._elsewhere: tuple[IPv4Network, ...] = ()

    def by_mac(self, mac: str) -> Known | None:
        return self._known(self._plans.by_mac(mac))

    def by_run(self, run: UUID) -> Known | None:
        return self._known(self._plans.by_run(run))

    def by_address(self, address: str) -> Known | None:
        if self._proxied():
            mac = self._journal.heard_at(address)
            heard = None if mac is None else self.by_mac(mac)
            if heard is not None and heard.is_at(address):
                return heard
        return self._known(self._plans.by_address(address))

    def by_caller(self, caller: Caller) -> Known | None:
        return self._known(self._plans.by_caller(caller))

    def file(self, url_path: str) -> StoredFile | None:
        return self._plans.file(url_path)

    def chunks(self, url_path: str) -> str | None:
        return self._plans.chunks(url_path)

    def _known(self, held: Held | None) -> Known | None:
        if held is None:
            return None
        plan = held.plan
        phase = Phase.REGISTERED if plan.run is None else self._journal.phase(plan.run)
        authority = plan.owned_by(self._agent) and is_fresh(held, self._clock())
        elsewhere = self._network_of(plan) if self._proxied() else None
        heard = None if elsewhere is None else self._journal.heard_of(plan.mac)
        return Known(plan=plan, phase=phase, authority=authority, elsewhere=elsewhere, heard=heard)

    def _proxied(self) -> tuple[IPv4Network, ...]:
        """Return the networks whose addresses another server gives."""
        version = self._plans.version()
        if version != self._version:
            networks = self._plans.networks()
            self._elsewhere = tuple(each.cidr for each in networks if each.mode in _ANOTHERS)
            self._version = version
        return self._elsewhere

    def _network_of(self, plan: BootPlan) -> IPv4Network | None:
        address = IPv4Address(plan.addressing.address)
        return next((cidr for cidr in self._elsewhere if address in cidr), None)


class Stores:
    """One process's view of the site's files; opened after the fork, by the process itself."""

    def __init__(self, folder: Path, agent: UUID) -> None:
        self.plans = PlanStore(folder / PLANS)
        self._folder = folder
        self.journal = self.another_journal()
        self.directory = SiteDirectory(self.plans, self.journal, agent)

    def another_journal(self) -> JournalStore:
        """Return the journal on a connection of its own, for a thread that may wait for others."""
        return JournalStore(self._folder / JOURNAL)

    def close(self) -> None:
        self.journal.close()
        self.plans.close()
