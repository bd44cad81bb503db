"""Policy as data, and its judgement: pure, so that it can be asked of any file, for any moment.

Rule 1: every judgement names the one rule that decided, and what would change it.
Rule 2: the first rule that forbids decides; an approval is looked at last, so that nobody is asked
        for one that would not help.
Rule 3: an approval that is named must be good, also where none is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from models import remote_commands
from models.lifecycle import State
from models.policy_time import Freeze, Window
from models.remote_commands import Allowed
from models.roles import Role, enough

EXPIRES_S: Final = 3600
"""Seconds that an approval is good for, unless policy or approver say otherwise."""


class Binding(StrEnum):
    """How narrow an approval must be."""

    MACHINE = "machine"
    """The machine and the action."""

    PARAMETERS = "parameters"
    """And its parameters, by their hash."""

    RECEIPTS = "receipts"
    """And what is rendered for it, by the receipts of its documents."""


class Refusal(StrEnum):
    """The kinds of no; each is a type of problem at the edge."""

    DENIED = "policy-denied"
    NEEDED = "approval-needed"
    UNFIT = "approval-unfit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What an approval must be: given by *role* or more, by another person, not too old."""

    role: Role = Role.ADMIN
    four_eyes: bool = False
    expires_s: int = EXPIRES_S
    bound_to: Binding = Binding.MACHINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one action wants; *where* is its place in the file."""

    where: str
    role: Role | None = None
    states: frozenset[State] | None = None
    commissioned: bool = False
    window: str | None = None
    consent: Consent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRules:
    """What holds at one site instead."""

    rules: Mapping[str, Rule] = field(default_factory=dict)
    at_once: int | None = None
    commands: Allowed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a file says.  *digest*: its SHA-256; *source*: where it was read."""

    rules: Mapping[str, Rule] = field(default_factory=dict)
    sites: Mapping[str, SiteRules] = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    destructive: frozenset[str] = frozenset()
    at_once: int | None = None
    commands: Allowed = remote_commands.DEFAULT
    digest: str = ""
    source: str = ""

    def rule(self, action: str, site: str) -> Rule | None:
        """Return what *action* wants at the site with the slug *site*: the site's own word wins."""
        own = self.sites.get(site)
        mine = None if own is None else own.rules.get(action)
        return mine or self.rules.get(action)

    def commands_at(self, site: str) -> Allowed:
        """Return what machines of the site with the slug *site* may be asked to run."""
        own = self.sites.get(site)
        return (own and own.commands) or self.commands

    def limit(self, action: str, site: str) -> tuple[int, str] | None:
        """Return how many destructive actions may run at *site*, and the rule's place."""
        if action not in self.destructive:
            return None
        own = self.sites.get(site)
        if own is not None and own.at_once is not None:
            return own.at_once, f"sites/{site}/at-once"
        return None if self.at_once is None else (self.at_once, "at-once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What an approval says; *role* is what its giver had at the site."""

    id: UUID
    machine: UUID
    action: str
    approved: bool
    by: str
    role: Role | None
    expires_at: datetime
    used: bool = False
    parameters: str | None = None
    receipts: bool = False
    person: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is judged.  *role*: what *actor* has at the site; *parameters*: their SHA-256.

    *person* is who that is, whatever the name; empty where only names are known.
    *running*: destructive actions under way at the site.
    """

    action: str
    actor: str
    role: Role | None
    site: str
    at: datetime
    machine: UUID | None = None
    hostname: str = ""
    state: State | None = None
    commissioned: bool = False
    parameters: str = ""
    running: int = 0
    approval: Approval | None = None
    person: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How it was decided, by which rule, and what would change it."""

    allowed: bool
    rule: str
    reason: str = ""
    would_change: str = ""
    refusal: Refusal | None = None


def judge(asked: Asked, policy: Policy) -> Judgement:
    """Return whether *policy* lets *asked* happen."""
    rule = policy.rule(asked.action, asked.site) or Rule(where="default")
    for check in _CHECKS:
        found = check(asked, policy, rule)
        if found is not None:
            return found
    if asked.approval is not None:
        return Judgement(
            allowed=True,
            rule=f"{rule.where}/approval" if rule.consent else rule.where,
            reason=f"approved by {asked.approval.by}",
            would_change="The approval is used up by this: the next time wants another.",
        )
    return Judgement(
        allowed=True,
        rule=rule.where,
        would_change=f"A rule for {asked.action} that wants an approval, a window or other states.",
    )


def judge_approver(asked: Asked, policy: Policy) -> Judgement | None:
    """Return the no to who may not approve the action that *asked* names; None: he may."""
    rule = policy.rule(asked.action, asked.site)
    wanted = None if rule is None else rule.consent
    if rule is None or wanted is None or enough(asked.role, wanted.role):
        return None
    return _no(
        f"{rule.where}/approval/role",
        f"to approve {asked.action} takes the role {wanted.role}, and {asked.actor} is "
        f"{asked.role or 'nobody'}",
        f"The role {wanted.role} at {asked.site}.",
    )


def consent(policy: Policy, action: str, site: str) -> Consent | None:
    """Return what approval *action* needs at *site*; None: it needs none."""
    rule = policy.rule(action, site)
    return None if rule is None else rule.consent


def _no(where: str, reason: str, would_change: str, kind: Refusal = Refusal.DENIED) -> Judgement:
    return Judgement(
        allowed=False, rule=where, reason=reason, would_change=would_change, refusal=kind
    )


def _role(asked: Asked, _policy: Policy, rule: Rule) -> Judgement | None:
    if rule.role is None or enough(asked.role, rule.role):
        return None
    return _no(
        f"{rule.where}/role",
        f"{asked.action} takes the role {rule.role}, and {asked.actor} is {asked.role or 'nobody'}",
        f"The role {rule.role} at {asked.site}.",
    )


def _state(asked: Asked, _policy: Policy, rule: Rule) -> Judgement | None:
    if rule.states is None or asked.state is None or asked.state in rule.states:
        return None
    named = ", ".join(sorted(rule.states))
    return _no(
        f"{rule.where}/states",
        f"{asked.action} is for machines that are {named}, and this one is {asked.state}",
        f"A machine that is {named}.",
    )


def _commissioned(asked: Asked, _policy: Policy, rule: Rule) -> Judgement | None:
    if not rule.commissioned or asked.commissioned:
        return None
    return _no(
        f"{rule.where}/commissioned",
        f"{asked.action} is for machines that were commissioned",
        "Commission the machine first.",
    )


def _freeze(asked: Asked, policy: Policy, _rule: Rule) -> Judgement | None:
    for each in policy.freezes:
        named = each.actions or policy.destructive
        if asked.action in named and each.holds(asked.at, asked.site):
            because = f": {each.because}" if each.because else ""
            return _no(
                f"freezes/{each.name}",
                f"{asked.action} is frozen until {each.end}{because}",
                f"Wait until {each.end}, or have {each.name} taken out of the policy.",
            )
    return None


def _window(asked: Asked, policy: Policy, rule: Rule) -> Judgement | None:
    window = None if rule.window is None else policy.windows[rule.window]
    if window is None or window.holds(asked.at):
        return None
    return _no(
        f"{rule.where}/window",
        f"{asked.action} is for the window {rule.window}: {window}",
        f"Ask again in the window {rule.window}: {window}.",
    )


def _at_once(asked: Asked, policy: Policy, _rule: Rule) -> Judgement | None:
    limit = policy.limit(asked.action, asked.site)
    if limit is None or asked.running < limit[0]:
        return None
    most, where = limit
    return _no(
        where,
        f"{asked.running} destructive actions run at {asked.site}, and {most} may",
        "Wait until one of them has ended: sprout workflows list",
    )


def _approval(asked: Asked, _policy: Policy, rule: Rule) -> Judgement | None:
    given, where = asked.approval, f"{rule.where}/approval"
    if given is None:
        return None if rule.consent is None else _no(where, *_wanted(asked, rule.consent))
    for wrong in (_unfit(asked, given), _unfit_for(asked, given, rule.consent)):
        if wrong is not None:
            return _no(where, *wrong, Refusal.UNFIT)
    return None


def _wanted(asked: Asked, wanted: Consent) -> tuple[str, str, Refusal]:
    by = "another" if wanted.four_eyes else "an"
    make = f"sprout approvals create --machine-id {asked.hostname or asked.machine}"
    return (
        f"{asked.action} needs an approval by {by} {wanted.role} of {asked.site}",
        f"Have it approved: {make} --action {asked.action} --decision approved, and name it here.",
        Refusal.NEEDED,
    )


def _unfit(asked: Asked, given: Approval) -> tuple[str, str] | None:
    """Say what is wrong with an approval, whatever the policy wants of it."""
    wrongs = (
        (given.machine != asked.machine, "it is for another machine"),
        (given.action != asked.action, f"it is for {given.action}"),
        (not given.approved, f"{given.by} did not approve it"),
        (given.used, "it was used before, and is good once"),
        (given.expires_at <= asked.at, f"it expired at {given.expires_at:%Y-%m-%d %H:%M:%S %Z}"),
        (
            given.parameters not in {None, asked.parameters},
            "it is for other parameters than these",
        ),
    )
    return _first(given, wrongs)


def _unfit_for(asked: Asked, given: Approval, wanted: Consent | None) -> tuple[str, str] | None:
    """Say what an approval lacks of what the policy wants."""
    if wanted is None:
        return None
    wrongs = (
        (
            not enough(given.role, wanted.role),
            f"{given.by}, who gave it, is no {wanted.role} of {asked.site}",
        ),
        (
            wanted.four_eyes and _same(asked, given),
            f"{given.by} may not approve what {given.by} asks for",
        ),
        (
            wanted.bound_to is not Binding.MACHINE and given.parameters is None,
            "it must be bound to the parameters, and is not",
        ),
        (
            wanted.bound_to is Binding.RECEIPTS and not given.receipts,
            "it must be bound to the receipts of what is rendered, and is not",
        ),
    )
    return _first(given, wrongs)


def _same(asked: Asked, given: Approval) -> bool:
    """Whether who asks is who approved; what only has a name is compared by it."""
    if asked.person and given.person:
        return asked.person == given.person
    return asked.actor == given.by


def _first(given: Approval, wrongs: tuple[tuple[bool, str], ...]) -> tuple[str, str] | None:
    found = next((words for wrong, words in wrongs if wrong), None)
    if found is None:
        return None
    return f"the approval {given.id} is not good for this: {found}", "Another approval."


_CHECKS: Final[tuple[Callable[[Asked, Policy, Rule], Judgement | None], ...]] = (
    _role,
    _state,
    _commissioned,
    _freeze,
    _window,
    _at_once,
    _approval,
)
"""In the order in which they are asked."""


def inputs(asked: Asked) -> Mapping[str, Any]:
    """Return what was judged, as it is kept beside the judgement."""
    return MappingProxyType(
        {
            "role": asked.role,
            "site": asked.site,
            "hostname": asked.hostname,
            "state": asked.state,
            "commissioned": asked.commissioned,
            "parametersSha256": asked.parameters,
            "running": asked.running,
            "approval": None if asked.approval is None else str(asked.approval.id),
        }
    )


def expiry(policy: Policy, action: str, site: str, at: datetime) -> datetime:
    """Return until when an approval that is given now is good."""
    wanted = consent(policy, action, site)
    return at + timedelta(seconds=EXPIRES_S if wanted is None else wanted.expires_s)
