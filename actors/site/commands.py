"""Commands on machines: judged once more here, run over SSH, told as they go, kept as evidence.

Rule 1: the agent's own list and the one that came with the order must both hold the command.
Rule 2: what was begun and has no known end is never begun again, unless it only reads.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from actors.drivers import ssh
from actors.drivers.deadline import Deadline
from actors.drivers.dial import Dial
from actors.drivers.errors import (
    DriverError,
    Interrupted,
    LeaseLost,
    NotAllowed,
    NotLetIn,
    Refused,
    TookTooLong,
    Unreachable,
    Unsuccessful,
)
from actors.drivers.ssh_keys import Login
from actors.site.authority import Authority
from actors.site.findings import FILES, RECORD
from actors.site.orders import Order
from actors.site.said import Said
from actors.site.warrant import Warrant
from models import ssh_access
from models.errors import DomainError
from models.remote_commands import MOST_S, Allowed

Tell = Callable[[float, Mapping[str, Any]], None]
"""Takes the time (seconds since the epoch) and the data of a `task-output`."""

CAPABILITY: Final = "remote-task"

_ANSWERED: Final = 200
"""The outcome of an intent whose command has ended, as BMCs' are statuses of HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is to be run, as an order says it; *reads*: doing it twice harms nobody."""

    argv: tuple[str, ...]
    reads: bool
    limit_s: float
    host: ssh.Host

    @classmethod
    def of(cls, order: Order, own: Allowed | None) -> "Command":
        """Return the command of *order*.  Raises Refused, and NotAllowed for one on no list."""
        told = order.params
        try:
            argv = tuple(map(str, told["argv"]))
            listed = told["allowed"]
            allow = Allowed.of(map(str, listed["reads"]), map(str, listed["changes"]))
            reads = allow.judge(argv)
            if own is not None:
                own.judge(argv)
            host = ssh.Host(
                address=str(told["host"]["address"]),
                keys=tuple(map(str, told["host"]["keys"])),
                port=int(told["host"].get("port", 22)),
            )
            limit = _limit(float(told["limit_s"]))
        except DomainError as exc:
            raise NotAllowed(str(exc)) from exc
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise Refused(f"the command is malformed: {exc!r}") from exc
        return cls(argv=argv, reads=reads, limit_s=limit, host=host)


def _limit(seconds: float) -> float:
    if not seconds >= 1:
        raise ValueError("no time limit")
    return min(seconds, MOST_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What commands are run with; *own* is the site's own list, None where it has none."""

    authority: Authority | None
    dial: Dial
    own: Allowed | None = None

    def run(self, order: Order, deadline: Deadline, tell: Tell, warrant: Warrant) -> dict[str, Any]:
        """Run the command of *order*; return its result, with its evidence.  Raises DriverError."""
        command = Command.of(order, self.own)
        if self.authority is None:
            raise Refused("this site has no authority that machines trust; see its log")
        login = self.authority.login(order.machine, f"sprout task {order.task}")
        said = Said(lambda data: tell(time.time(), data))
        try:
            with ssh.session(command.host, login, self.dial, deadline) as session:
                ended = _ran(session, command, said, warrant)
        except Interrupted as exc:
            again = command.reads and not isinstance(exc, TookTooLong)
            why = Unreachable if again else Interrupted
            raise why(str(exc), result=_found(said, login, command, {})) from exc
        except LeaseLost as exc:
            exc.result = _found(said, login, command, {})
            raise
        except Refused as exc:
            raise type(exc)(f"{exc}{_cure(exc)}") from exc
        told = {"exit": ended.status, "seconds": ended.seconds, "host_key": session.host_key}
        found = _found(said, login, command, told)
        if ended.status:
            raise Unsuccessful(f"{command.argv[0]} ended with status {ended.status}", result=found)
        return found


def _ran(session: ssh.Session, command: Command, said: Said, warrant: Warrant) -> ssh.Ended:
    where = f"ssh://{command.host.address}/{quote(' '.join(command.argv))}"
    warrant.permit("RUN", where)
    try:
        ended = session.run(
            command.argv, said.take, limit_s=command.limit_s, wanted=lambda: warrant.pause(0)
        )
    finally:
        said.end()
    warrant.answered(_ANSWERED)
    return ended


def _found(said: Said, login: Login, command: Command, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result: what it said in short, and as evidence all of it."""
    facts = {"certificate": login.serial, "user": login.user, "limit_s": command.limit_s, **told}
    texts = {name: stream.text.encode() for name, stream in said.streams.items()}
    small = said.result()
    return {
        **facts,
        **small,
        RECORD: {"argv": command.argv, "address": command.host.address, **facts, **small},
        FILES: {f"{CAPABILITY}-{name}.txt": text for name, text in texts.items() if text},
    }


def _cure(exc: DriverError) -> str:
    """Return what to do where a machine does not let this site in."""
    if isinstance(exc, NotLetIn):
        return (
            f"; a machine that this site installed lets {ssh_access.USER} in by its certificates: "
            "reprovision it, or add the line that `sprout sites ssh-ca SITE --machine MACHINE` "
            f"prints to its /{ssh_access.USER}/.ssh/authorized_keys"
        )
    return ""
