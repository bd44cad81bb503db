"""Plans on their way from control into service.

Rule 1: a plan is in the inbox before its message is acknowledged, and leaves it when settled.
Rule 2: a plan with authority is stored only when every file it needs is here and verified.
Rule 3: it is acknowledged (plan-served) only when every serving process serves.
"""

import math
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog

from actors.site.admission import Admissions
from actors.site.artifacts import Artifacts, Unfetched, Unservable
from actors.site.store import AgentStore, Links
from actors.site.waits import Waits
from models.bootplan import Action, BootPlan
from models.observations import Observation, Seen, Source
from pxe_stack.moment import Moment
from pxe_stack.store import JournalStore, PlanStore, Range

LOOK_S: Final = 0.25
"""How often it is looked whether the serving processes are ready, while a plan waits for them."""
IDLE_S: Final = 5.0
"""How often it looks whether it is to stop, while nothing waits."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One part of all plans that control has for this site: *part* counts from 0.

    *at* is when control made it, in seconds of its clock: what was said later, it does not know.
    """

    name: str
    part: int
    parts: int
    ranges: tuple[Range, ...] | None = None
    at: float = math.inf


class Desk:
    """Settles plans, one after another, in its own thread."""

    def __init__(
        self,
        inbox: AgentStore,
        plans: PlanStore,
        journal: JournalStore,
        artifacts: Artifacts,
        services: Collection[str],
    ) -> None:
        self._agent = inbox.agent
        self._inbox = inbox
        self._plans = plans
        self._journal = journal
        self._services = frozenset(services)
        self._wake = threading.Event()
        self._said: dict[UUID, float] = {}
        self._artifacts = artifacts
        self._waits = Waits()
        self.admissions = Admissions(artifacts, self._wake.set)
        self.admissions.delayed = self._delayed

    def receive(
        self,
        plans: Iterable[BootPlan],
        *,
        whole: Snapshot | None = None,
        links: Links | None = None,
        at: float = 0.0,
    ) -> None:
        """Keep *plans* to be settled; when a snapshot is *whole*, plans that it lacks end.

        *links* tells where files of these plans can be fetched; *at* is when control said so, for
        messages may overtake one another.
        """
        found = tuple(plans)
        self._said |= {plan.machine: at for plan in found if at > self._said.get(plan.machine, 0)}
        self._inbox.receive(found, links or Links())
        self.admissions.news()
        if whole is not None:
            self._collect(whole, [plan.machine for plan in found])
        self._wake.set()

    def close(self) -> None:
        """Have what is being fetched end soon; what has come of it is kept."""
        self.admissions.close()
        self._artifacts.close()

    def _collect(self, whole: Snapshot, machines: Collection[UUID]) -> None:
        named = self._inbox.collect(whole.name, whole.part, whole.parts, machines)
        if named is not None:
            self._withdraw_all_but(named, whole.at)
            if whole.ranges is not None:
                self._plans.put_ranges(whole.ranges)

    def run(self, stop: threading.Event) -> None:
        """Settle what comes, and first what a former life left, until *stop* is set."""
        while not stop.is_set():
            self._wake.clear()
            waiting = True
            try:
                waiting = self.settle_all()
            except Exception:
                log.exception("plan.failed")
            self._wake.wait(LOOK_S if waiting else IDLE_S)

    def settle_all(self) -> bool:
        """Settle what can be; return whether a plan waits for the serving processes."""
        waiting = self._inbox.waiting()
        plans = [plan for plan, _ in waiting]
        own = [plan for plan in plans if plan.owner == self._agent]
        self.admissions.begin(own, self._inbox.links() if own else Links())
        missing = self._services - set(self._journal.ready_services()) if plans else ()
        return bool([plan for plan, since in waiting if not self._settle(plan, since, missing)])

    def _settle(self, plan: BootPlan, since: Moment, missing: Collection[str]) -> bool:
        """Return False for a plan that is stored and waits for a serving process."""
        if plan.owner == self._agent:
            try:
                if not self.admissions.admitted(plan):
                    return True  # it stays in the inbox, and wakes the desk
            except Unservable as exc:
                self._tell(plan, Seen.PLAN_REFUSED, reason=str(exc))
                self._waits.over(plan)
                self._inbox.settle(plan)
                return True
            self._waits.over(plan)
        newly = self._plans.put(plan, since)
        held = self._plans.by_machine(plan.machine)
        digest = "" if held is None else held.plan.digest
        if digest != plan.digest:
            # Older, or of a control that was restored: it must go beyond what is held here.
            known = self._plans.highest(plan.machine)
            self._tell(plan, Seen.PLAN_OUTDATED, held=known, held_digest=digest)
        elif plan.owner == self._agent:  # another's is served without authority, and unsaid
            if missing:
                return False
            self._tell(plan, Seen.PLAN_SERVED, digest=plan.digest)
        elif newly and plan.action is Action.LOCAL:
            self._tell(plan, Seen.PLAN_WITHDRAWN)
        self._inbox.settle(plan)
        return True

    def _delayed(self, plan: BootPlan, exc: Unfetched) -> None:
        told = self._waits.due(plan, exc, time.monotonic())
        if told is not None:
            self._tell(plan, Seen.ARTIFACT_AWAITED, **told)

    def _tell(self, plan: BootPlan, kind: Seen, **data: Any) -> None:
        log.info("plan.settled", outcome=kind.value, machine=str(plan.machine), **data)
        self._journal.append(
            Observation(
                kind=kind,
                source=Source.AGENT,
                at=time.time(),
                mac=plan.mac,
                machine=plan.machine,
                run=plan.run,
                data={"version": plan.version, **data},
            )
        )

    def _withdraw_all_but(self, machines: Collection[UUID], at: float) -> None:
        for plan in self._plans.all():
            said = self._said.get(plan.machine)
            # Of two that were said in one millisecond, nobody knows which came first.
            if plan.machine not in machines and (said is None or said < at):
                self._plans.withdraw(plan.machine)
                log.info("plan.withdrawn", machine=str(plan.machine), version=plan.version)
