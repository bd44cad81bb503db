"""The server types in force: those of the file that this process follows, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from config import server_types
from config.policy import BadFile, Followed
from config.server_types import ServerType
from models.errors import NotReady, Unknown

Types = Mapping[str, ServerType]

_NONE: Final[Types] = MappingProxyType({})
_NAMED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """*source*: the file, or "" without one; *trouble*: why it is not in force as it is now.

    *count*: how many types are in force.
    """

    source: str
    count: int
    trouble: str = ""

    @property
    def told(self) -> str:
        """What is wrong, and what holds meanwhile; "" where nothing is wrong."""
        kept = f"; the {self.count} of before are still in force" if self.count else ""
        return f"{self.trouble}{kept}" if self.trouble else ""


_followed: list[Followed[Types]] = []


def follow_file(path: Path | None) -> None:
    """Have this process go by the file at *path*; None: there are no server types."""
    _followed[:] = [] if path is None else [server_types.followed(path)]


def in_force() -> Types:
    """Return the server types by key.  Raises NotReady where the file was never good."""
    if not _followed:
        return _NONE
    try:
        return _followed[0].current()
    except BadFile as exc:
        raise NotReady(
            f"no server types are in force: {exc}", hint="Mend the file; it is read again at once."
        ) from exc


def named(key: str, *, field: str) -> ServerType:
    """Return the server type *key*.  Raises Unknown at *field*, or NotReady."""
    types = in_force()
    found = types.get(key)
    if found is None:
        known = ", ".join(sorted(types)[:_NAMED])
        raise Unknown(
            f"there is no server type {key}",
            field=field,
            hint=f"Known: {known}." if known else "Name a file with SPROUT_SERVER_TYPES_FILE.",
        )
    return found


def standing() -> Standing:
    """Return where the server types come from, and what is wrong with the file, if anything."""
    try:
        count = len(in_force())
    except NotReady as exc:
        count, lost = 0, str(exc)
    else:
        lost = ""
    if not _followed:
        return Standing(source="", count=0)
    return Standing(
        source=str(_followed[0].path), count=count, trouble=lost or _followed[0].trouble
    )
