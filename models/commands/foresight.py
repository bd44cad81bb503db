"""What would come of a verb that is not asked yet: nothing is kept, and nothing is locked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from models.audit import Caller
from models.commands import inventories, policy, releasing, traits
from models.database import database
from models.errors import DomainError
from models.kinds import Kind
from models.policy import Judgement
from models.steps import Decision, Table, Trait
from models.tables import Machine
from models.workflows import table_of

LATEST: Final = 25
"""Workflows of one kind at one site whose times are looked at."""

DAYS: Final = 30
"""How old those may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """How a verb is judged before an approval is named, and what its workflow would walk.

    *usual_s*: seconds that those took which went well; None where none did yet.
    """

    judgement: Judgement
    table: Table
    usual_s: float | None

    @property
    def longest_s(self) -> int:
        """Return the seconds after which all its steps have ended, without a second try."""
        return sum(step.deadline_s for step in self.table.steps)

    @property
    def wipes(self) -> bool:
        """Return whether partition tables and signatures are taken away."""
        return any(Trait.WIPES in step.only for step in self.table.steps)

    @property
    def frees(self) -> bool:
        """Return whether the machine's address is given back."""
        return any(step.decision is Decision.LET_GO for step in self.table.steps)


def of(caller: Caller, machine_id: UUID, kind: Kind, asked: Mapping[str, Any]) -> Prospect:
    """Return what would come of *kind*, if *caller* asked it of the machine with *asked* now."""
    machine = Machine.get_by_id(machine_id)
    return Prospect(
        judgement=policy.foreseen(caller, machine, kind.value),
        table=table_of(kind, traits.of(machine, kind, _meant(machine, kind, asked))),
        usual_s=_usual_s(machine.site_id, kind),
    )


def _meant(machine: Machine, kind: Kind, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *asked* with what is chosen for it as soon as it is asked, where that can be."""
    if kind is Kind.RELEASE:
        return {**asked, "wipe": asked.get("wipe") or releasing.SIGNATURES}
    if kind is not Kind.COMMISSION:
        return asked
    try:
        how = inventories.How(asked.get("inventory") or inventories.How.AUTO)
        return inventories.chosen(machine, how)
    except (DomainError, ValueError):
        return asked


_MEDIAN: Final = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM took)) FROM (
    SELECT finished_at - created_at AS took FROM workflows
    WHERE site_id = %s AND kind = %s AND state = 'succeeded'
      AND created_at > now() - make_interval(days => %s)
    ORDER BY created_at DESC LIMIT %s
) AS latest
"""


def _usual_s(site: UUID, kind: Kind) -> float | None:
    found = database.execute_sql(_MEDIAN, (str(site), kind.value, DAYS, LATEST)).fetchone()[0]
    return None if found is None else float(found)
