"""The site's two SQLite files: the plans it serves, and the journal of what it saw.

plans.db    written by the agent alone; read by every serving process, changes seen at once
journal.db  written by all of them; the agent reports its rows and then forgets them
"""

from pxe_stack.journal import BELL, DAMPED, JOURNAL, MOST_LOST, JournalStore, Row
from pxe_stack.net_store import Range
from pxe_stack.plan_store import PLANS, PlanStore

__all__ = [
    "BELL",
    "DAMPED",
    "JOURNAL",
    "MOST_LOST",
    "PLANS",
    "JournalStore",
    "PlanStore",
    "Range",
    "Row",
]
