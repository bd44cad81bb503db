"""Who asked for what, and how it was answered: a row in the transaction of what it records."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from models.roles import Grant
from models.tables import Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """On whose behalf something is done; *grants* name sites by slug.

    *subject* is who it is where *name* may be shared; *owner*: the subject of who answers for it,
    where it is a program.
    """

    name: str
    request_id: str = ""
    source_ip: str = ""
    grants: tuple[Grant, ...] = ()
    subject: str = ""
    owner: str = ""

    @property
    def person(self) -> str:
        """What two callers are compared by: the token that somebody made is no second person."""
        return self.owner or self.subject or self.name


ENGINE: Final = Caller(name="engine")
REAPER: Final = Caller(name="reaper")


def record(
    caller: Caller,
    action: str,
    *,
    kind: str,
    id: object = "",  # noqa: A002  # the word that the row and the API use
    site: UUID | None = None,
    machine: UUID | None = None,
    reason: str = "",
    refused: bool = False,
    data: dict[str, Any] | None = None,
) -> None:
    """Write one row; the caller's transaction decides whether it stays."""
    Audit.record(
        actor=caller.name,
        action=action,
        object_kind=kind,
        object_id=str(id),
        site_id=site,
        machine_id=machine,
        outcome="refused" if refused else "done",
        reason=reason,
        request_id=caller.request_id,
        source_ip=caller.source_ip,
        data=_told(caller, data or {}),
    )


def _told(caller: Caller, data: dict[str, Any]) -> dict[str, Any]:
    """Return *data* and, where the caller's name does not say it all, who exactly it was."""
    known = {"", caller.name}
    return data if caller.subject in known else {**data, "subject": caller.subject}
