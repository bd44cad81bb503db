"""A task as control sends it: parsed whole, or refused."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from actors.drivers import reach
from models.errors import Invalid
from models.steps import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Bmc:
    """Where a machine's BMC is.  *secret_ref* names the password, which never crosses."""

    address: str
    protocol: str = "redfish"
    username: str = ""
    secret_ref: str = ""
    system: str = ""
    verify: bool = True

    @property
    def board(self) -> str:
        """The BMC itself, however its address is written: what must not be asked twice at once."""
        return reach.board(self.address)


NO_BMC: Final = Bmc(address="")
WITHOUT_BMC: Final = frozenset({Task.SYNC, Task.REMOTE_TASK, Task.REPORT, Task.WAKE})
"""Tasks that are done at no BMC; the *machine* of a sync is what it is fenced by, the job's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One task: *deadline_s* in seconds from when it was accepted.

    *upload* is the right by which its evidence goes up; without one it has none.
    """

    task: UUID
    kind: Task
    epoch: int
    attempt: int
    deadline_s: float
    machine: UUID
    bmc: Bmc
    run: UUID | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    upload: str = field(default="", repr=False)

    @property
    def lane(self) -> str:
        """What it is done one after another with: a BMC, a system, or the site's files."""
        if self.at_system or self.kind is Task.WAKE:
            return str(self.machine)
        return self.bmc.board if self.bmc.address else self.kind.value

    @property
    def at_system(self) -> bool:
        """Whether it is for the machine's system, and not for its BMC."""
        return self.kind is Task.REMOTE_TASK

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """Return the order that *body* is; unknown keys are left out.  Raises Invalid."""
        try:
            return cls(
                task=UUID(body["task"]),
                kind=Task(body["kind"]),
                epoch=int(body["epoch"]),
                attempt=int(body.get("attempt", 1)),
                deadline_s=_seconds(body["deadline_s"]),
                machine=UUID(body["machine"]),
                run=None if body.get("run") is None else UUID(body["run"]),
                params=dict(body.get("params") or {}),
                bmc=NO_BMC if body["kind"] in WITHOUT_BMC else _bmc(body["bmc"]),
                upload=str(body.get("upload") or ""),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise Invalid(f"the task is malformed: {exc!r}", field="/body") from exc


def _seconds(given: Any) -> float:
    seconds = float(given)
    if not math.isfinite(seconds):
        raise ValueError("a deadline that never comes")
    return seconds


def _bmc(body: Mapping[str, Any]) -> Bmc:
    return Bmc(
        address=str(body["address"]),
        protocol=str(body.get("protocol") or "redfish"),
        username=str(body.get("username") or ""),
        secret_ref=str(body.get("secret_ref") or ""),
        system=str(body.get("system") or ""),
        verify=bool(body.get("verify", True)),
    )
