"""Leads many machines from registered to active, all at once, and tells how many are where."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from statistics import quantiles
from typing import Any, Final

from edge.cli.client import AWAY, Api, Told
from edge.cli.rehearsal import Records, wants_commissioning
from edge.cli.verbs import ask

SHORTEST_S: Final = 0.5
PER_MACHINE_S: Final = 0.004
"""Between two looks: a long list costs the edge more to make than a short one."""
LIMIT_S: Final = 3600.0
PAGE: Final = 200
AT_ONCE: Final = 8

Say = Callable[[str], None]
Row = Mapping[str, Any]

_WORKING: Final = frozenset({"commissioning", "provisioning"})


class Fleet:
    """The machines of *records*, each led to its end whatever becomes of the others."""

    def __init__(self, api: Api, records: Records, say: Say) -> None:
        self._api = api
        self._records = records
        self._say = say
        self._ours = frozenset(records.machines.values())
        self._asked: dict[str, set[str]] = {machine: set() for machine in self._ours}
        self._began = time.monotonic()

    def lead(self) -> bool:
        """Return whether all are active in the end."""
        with ThreadPoolExecutor(AT_ONCE) as callers:
            return self._lead(callers)

    def _lead(self, callers: ThreadPoolExecutor) -> bool:
        told = ""
        while True:
            try:
                rows = self._rows()
            except Told as exc:
                self._wait_for_edge(exc)
                continue
            acts = [act for row in rows if (act := self._next(row)) is not None]
            if (line := _summary(rows)) != told:
                told = line
                self._say(f"{time.monotonic() - self._began:7.1f} s  {line}")
            if not acts and not any(row["state"] in _WORKING for row in rows):
                return self._ended(rows)
            if time.monotonic() - self._began > LIMIT_S:
                raise Told(f"not all machines were active within {LIMIT_S:.0f} s")
            list(callers.map(lambda act: act(), acts))
            time.sleep(max(SHORTEST_S, PER_MACHINE_S * len(rows)))

    def _rows(self) -> list[Row]:
        rows = self._api.items("/v1/machines", siteId=self._records.site, limit=PAGE)
        return [row for row in rows if str(row["id"]) in self._ours]

    def _next(self, row: Row) -> Callable[[], object] | None:
        """Return what to ask for now; nothing while it works, and when it has come to its end."""
        machine, state, asked = str(row["id"]), str(row["state"]), self._asked[str(row["id"])]
        if state in _WORKING and not asked:
            # Left over from a start that was cut short: its power went with the rack.
            flow = row["workflow"]["id"]
            return partial(self._api.post, f"/v1/workflows/{flow}/cancel", {})
        if wants_commissioning(row) and not asked:
            return partial(self._ask, machine, "commission")
        if (state == "available" and "provision" not in asked) or (state == "failed" and not asked):
            return partial(self._ask, machine, "provision")
        if state == "active" and not asked:
            return partial(self._ask, machine, "power-on")
        return None

    def _wait_for_edge(self, why: Told) -> None:
        """An edge that is started again is no end of the world.  Raises *why* if it is another."""
        if why.status != AWAY or time.monotonic() - self._began > LIMIT_S:
            raise why
        time.sleep(SHORTEST_S)

    def _ask(self, machine: str, verb: str) -> None:
        """Ask for *verb*; when nobody answers, the next look tells whether it was heard."""
        try:
            self._asked_for(machine, verb)
        except Told as exc:
            self._asked[machine].discard(verb)
            self._wait_for_edge(exc)

    def _asked_for(self, machine: str, verb: str) -> None:
        self._asked[machine].add(verb)
        records = self._records
        what = {"imageRef": records.image, "profileRef": records.profile}
        provision = {**what, "reason": "rehearsal"}
        # Simulated machines run no kernel, and could take no inventory of themselves.
        bodies = {"provision": provision, "commission": {"inventory": "bmc"}}
        ask(self._api, machine, verb, bodies.get(verb, {}))

    def _ended(self, rows: list[Row]) -> bool:
        failed = [row for row in rows if row["state"] != "active"]
        for row in failed[:10]:
            flow = row["workflow"] or {}
            self._say(f"{row['hostname']} is {row['state']}: {flow.get('detail', '')}")
        for line in _times(rows):
            self._say(line)
        return not failed


def _summary(rows: list[Row]) -> str:
    counts = Counter(str(row["state"]) for row in rows)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _times(rows: list[Row]) -> list[str]:
    """Say how long provisioning took, from being asked to active."""
    flows = [row["workflow"] for row in rows if (row["workflow"] or {}).get("kind") == "provision"]
    taken = [_seconds(flow) for flow in flows if flow["finishedAt"] and flow["createdAt"]]
    if len(taken) < 2:
        return [f"provisioned in {each:.2f} s" for each in taken]
    hundredths = quantiles(taken, n=100, method="inclusive")
    each = f"p50 {hundredths[49]:.1f} s, p99 {hundredths[98]:.1f} s each"
    return [f"provisioned {len(taken)} machines: {each}"]


def _seconds(flow: Row) -> float:
    begun, ended = (datetime.fromisoformat(flow[name]) for name in ("createdAt", "finishedAt"))
    return (ended - begun).total_seconds()
