"""One errand under way in this process, and what errands are done with."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from actors.drivers.deadline import Deadline
from actors.drivers.errors import LeaseLost
from config.capabilities import External
from config.clusters import Access, Infrastructure
from config.secrets import Resolver
from models.errands import Held

_NOWHERE: Final = Path("/nonexistent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What errands are done with; *allow* is SPROUT_OUTBOUND_ALLOW, *externals* by capability.

    *ca_file* is SPROUT_OUTBOUND_CA_FILE, *blob_dir* and *artifact_dir* are the edge's folders.
    *cluster* is what hosts join, *infrastructure* the
    service that they are told to: nowhere, where it is None.
    """

    resolvers: Mapping[str, Resolver] = field(default_factory=dict, repr=False)
    allow: tuple[str, ...] = ()
    ca_file: Path | None = None
    externals: Mapping[str, External] = field(default_factory=dict)
    blob_dir: Path = _NOWHERE
    artifact_dir: Path = _NOWHERE
    cluster: Access | None = None
    infrastructure: Infrastructure | None = None


@dataclass(slots=True)
class Job:
    """An errand under way in this process; *until*, on the monotonic clock, is its lease's end."""

    held: Held
    deadline: Deadline
    until: float
    lost: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Return if the errand is still ours.  Raises LeaseLost."""
        if self.lost.is_set() or time.monotonic() >= self.until:
            raise LeaseLost("the errand is another's by now")


Doer = Callable[[Job, Means], Mapping[str, Any]]
"""Does an errand; returns what it found.  What it raises is said in `actors.control.errands`."""
