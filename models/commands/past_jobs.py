"""What jobs of sites leave behind is kept for a while: ended sync jobs, runs, and deliveries.

The newest run of each integration job stays whole, however old: it says how the job stands.
"""

from datetime import timedelta
from typing import Final

from models.commands.moves import now
from models.database import database

KEPT: Final = timedelta(days=90)
"""After their end; what is not over stays."""

BATCH: Final = 10_000
"""Rows that one statement forgets: a run may have told of many more."""

# Each row is of one table that grows with use; deliveries go before the runs that have them.
_OLD_RUNS: Final = """
SELECT old.id FROM integration_runs AS old WHERE old.finished_at < %(before)s AND EXISTS (
    SELECT FROM integration_runs AS newer
    WHERE newer.job_id = old.job_id AND newer.created_at > old.created_at)"""
_FORGET: Final = (
    f"""DELETE FROM integration_deliveries WHERE id IN (
        SELECT id FROM integration_deliveries WHERE run_id IN ({_OLD_RUNS}) LIMIT %(batch)s)""",  # noqa: S608 - constants alone
    f"DELETE FROM integration_runs WHERE id IN ({_OLD_RUNS} LIMIT %(batch)s)",  # noqa: S608 - constants alone
    """DELETE FROM sync_jobs WHERE id IN (
        SELECT id FROM sync_jobs WHERE finished_at < %(before)s LIMIT %(batch)s)""",
)


def prune() -> int:
    """Forget what ended longer than KEPT ago, BATCH rows at a time; return how many there were."""
    told = {"before": now() - KEPT, "batch": BATCH}
    return sum(_all_of(statement, told) for statement in _FORGET)


def _all_of(statement: str, told: dict[str, object]) -> int:
    gone = 0
    while rows := int(database.execute_sql(statement, told).rowcount):
        gone += rows
    return gone
