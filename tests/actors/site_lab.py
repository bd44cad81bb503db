"""What tests of the site share: plans, a store's folder, and what the journal holds."""

import hashlib
from pathlib import Path
from uuid import UUID, uuid4

from models.bootplan import Action, Addressing, BootPlan, File
from pxe_stack.store import JOURNAL, PLANS, JournalStore, PlanStore

SITE = UUID("5a1e0000-0000-4000-8000-000000000001")
KEY = bytes(range(32))


class Folder:
    """A site's folder with its stores open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plans = PlanStore(path / PLANS)
        self.journal = JournalStore(path / JOURNAL)

    def close(self) -> None:
        self.plans.close()
        self.journal.close()

    def seen(self) -> list[tuple[str, dict]]:
        """Return the kind and data of each observation, in order."""
        return [(o.kind.value, dict(o.data)) for _, o in self.journal.pending(0, 1000)]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen()]


def a_plan(owner: UUID, *files: File, **changes) -> BootPlan:
    values = {
        "machine": uuid4(),
        "site": SITE,
        "hostname": "node1",
        "mac": "52:54:00:aa:bb:01",
        "version": 1,
        "action": Action.INSTALL,
        "addressing": Addressing(address="10.0.0.20", prefix_length=24),
        "boot_base_url": "http://10.0.0.1:8081",
        "run": uuid4(),
        "owner": owner,
        "files": files,
        "valid_for": 3600,
    }
    return BootPlan(**values | changes)


def an_artifact(root: Path, path: str, content: bytes) -> File:
    """Write *content* beneath *root* and return how a plan names it."""
    location = root / path
    location.parent.mkdir(parents=True, exist_ok=True)
    location.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return File(role="image", path=path, sha256=digest, size=len(content))
