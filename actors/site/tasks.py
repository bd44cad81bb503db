"""What each kind of task does at a BMC, and what a restart in the middle means for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from actors.drivers import bmcs
from actors.drivers.circuits import Circuits, Hearing
from actors.drivers.deadline import Deadline
from actors.drivers.errors import LeaseLost, Refused, Unreachable
from actors.drivers.outbound import Call
from actors.drivers.reach import Rules
from actors.drivers.redfish_sessions import Sessions
from actors.drivers.systems import Identity, Target
from actors.site.commands import Commands
from actors.site.findings import RECORD
from actors.site.orders import Order
from actors.site.warrant import Warrant
from config import logs, secrets
from models.steps import Task

if TYPE_CHECKING:
    from actors.drivers.bmcs import Machine

Do = Callable[["Machine", Mapping[str, Any]], dict[str, Any]]
"""What a task does with a machine and its parameters; returns its result, and RECORD beside it."""

Apart = Callable[[Order, Deadline, Warrant], dict[str, Any]]
"""Does a task away from any BMC; returns its result."""

Tell = Callable[[float, Mapping[str, Any]], None]
"""Takes the time (seconds since the epoch) and the data of a `bmc-call`, or of a `task-output`."""


class Restart(StrEnum):
    """What an intent without an outcome means, after the agent was started again."""

    REPEAT = "repeat"  # it only reads
    UNKNOWN = "unknown"  # read back, say so, and let control decide: under a new epoch


@dataclass(frozen=True, slots=True)
class Job:
    """One kind of task."""

    do: Do
    restart: Restart = Restart.REPEAT


def _boot_source(machine: "Machine", params: Mapping[str, Any]) -> dict[str, Any]:
    return machine.set_boot_source(
        str(params.get("source", "pxe")),
        persistent=bool(params.get("persistent", False)),
        mode=params.get("mode"),
        http_boot_uri=str(params.get("http_boot_uri") or ""),
    )


def _power_off(machine: "Machine", params: Mapping[str, Any]) -> dict[str, Any]:
    return machine.ensure_power(on=False, force=bool(params.get("force", False)))


def _look(machine: "Machine", params: Mapping[str, Any]) -> dict[str, Any]:
    return {"power": machine.power()}


def _reboot(machine: "Machine", params: Mapping[str, Any]) -> dict[str, Any]:
    return machine.reboot(force=bool(params.get("force", False)))


def _inventory(machine: "Machine", _: Mapping[str, Any]) -> dict[str, Any]:
    return {**machine.inventory(), RECORD: machine.record}


def _media(machine: "Machine", params: Mapping[str, Any]) -> dict[str, Any]:
    url = str(params.get("url") or "")
    return machine.insert_media(url) if url else machine.eject_media()


def _not_at_bmc(_machine: "Machine", _params: Mapping[str, Any]) -> dict[str, Any]:
    raise Refused("this is not done at a BMC")


JOBS: Final[Mapping[Task, Job]] = MappingProxyType(
    {
        Task.INVENTORY: Job(_inventory),
        Task.POWER_ON: Job(lambda machine, _: machine.ensure_power(on=True), Restart.UNKNOWN),
        Task.POWER_OFF: Job(_power_off, Restart.UNKNOWN),
        Task.REBOOT: Job(_reboot, Restart.UNKNOWN),
        Task.BOOT_SOURCE: Job(_boot_source, Restart.UNKNOWN),
        Task.VIRTUAL_MEDIA: Job(_media, Restart.UNKNOWN),
        Task.REMOTE_TASK: Job(_not_at_bmc, Restart.UNKNOWN),
    }
)


def restart_of(kind: Task) -> Restart:
    """Return what a restart in the middle of a task of *kind* means; away from BMCs it goes on."""
    job = JOBS.get(kind)
    return Restart.REPEAT if job is None else job.restart


def _forbid(method: str, url: str) -> None:
    raise LeaseLost(f"{method} {url}: reading back writes nothing")


@dataclass(frozen=True, slots=True)
class Bench:
    """What tasks are done with."""

    rules: Rules
    resolvers: Mapping[str, secrets.Resolver]
    circuits: Circuits = field(default_factory=Circuits)
    sessions: Sessions = field(default_factory=Sessions)
    apart: Mapping[Task, Apart] = field(default_factory=dict)
    """What does the tasks that are done at no BMC."""
    commands: Commands | None = None

    def perform(
        self, order: Order, deadline: Deadline, tell: Tell, warrant: Warrant
    ) -> dict[str, Any]:
        """Do *order* and return its result.  Raises DriverError."""
        if (does := self.apart.get(order.kind)) is not None:
            return does(order, deadline, warrant)
        if order.at_system:
            return self._system().run(order, deadline, tell, warrant)
        calls = _Calls(tell, warrant.answered)
        how = {"permit": warrant.permit, "pause": warrant.pause, "doing": warrant.progress}
        return self._at_bmc(order, deadline, calls, JOBS[order.kind].do, **how)

    def read_back(self, order: Order, deadline: Deadline, tell: Tell) -> dict[str, Any]:
        """Return what can be seen now of a task whose outcome is unknown.  Raises DriverError."""
        if order.at_system:
            raise Refused("what came of a command cannot be read back")
        calls = _Calls(tell, lambda _: None)
        return self._at_bmc(order, deadline, calls, _look, permit=_forbid)

    def close(self) -> None:
        """Log out of all BMCs."""
        self.sessions.close()

    def _system(self) -> Commands:
        if self.commands is None:
            raise Refused("this agent runs no commands on machines")
        return self.commands

    def _at_bmc(
        self, order: Order, deadline: Deadline, calls: "_Calls", do: Do, **how: Any
    ) -> dict[str, Any]:
        target = Target(
            address=order.bmc.address,
            username=order.bmc.username,
            password=self._password(order),
            system=order.bmc.system,
            identity=Identity.of(order.params),
            verify=order.bmc.verify,
        )
        how |= {"rules": self.rules, "deadline": deadline, "seen": calls.saw}
        how |= {"sessions": self.sessions}
        with self.circuits.asking(order.bmc.board) as calls.hearing:
            try:
                with bmcs.connected(order.bmc.protocol, target, **how) as machine:
                    return do(machine, order.params)
            finally:
                calls.flush()

    def _password(self, order: Order) -> secrets.Secret:
        if not order.bmc.secret_ref:
            return secrets.Secret("")
        try:
            found = secrets.resolve(order.bmc.secret_ref, self.resolvers)
        except secrets.Unavailable as exc:
            raise Unreachable(f"the BMC's password cannot be had now: {exc}") from exc
        except secrets.SecretError as exc:
            raise Refused(f"this site cannot resolve the BMC's password: {exc}") from exc
        logs.never_write([found.reveal()])
        return found


class _Calls:
    """Tells of each write by itself, and of the reads between two writes in one."""

    def __init__(self, tell: Tell, answered: Callable[[int], None]) -> None:
        self._tell = tell
        self._answered = answered
        self._reads: list[Call] = []
        self.hearing = Hearing()

    def saw(self, call: Call) -> None:
        self.hearing.note(call.status)
        if call.method == "GET" and call.status == 200:
            self._reads.append(call)
            return
        if call.method != "GET":
            self._answered(call.status)
        self.flush()
        self._say(call, call.seconds)

    def flush(self) -> None:
        if self._reads:
            seconds = sum(call.seconds for call in self._reads)
            self._say(self._reads[0], seconds, calls=len(self._reads))
            self._reads.clear()

    def _say(self, call: Call, seconds: float, **more: int) -> None:
        data = {"verb": call.method, "path": call.path, "status": call.status}
        self._tell(call.at, data | {"ms": round(seconds * 1000, 1)} | more)
