"""Which of a BMC's systems is meant: told by what it is, never by its place in a list.

Pure.  One chassis can list several nodes, and beside them baseboards that are no machine at all.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from actors.drivers.errors import NoSuchSystem
from config.secrets import Secret

Json = Mapping[str, Any]

HIDDEN: Final = "**********"
TEXT_LIMIT: Final = 500
"""Characters of an error that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is known of the machine that is meant; all of it in lower case."""

    uuid: UUID | None = None
    serial: str = ""
    macs: frozenset[str] = frozenset()

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Self:
        """Read `uuid`, `serial` and `macs` of a task's parameters; the malformed is left out."""
        return cls(
            uuid=_uuid(params.get("uuid")),
            serial=str(params.get("serial") or "").strip().lower(),
            macs=frozenset(str(mac).lower() for mac in params.get("macs") or ()),
        )

    def agrees(self, system: Json) -> bool | None:
        """Whether *system* is the one: True, False, or None where it does not say."""
        theirs = _uuid(system.get("UUID"))
        if self.uuid is not None and theirs is not None:
            # SMBIOS before 2.6 left the byte order open, so both are met in the field.
            return theirs in {self.uuid, UUID(bytes_le=self.uuid.bytes)}
        serial = str(system.get("SerialNumber") or "").strip().lower()
        if self.serial and serial:
            return serial == self.serial
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One machine at one BMC.  Without *system* (a path) the system is found by *identity*."""

    address: str
    username: str = ""
    password: Secret = field(default_factory=lambda: Secret(""))
    system: str = ""
    identity: Identity = field(default_factory=Identity)
    verify: bool = True

    def clean(self, text: str) -> str:
        """Return *text* cut to TEXT_LIMIT, without the password that a BMC may have echoed."""
        password = self.password.reveal()
        return (text.replace(password, HIDDEN) if password else text)[:TEXT_LIMIT]

    def without_password(self, value: Any) -> Any:
        """Return the JSON *value* with the password hidden in all of its texts."""
        match value:
            case str():
                password = self.password.reveal()
                return value.replace(password, HIDDEN) if password else value
            case Mapping():
                hidden = self.without_password
                return {hidden(key): hidden(each) for key, each in value.items()}
            case list() | tuple():
                return [self.without_password(each) for each in value]
            case _:
                return value


def choose(
    systems: Mapping[str, Json], identity: Identity, macs_of: Callable[[Json], Iterable[str]]
) -> str:
    """Return the path of the one of *systems* that *identity* means.

    *macs_of* is asked only where UUID and serial leave it open; a lone system that has cards, and
    none of the machine's, is another machine.  Raises NoSuchSystem.
    """
    verdicts = {path: identity.agrees(system) for path, system in systems.items()}
    certain = [path for path, verdict in verdicts.items() if verdict]
    open_ = [path for path, verdict in verdicts.items() if verdict is None]
    if not certain and len(open_) > 1 and identity.macs:
        certain = [path for path in open_ if identity.macs & set(macs_of(systems[path]))]
    found = certain or open_
    if not certain and len(open_) == 1 and identity.macs:
        _demand_shared_card(set(macs_of(systems[open_[0]])), identity)
    if len(found) == 1:
        return found[0]
    raise NoSuchSystem(
        f"{len(found) or 'none'} of the {len(systems)} systems of this BMC could be the machine: "
        "give the path of its system, its UUID or its serial number"
    )


def _demand_shared_card(theirs: set[str], identity: Identity) -> None:
    """Raise NoSuchSystem where the only system has other cards: the address may be another's."""
    if theirs and not identity.macs & theirs:
        raise NoSuchSystem(
            f"the only system of this BMC has the network cards {', '.join(sorted(theirs)[:8])}, "
            "and none of the machine's: is this its BMC?  If it is, give the path of its system, "
            "its UUID or its serial number"
        )


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None
