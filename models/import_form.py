"""An inventory document as another system serves it, read row by row.  Pure.

    {"machines": [ROW, …], "next": "<URL of the next page>"}

A ROW is a machine as `POST /v1/machines` takes it, without siteId: hostname, architecture,
interfaces [{name, macAddress, pxeEnabled, networkName}], and optionally labels, memoryMib,
diskBytes, bmc {protocol, address, system, username, secretRef, verifyTls}, rootDisk {serial, wwn,
minBytes}.  What a row does not name stays as it is.  A machine is known again by its primary MAC:
of its first interface with pxeEnabled, else of its first one.

Rule 1: a row that cannot be read says at which pointer, and does not stop the others.
Rule 2: passwords do not stand in a document; a row that holds one is refused, and not repeated.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from config.secrets import BadReference, Reference
from models import names, urls
from models.errors import Invalid

PAGE_BYTES: Final = 8 << 20
"""Most bytes of one page."""

ROWS: Final = 100_000
"""Most rows of a whole document."""

_Text = Annotated[str, Field(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Label = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _mac(value: str) -> str:
    try:
        return names.mac(value, field="")
    except Invalid as exc:
        raise ValueError(str(exc)) from None


def _hostname(value: str) -> str:
    try:
        return names.hostname(value, field="")
    except Invalid as exc:
        raise ValueError(str(exc)) from None


def _reference(value: str) -> str:
    try:
        return str(Reference.parse(value))
    except BadReference as exc:
        raise ValueError(str(exc)) from None


def _no_password(address: str) -> str:
    if "@" in address:
        raise ValueError("who logs in stands in username, and the password where secretRef says")
    return address


class _Form(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class Nic(_Form):
    name: _Label
    mac_address: Annotated[str, AfterValidator(_mac)]
    pxe_enabled: bool = False
    network_name: _Text | None = None


class _Bmc(_Form):
    protocol: Literal["redfish", "ipmi"] = "redfish"
    address: Annotated[_Text, Field(min_length=1), AfterValidator(_no_password)]
    system: _Text = ""
    username: _Text = ""
    secret_ref: Annotated[str, AfterValidator(_reference)]
    verify_tls: bool = True

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if why := urls.board_fault(self.address, self.protocol):
            raise ValueError(f"no BMC is at its address: {why}")
        return self

    def stored(self) -> dict[str, Any]:
        return self.model_dump(exclude={"verify_tls"}) | {"verify": self.verify_tls}


class _Disk(_Form):
    serial: _Text = ""
    wwn: _Text = ""
    min_bytes: Annotated[int, Field(ge=0, lt=2**62)] = 0

    @model_validator(mode="after")
    def _is_identified(self) -> Self:
        if not (self.serial or self.wwn):
            raise ValueError("a root disk wants a serial or a wwn")
        return self


class Row(_Form):
    """One machine; `None` where the document does not name it."""

    hostname: Annotated[str, AfterValidator(_hostname)]
    architecture: Literal["x86_64", "arm64"]
    interfaces: Annotated[list[Nic], Field(min_length=1, max_length=64)]
    labels: Annotated[dict[_Label, _Text], Field(max_length=64)] | None = None
    memory_mib: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    disk_bytes: Annotated[int, Field(ge=1, lt=2**62)] | None = None
    bmc: _Bmc | None = None
    root_disk: _Disk | None = None

    @property
    def primary(self) -> str:
        """The MAC that the machine is known by."""
        booted = [nic.mac_address for nic in self.interfaces if nic.pxe_enabled]
        return (booted or [nic.mac_address for nic in self.interfaces])[0]

    @property
    def macs(self) -> list[str]:
        return [nic.mac_address for nic in self.interfaces]


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be read: where, by JSON pointer into its page, and why."""

    pointer: str
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """What one page holds: rows with their numbers, faults, and where the next page is."""

    rows: tuple[tuple[int, Row], ...]
    faults: tuple[Fault, ...]
    next: str


def page(body: bytes) -> Page:
    """Return what *body* holds.  Raises Invalid for what is no page at all."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Invalid("the document is no JSON") from exc
    machines = read.get("machines") if isinstance(read, Mapping) else None
    following = read.get("next") if isinstance(read, Mapping) else None
    if not isinstance(machines, list):
        raise Invalid('the document is no object with "machines", a list', field="/machines")
    if not isinstance(following, str | None):
        raise Invalid("the next page is no URL", field="/next")
    if len(machines) > ROWS:  # before any is read: a row of nonsense is shorter than what it costs
        raise Invalid(f"one page holds over {ROWS} machines", field="/machines")
    rows, faults = _read(machines)
    return Page(rows, faults, following or "")


def _read(machines: Sequence[Any]) -> tuple[tuple[tuple[int, Row], ...], tuple[Fault, ...]]:
    rows: list[tuple[int, Row]] = []
    faults: list[Fault] = []
    for number, each in enumerate(machines):
        try:
            row = Row.model_validate(each)
            _demand_distinct(row)
        except ValidationError as exc:
            faults.append(_fault(number, exc))
        except Invalid as exc:
            faults.append(Fault(f"/machines/{number}{exc.field}", str(exc)))
        else:
            rows.append((number, row))
    return tuple(rows), tuple(faults)


def _demand_distinct(row: Row) -> None:
    if len(set(row.macs)) < len(row.macs):
        raise Invalid("two interfaces have the same MAC", field="/interfaces")
    if len({nic.name for nic in row.interfaces}) < len(row.interfaces):
        raise Invalid("two interfaces have the same name", field="/interfaces")


def _fault(number: int, broken: ValidationError) -> Fault:
    first = broken.errors(include_url=False, include_input=False)[0]
    where = "".join(f"/{_escaped(part)}" for part in first["loc"])
    return Fault(f"/machines/{number}{where}", str(first["msg"])[:300])


def _escaped(part: object) -> str:
    """Return *part* as a token of a JSON pointer (RFC 6901)."""
    return str(part)[:100].replace("~", "~0").replace("/", "~1")
