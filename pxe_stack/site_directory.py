"""The directory of a site's own processes: its store, as the agent that owns it sees it."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from models.phases import Phase
from pxe_stack import moment
from pxe_stack.directory import Held, Known, StoredFile, is_fresh
from pxe_stack.moment import Moment
from pxe_stack.store import JOURNAL, PLANS, JournalStore, PlanStore


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

    def by_mac(self, mac: str) -> Known | None:
        return self._known(self._plans.by_mac(mac))

    def by_run(self, run: UUID) -> Known | None:
        return self._known(self._plans.by_run(run))

    def by_address(self, address: str) -> Known | None:
        return self._known(self._plans.by_address(address))

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
        return Known(plan=plan, phase=phase, authority=authority)


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
