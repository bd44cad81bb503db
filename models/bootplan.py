"""What one machine is told at boot: a pure value, versioned, the same wherever it is served.

Control renders documents to canonical text with typed slots; the hash of that text is the receipt.
The run's owner fills the slots when it serves.  A slot is `@@sprout:<name>@@`, and its name is one
of run.id, run.ssh_key, run.token.script, run.token.seed, run.token.callback, machine.id,
boot.base_url.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Self
from uuid import UUID

from models.errors import Invalid
from models.installer_calls import NOBODY, Caller
from models.phases import ORDER, Phase

SLOT: Final = re.compile(r"@@sprout:([a-z._]+)@@")
SLOT_MARK: Final = "@@sprout:"


class Action(StrEnum):
    """What the plan lets a machine do: one intent of a run, or nothing but its own disk.

    Stored and sent: add, never rename.  An agent that does not know one serves no plan with it.
    """

    INSTALL = "install"
    INVENTORY = "inventory"
    WIPE = "wipe"
    LOCAL = "local"


class Access(StrEnum):
    """Classes of what is served under a token; each has a token and a window of its own."""

    SCRIPT = "script"
    SEED = "seed"
    CALLBACK = "callback"


WINDOW: Final[Mapping[Access, Phase]] = MappingProxyType(
    {
        Access.SCRIPT: Phase.INSTALLING,
        Access.SEED: Phase.INSTALLING,
        Access.CALLBACK: Phase.READY,
    }
)
"""The last phase in which a token of the class opens anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One rendered text, with its slots still empty."""

    name: str
    access: Access
    media_type: str
    body: str

    @property
    def receipt(self) -> str:
        """The SHA-256 of the canonical bytes: what an approval can be bound to."""
        return hashlib.sha256(self.body.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An artifact that this boot needs: *path* below /artifacts/, *size* in bytes (0: unknown)."""

    role: str
    path: str
    sha256: str
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """What DHCP tells the machine.

    *lease_s* is in seconds, and for a site that was told of no network that the machine is on:
    where one is known, its lease time counts, as it is now.
    """

    address: str
    prefix_length: int
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    domain: str = ""
    lease_s: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class BootPlan:
    """Everything that a site needs to know of one machine's boot.

    *version* grows with every change of the machine's plan; *valid_for* is in seconds from when
    the owner stored it; *script* names the document that iPXE is given; *uefi* documents differ
    by name only.  *caller* is the machine where its installer asks who it is, and *ssh_key* the
    public half of the run's own pair, where it has one.
    """

    machine: UUID
    site: UUID
    hostname: str
    mac: str
    version: int
    action: Action
    addressing: Addressing
    boot_base_url: str
    run: UUID | None = None
    epoch: int = 0
    owner: UUID | None = None
    documents: tuple[Document, ...] = ()
    files: tuple[File, ...] = ()
    valid_for: int = 0
    loaders: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = NOBODY
    ssh_key: str = ""

    def document(self, name: str) -> Document | None:
        """Return the document called *name*, or None."""
        return next((d for d in self.documents if d.name == name), None)

    def file(self, role: str) -> File | None:
        """Return the file that plays *role*, or None."""
        return next((f for f in self.files if f.role == role), None)

    def owned_by(self, agent: UUID) -> bool:
        """Whether *agent* may serve the run; any other serves this plan as local boot."""
        return self.action is not Action.LOCAL and self.owner == agent and self.run is not None

    def encode(self) -> dict[str, Any]:
        """Return the JSON form that crosses the queue and lies in the site's store."""
        return {
            "machine": str(self.machine),
            "site": str(self.site),
            "hostname": self.hostname,
            "mac": self.mac,
            "version": self.version,
            "action": self.action.value,
            "addressing": _plain(self.addressing) | {"dns": list(self.addressing.dns)},
            "boot_base_url": self.boot_base_url,
            "run": None if self.run is None else str(self.run),
            "epoch": self.epoch,
            "owner": None if self.owner is None else str(self.owner),
            "documents": [_plain(d) | {"access": d.access.value} for d in self.documents],
            "files": [_plain(f) for f in self.files],
            "valid_for": self.valid_for,
            "loaders": dict(self.loaders),
            **self._of_installer(),
        }

    def _of_installer(self) -> dict[str, Any]:
        """Return what few plans have: agents that do not know it agree on all others."""
        caller = _plain(self.caller) | {"macs": list(self.caller.macs)}
        told = {"caller": caller if any(caller.values()) else None, "ssh_key": self.ssh_key}
        return {name: value for name, value in told.items() if value}

    @classmethod
    def decode(cls, body: Mapping[str, Any]) -> Self:
        """Return the plan that *body* is; unknown keys are left out.

        Raises ValueError, KeyError or TypeError.
        """
        addressing = body["addressing"]
        return cls(
            machine=UUID(body["machine"]),
            site=UUID(body["site"]),
            hostname=body["hostname"],
            mac=body["mac"],
            version=int(body["version"]),
            action=Action(body["action"]),
            addressing=Addressing(
                **_known(Addressing, addressing) | {"dns": tuple(addressing["dns"])}
            ),
            boot_base_url=body["boot_base_url"],
            run=None if body.get("run") is None else UUID(body["run"]),
            epoch=int(body.get("epoch", 0)),
            owner=None if body.get("owner") is None else UUID(body["owner"]),
            documents=tuple(
                Document(**_known(Document, d) | {"access": Access(d["access"])})
                for d in body.get("documents", ())
            ),
            files=tuple(File(**_known(File, f)) for f in body.get("files", ())),
            valid_for=int(body.get("valid_for", 0)),
            loaders=dict(body.get("loaders", {})),
            caller=_caller(body.get("caller", {})),
            ssh_key=str(body.get("ssh_key", "")),
        )

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical JSON: the same at control and at the site."""
        text = json.dumps(self.encode(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def snapshot_digest(plans: Iterable[BootPlan]) -> str:
    """Return the SHA-256 over (machine, version, digest) of *plans*, in any order.

    An agent's heartbeat carries it; where control's differs, control sends a full snapshot.
    """
    lines = sorted(f"{plan.machine} {plan.version} {plan.digest}\n" for plan in plans)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def slot(name: str) -> str:
    """Return the slot called *name*, to stand in a document."""
    return f"{SLOT_MARK}{name}@@"


@lru_cache(maxsize=8192)
def token(site_key: bytes, run: UUID, access: Access) -> str:
    """Return the token of one (run, class): 32 hexadecimal digits of HMAC-SHA-256."""
    text = f"{run}:{access.value}".encode()
    return hmac.new(site_key, text, hashlib.sha256).hexdigest()[:32]


def opens(access: Access, phase: Phase) -> bool:
    """Whether a token of class *access* still opens anything when the run has come to *phase*."""
    if phase is Phase.FAILED:
        return False
    return ORDER.index(phase) <= ORDER.index(WINDOW[access])


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return *text* with every slot filled from *values*.

    Raises Invalid for a slot that *values* does not hold: a half-filled document is never served.
    """

    def value(match: re.Match[str]) -> str:
        try:
            return values[match[1]]
        except KeyError:
            raise Invalid(f"no value for the slot {match[1]}", field=match[1]) from None

    return SLOT.sub(value, text)


def slot_values(plan: BootPlan, site_key: bytes) -> dict[str, str]:
    """Return what the slots of *plan*'s documents are filled with at its owner."""
    if plan.run is None:
        return {"boot.base_url": plan.boot_base_url}
    tokens = {f"run.token.{a.value}": token(site_key, plan.run, a) for a in Access}
    ids = {"run.id": str(plan.run), "machine.id": str(plan.machine), "run.ssh_key": plan.ssh_key}
    return {**ids, "boot.base_url": plan.boot_base_url, **tokens}


def url(plan: BootPlan, site_key: bytes, access: Access, name: str) -> str:
    """Return the tokenised URL under which *plan*'s owner serves *name*."""
    if plan.run is None:
        raise Invalid("a plan without a run has no tokenised URL", field="run")
    return f"{plan.boot_base_url}/boot/{plan.run}/{token(site_key, plan.run, access)}/{name}"


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _caller(body: Mapping[str, Any]) -> Caller:
    return Caller(**_known(Caller, body) | {"macs": tuple(map(str, body.get("macs", ())))})


def _known(kind: type[Any], body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in kind.__dataclass_fields__ if name in body}
