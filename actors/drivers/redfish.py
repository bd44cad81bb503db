"""BMCs over Redfish (DSP0266), by sushy, which nothing else imports.

Rule: a system is acted on for what it is, never for its place in a list.

sushy has three owners: this module, `redfish_line`, which does its exchanges, and `redfish_boot`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import Any, Final

import sushy

from actors.drivers import inventory, outbound, reach, systems
from actors.drivers.deadline import Deadline
from actors.drivers.errors import DriverError, NoSuchSystem, Refused
from actors.drivers.power import Powered
from actors.drivers.redfish_boot import Boot
from actors.drivers.redfish_line import Line, Login, Permit, log_out, translated
from actors.drivers.redfish_media import Disc, NoDisc
from actors.drivers.redfish_parts import Parts, Read
from actors.drivers.redfish_sessions import Loan, Owner, Session, Sessions
from actors.drivers.systems import Target
from config.secrets import Secret

_LOGOUT_S: Final = 3.0

_ON: Final = (sushy.ResetType.ON, sushy.ResetType.FORCE_ON, sushy.ResetType.PUSH_POWER_BUTTON)
_SHUTDOWN: Final = (sushy.ResetType.GRACEFUL_SHUTDOWN,)
_CUT: Final = (sushy.ResetType.FORCE_OFF, sushy.ResetType.GRACEFUL_SHUTDOWN)


@contextmanager
def connected(
    target: Target,
    *,
    rules: reach.Rules,
    deadline: Deadline,
    seen: Callable[[outbound.Call], None],
    pause: Callable[[float], object] = time.sleep,
    permit: Permit = lambda _method, _url: None,
    doing: Callable[[str], None] = lambda _: None,
    sessions: Sessions | None = None,
) -> Iterator["Machine"]:
    """Log in to the BMC for the block, and find the machine.  Raises DriverError.

    *permit* is asked before every write that may change the machine; *doing* is told, often, what
    takes its time.  The session is of *sessions*, and goes back there where all went well;
    without them it ends with the block.
    """
    base = reach.base_url(target.address)
    caller = outbound.Caller(base, rules, deadline, seen=seen)
    line = Line(base, caller, verify=target.verify, pause=pause, permit=permit)
    owner = Owner(base, target.username, target.password)
    lent = nullcontext(Loan()) if sessions is None else sessions.lent(owner)
    with closing(caller), lent as loan:
        login = Login(target, loan.session)
        with translated(target):
            root = sushy.Sushy(base, auth=login, connector=line)
        loan.session = None
        try:
            yield Machine(root, target, deadline, pause, doing)
            if sessions is not None and (left := login.left()) is not None:
                loan.session = Session(owner, Secret(left[0]), left[1], rules, target.verify)
        finally:
            caller.grant(_LOGOUT_S)
            log_out(root)


class Machine(Powered):
    """The verbs on one machine, over one login.  Every method raises DriverError."""

    def __init__(
        self,
        root: Any,
        target: Target,
        deadline: Deadline,
        pause: Callable[[float], object],
        doing: Callable[[str], None],
    ) -> None:
        super().__init__(target.address, deadline, pause, doing)
        self._line = root._conn  # noqa: SLF001 - our own Line
        self._parts = Parts(self._line, target)
        self._target = target
        self.record: dict[str, Any] = {}
        """The documents that the last inventory was made of, without the password."""
        path = target.system or self._chosen(root.json)
        with translated(target):
            self._system = root.get_system(path)
        self._just_read = True

    def set_boot_source(
        self,
        source: str,
        *,
        persistent: bool = False,
        mode: str | None = None,
        http_boot_uri: str = "",
    ) -> dict[str, Any]:
        """Override where the machine boots from.  See `redfish_boot.Boot.set`."""
        boot = Boot(self._system, self._target, self._deadline, self._pause, self._doing)
        return boot.set(source, persistent=persistent, mode=mode, http_boot_uri=http_boot_uri)

    def insert_media(self, url: str) -> dict[str, Any]:
        """Have the image at *url* in the machine's virtual CD.  Returns {image, changed}."""
        return self._disc().insert(url)

    def eject_media(self) -> dict[str, Any]:
        """Have nothing in the machine's virtual CD.  Returns {image, changed}.

        Where there is none, nothing is in it: a release ejects what somebody tried to insert.
        """
        try:
            disc = self._disc()
        except NoDisc:
            return {"image": "", "changed": False}
        return disc.eject()

    def _disc(self) -> Disc:
        return Disc(self._system, self._target, self._deadline, self._pause, self._doing)

    def inventory(self) -> dict[str, Any]:
        """Return the facts of `inventory.facts`; parts that fail are named in its `missing`."""
        missing: dict[str, str] = {}
        with translated(self._target):
            self._system.refresh()
        system = self._system.json

        def part(name: str, read: Read) -> tuple[Any, ...]:
            self._doing(f"reading {name}")
            try:
                with translated(self._target):
                    return tuple(each for each in read(system) if isinstance(each, Mapping))
            except DriverError as exc:
                missing[name] = str(exc)
                return ()

        documents = inventory.Documents(
            system=system,
            processors=part("processors", self._parts.processors),
            memory=part("memory", self._parts.modules),
            drives=part("disks", self._parts.drives),
            interfaces=part("nics", self._parts.cards),
            managers=part("bmc", self._parts.managers),
            missing=missing,
        )
        self.record = self._target.without_password(documents.plain())
        return inventory.facts(documents)

    def _chosen(self, root: Mapping[str, Any]) -> str:
        found: dict[str, Mapping[str, Any]] = {}
        answers: dict[str, Any] = {}
        failed: DriverError | None = None
        for path in self._parts.paths(root, "Systems"):
            # A baseboard that is off answers 503 and must not hide the machine beside it.
            try:
                answers[path] = self._parts.get(path)
                found[path] = self._parts.document(path, answers[path])
            except DriverError as exc:
                failed = exc
        try:
            chosen = systems.choose(found, self._target.identity, self._macs)
        except NoSuchSystem:
            if failed is not None:  # it may be the one that did not answer
                raise failed from None
            raise
        self._line.expect(chosen, answers[chosen])
        return chosen

    def _macs(self, system: Mapping[str, Any]) -> frozenset[str]:
        with suppress(DriverError), translated(self._target):
            return inventory.macs(self._parts.cards(system))
        return frozenset()

    def _read_power(self) -> str:
        fresh, self._just_read = self._just_read, False
        with translated(self._target):
            self._system.refresh(force=not fresh)
            state = self._system.power_state
        return "unknown" if state is None else str(state.value).lower()

    def _ask_to_end(self) -> bool:
        try:
            self._order(_SHUTDOWN, "off")
        except Refused:
            return False  # not every BMC can ask
        return True

    def _switch(self, wanted: str) -> None:
        self._order(_ON if wanted == "on" else _CUT, wanted)

    def _order(self, orders: tuple[sushy.ResetType, ...], wanted: str) -> None:
        """Give the first of *orders* that this BMC takes; no harm if it refuses what is so."""
        try:
            with translated(self._target):
                allowed = self._system.get_allowed_reset_system_values()
                order = next((each for each in orders if each in allowed), orders[0])
                self._system.reset_system(order)
        except Refused:
            if self.power() != wanted:
                raise
