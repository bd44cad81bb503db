"""What lies on a simulated machine's disk: the seed of what was installed, kept in one file."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class System:
    """An installed system: its seed, its host key, and whether it has phoned home."""

    seed: Mapping[str, str]
    key: str = ""
    home: bool = False


class Drive:
    """Outlives the machine's power, and the rack."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.system: System | None = None
        if path.exists():
            self.system = System(**json.loads(path.read_text(encoding="utf-8")))

    def install(self, system: System) -> None:
        """Replace what is on the disk."""
        draft = self._path.with_suffix(".draft")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(system), file)
        draft.replace(self._path)
        self.system = system

    def wipe(self) -> None:
        """Leave nothing on the disk that boots."""
        self._path.unlink(missing_ok=True)
        self.system = None
