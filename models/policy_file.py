"""The form of a policy file: read strictly, each fault told at its place."""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, time
from functools import cache
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from models.actions import ACTIONS
from models.errors import Invalid
from models.lifecycle import State
from models.policy import EXPIRES_S, Binding, Consent, Policy, Rule, SiteRules
from models.policy_time import DAYS, Freeze, Window
from models.remote_commands import MOST_S, READ_ONLY, Allowed, Entry
from models.roles import Role

DEFAULT: Final[Mapping[str, Any]] = {
    "version": "1",
    "actions": {
        name: {"approval": {}} for name in ("reboot", "reprovision", "remote-task", "release")
    },
}
"""What holds without a file: one admin of a site approves, and acts."""

_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S: Final = 30 * 86_400


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ValueError, OSError, KeyError):
        raise ValueError("there is no such time zone; write it as Europe/Amsterdam") from None


def _seconds(text: object) -> int:
    match = _SPAN.fullmatch(str(text))
    if match is None or int(match[1]) * _UNITS[match[2]] > _LONGEST_S:
        raise ValueError("want a span of time such as 30m or 1h, 30d at most")
    return int(match[1]) * _UNITS[match[2]]


def _action(name: str) -> str:
    if name not in ACTIONS:
        raise ValueError(f"there is no such action; one of {', '.join(ACTIONS)}")
    return name


def _command(text: str) -> str:
    return Entry.parse(text).text


def _limit(text: object) -> int:
    seconds = _seconds(text)
    if seconds > MOST_S:
        raise ValueError(f"a command may take {MOST_S} seconds at most")
    return seconds


_Command = Annotated[str, AfterValidator(_command)]
_Limit = Annotated[int, BeforeValidator(_limit)]
_Action = Annotated[str, AfterValidator(_action)]
_Span = Annotated[int, BeforeValidator(_seconds)]
_Zone = Annotated[ZoneInfo, BeforeValidator(_zone)]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
_Moment = Annotated[datetime, Field(strict=False)]


class _Form(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        alias_generator=lambda name: name.rstrip("_").replace("_", "-"),
        hide_input_in_errors=True,
    )


class _Approval(_Form):
    role: Role = Role.ADMIN
    four_eyes: bool = False
    expires: _Span = EXPIRES_S
    bound_to: Binding = Binding.MACHINE


class _Rule(_Form):
    role: Role | None = None
    states: Annotated[list[State], Field(min_length=1)] | None = None
    commissioned: bool = False
    window: _Name | None = None
    approval: _Approval | None = None


class _Window(_Form):
    days: Annotated[
        list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)
    ] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    from_: time
    until: time
    time_zone: _Zone | None = None


class _Freeze(_Form):
    name: _Name
    from_: _Moment
    until: _Moment
    time_zone: _Zone | None = None
    sites: list[_Name] = []
    actions: list[_Action] = []
    because: Annotated[str, Field(max_length=300)] = ""


class _Commands(_Form):
    reads: Annotated[list[_Command], Field(max_length=200)] = list(READ_ONLY)
    changes: Annotated[list[_Command], Field(max_length=200)] = []
    limit: _Limit = MOST_S

    def allowed(self) -> Allowed:
        return Allowed.of(self.reads, self.changes, self.limit)


class _Site(_Form):
    actions: dict[_Action, _Rule] = {}
    remote_tasks: _Commands | None = None
    at_once: Annotated[int, Field(ge=0, le=100_000)] | None = None


class _File(_Form):
    version: Literal["1"]
    remote_tasks: _Commands = _Commands()
    time_zone: _Zone = ZoneInfo("UTC")
    actions: dict[_Action, _Rule] = {}
    sites: dict[_Name, _Site] = {}
    windows: dict[_Name, _Window] = {}
    freezes: list[_Freeze] = []
    destructive: list[_Action] = Field(
        default_factory=lambda: [name for name, each in ACTIONS.items() if each.destructive]
    )
    at_once: Annotated[int, Field(ge=0, le=100_000)] | None = None

    @model_validator(mode="after")
    def _windows_are_known(self) -> Self:
        rules = [
            *self.actions.values(),
            *(r for s in self.sites.values() for r in s.actions.values()),
        ]
        for rule in rules:
            if rule.window is not None and rule.window not in self.windows:
                raise ValueError(f"no window is called {rule.window}")
        return self

    @model_validator(mode="after")
    def _freezes_end(self) -> Self:
        for each in self.freezes:
            zone = each.time_zone or self.time_zone
            if _aware(each.from_, zone) >= _aware(each.until, zone):
                raise ValueError(f"the freeze {each.name} ends before it begins")
        return self


def parse(document: Any, *, source: str = "") -> Policy:
    """Return the policy that *document* is, whose scalars are texts.

    Raises Invalid, with a JSON pointer to the first fault.
    """
    try:
        found = _File.model_validate(document)
    except ValidationError as exc:
        raise _invalid(exc, source) from None
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return Policy(
        rules=_rules(found.actions, "actions"),
        sites={
            slug: SiteRules(
                rules=_rules(site.actions, f"sites/{slug}/actions"),
                at_once=site.at_once,
                commands=None if site.remote_tasks is None else site.remote_tasks.allowed(),
            )
            for slug, site in found.sites.items()
        },
        windows={name: _window(each, found.time_zone) for name, each in found.windows.items()},
        freezes=tuple(_freeze(each, found.time_zone) for each in found.freezes),
        destructive=frozenset(found.destructive),
        at_once=found.at_once,
        commands=found.remote_tasks.allowed(),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        source=source,
    )


@cache
def default() -> Policy:
    """Return what holds without a file."""
    return parse(DEFAULT, source="built in")


def _invalid(exc: ValidationError, source: str) -> Invalid:
    first = exc.errors(include_url=False, include_context=False)[0]
    pointer = "".join(f"/{part}" for part in first["loc"] if part != "[key]")
    words = first["msg"].removeprefix("Value error, ")
    where = f"{source}: " if source else ""
    return Invalid(
        f"{where}{pointer or '/'}: {words[:1].lower()}{words[1:]}",
        field=pointer,
        hint="The form stands in deploy/policy.production.yaml.",
    )


def _rules(given: Mapping[str, _Rule], where: str) -> Mapping[str, Rule]:
    return {name: _rule(each, f"{where}/{name}") for name, each in given.items()}


def _rule(given: _Rule, where: str) -> Rule:
    asked = given.approval
    return Rule(
        where=where,
        role=given.role,
        states=None if given.states is None else frozenset(given.states),
        commissioned=given.commissioned,
        window=given.window,
        consent=None
        if asked is None
        else Consent(
            role=asked.role,
            four_eyes=asked.four_eyes,
            expires_s=asked.expires,
            bound_to=asked.bound_to,
        ),
    )


def _window(given: _Window, zone: ZoneInfo) -> Window:
    return Window(
        days=frozenset(DAYS.index(day) for day in given.days),
        start=given.from_,
        end=given.until,
        zone=given.time_zone or zone,
    )


def _freeze(given: _Freeze, zone: ZoneInfo) -> Freeze:
    zone = given.time_zone or zone
    return Freeze(
        name=given.name,
        since=_aware(given.from_, zone),
        until=_aware(given.until, zone),
        sites=frozenset(given.sites),
        actions=frozenset(given.actions),
        because=given.because,
    )


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
