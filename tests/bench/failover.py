"""An agent is killed in the middle of a write: when its task is granted elsewhere, and ends.

Bound: granted within the lease's 30 s and 5 s more.
"""

import sys
from pathlib import Path

from models.commands.tasks import LEASE_S
from tests.faults import failover
from tests.services import postgres, rabbitmq

SLACK_S = 5.0


def measure(folder: Path) -> bool:
    """Print both times; return whether the bound was kept."""
    folder.mkdir(parents=True)
    with rabbitmq.running(folder / "rabbit") as broker, postgres.running() as cluster:
        found = failover.measure(folder, cluster.fresh_database(), broker.url)
    good = found.granted_s <= LEASE_S + SLACK_S
    sys.stdout.write(
        f"  granted elsewhere {found.granted_s:.1f} s after the death"
        f" (bound {LEASE_S + SLACK_S:.0f} s), ended {found.ended_s:.1f} s after it"
        f"  {'ok' if good else 'BROKEN'}\n"
    )
    return good
