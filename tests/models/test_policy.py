"""Policy: which rule decides, and what would change it, for any file and any moment."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from config.policy import read
from models import policy_file
from models.errors import Invalid
from models.lifecycle import State
from models.policy import Approval, Asked, Refusal, judge
from models.roles import Role

MACHINE, OTHER = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PRODUCTION = Path(__file__).parents[2] / "deploy" / "policy.production.yaml"


def asked(action="reboot", **more):
    fields = {
        "actor": "ada",
        "role": Role.ADMIN,
        "site": "ams-1",
        "at": NOON,
        "machine": MACHINE,
        "state": State.ACTIVE,
        "commissioned": True,
        "parameters": "p",
    }
    return Asked(action=action, **fields | more)


def approval(**more):
    fields = {
        "id": UUID(int=9),
        "machine": MACHINE,
        "action": "reboot",
        "approved": True,
        "by": "bob",
        "role": Role.ADMIN,
        "expires_at": NOON + timedelta(hours=1),
    }
    return Approval(**fields | more)


def policy(**document):
    return policy_file.parse({"version": "1", **document})


REBOOT = {"reboot": {"approval": {}}}
FOUR_EYES = {"reboot": {"approval": {"four-eyes": "true"}}}
PARAMETERS = {"reboot": {"approval": {"bound-to": "parameters"}}}
RECEIPTS = {"reboot": {"approval": {"bound-to": "receipts"}}}


# --- approvals ---


def test_what_no_rule_names_is_allowed():
    found = judge(asked("power-on"), policy())

    assert (found.allowed, found.rule) == (True, "default")


def test_an_approval_that_is_missing_is_asked_for():
    found = judge(asked(), policy(actions=REBOOT))

    assert (found.allowed, found.refusal) == (False, Refusal.NEEDED)
    assert found.rule == "actions/reboot/approval"
    assert "sprout approvals create" in found.would_change


def test_an_approval_lets_its_giver_act_unless_policy_wants_four_eyes():
    own = asked(approval=approval(by="ada"))

    assert judge(own, policy(actions=REBOOT)).allowed
    refused = judge(own, policy(actions=FOUR_EYES))
    assert (refused.refusal, "ada may not approve" in refused.reason) == (Refusal.UNFIT, True)
    assert judge(asked(approval=approval()), policy(actions=FOUR_EYES)).allowed


@pytest.mark.parametrize(
    ("who", "giver", "allowed"),
    [
        (("ada", "oidc:1"), ("ada", "oidc:2"), True),
        (("ada.l", "oidc:1"), ("ada", "oidc:1"), False),
        (("token:ci", "oidc:1"), ("ada", "oidc:1"), False),
        (("ada", "oidc:1"), ("ada", ""), False),
        (("ada", ""), ("bob", "oidc:1"), True),
    ],
)
def test_four_eyes_are_counted_by_people_and_not_by_what_they_are_called(who, giver, allowed):
    given = approval(by=giver[0], person=giver[1])

    found = judge(asked(actor=who[0], person=who[1], approval=given), policy(actions=FOUR_EYES))

    assert found.allowed is allowed


UNFIT = {
    "another machine's": ({"machine": OTHER}, REBOOT),
    "another action's": ({"action": "release"}, REBOOT),
    "denied": ({"approved": False}, REBOOT),
    "used": ({"used": True}, REBOOT),
    "expired": ({"expires_at": NOON}, REBOOT),
    "of other parameters": ({"parameters": "q"}, REBOOT),
    "of no parameters": ({}, PARAMETERS),
    "of no receipts": ({"parameters": "p"}, RECEIPTS),
    "by an operator": ({"role": Role.OPERATOR}, REBOOT),
    "by nobody": ({"role": None}, REBOOT),
}


@pytest.mark.parametrize(("change", "actions"), UNFIT.values(), ids=UNFIT)
def test_an_approval_that_is_not_for_this_does_not_help(change, actions):
    found = judge(asked(approval=approval(**change)), policy(actions=actions))

    assert (found.allowed, found.refusal) == (False, Refusal.UNFIT)


def test_an_approval_that_is_named_must_be_good_where_none_is_needed():
    assert judge(asked(approval=approval(used=True)), policy()).refusal is Refusal.UNFIT
    assert judge(asked(approval=approval(role=None)), policy()).allowed


@pytest.mark.parametrize("actions", [REBOOT, FOUR_EYES, PARAMETERS, RECEIPTS])
def test_an_approval_as_narrow_as_can_be_is_good_for_all(actions):
    given = approval(parameters="p", receipts=True)

    assert judge(asked(approval=given), policy(actions=actions)).allowed


# --- states, roles, windows, freezes, numbers ---


def test_an_action_is_for_the_states_that_are_named():
    rules = policy(actions={"power-off": {"states": ["available", "failed"]}})

    assert judge(asked("power-off"), rules).rule == "actions/power-off/states"
    assert judge(asked("power-off", state=State.FAILED), rules).allowed


def test_policy_may_want_more_of_a_role_and_commissioning_first():
    rules = policy(actions={"provision": {"role": "admin", "commissioned": "true"}})

    assert judge(asked("provision", role=Role.OPERATOR), rules).rule == "actions/provision/role"
    new = judge(asked("provision", commissioned=False), rules)
    assert new.rule == "actions/provision/commissioned"
    assert judge(asked("provision"), rules).allowed


NIGHTS = {"days": ["mon"], "from": "22:00", "until": "05:00", "time-zone": "Europe/Amsterdam"}


@pytest.mark.parametrize(
    ("at", "allowed"),
    [
        ("2026-06-01T19:59:00+00:00", False),
        ("2026-06-01T20:00:00+00:00", True),  # 22:00 in Amsterdam in summer
        ("2026-06-02T02:59:00+00:00", True),  # the night of Monday ends on Tuesday
        ("2026-06-02T03:00:00+00:00", False),
        ("2026-06-02T20:30:00+00:00", False),  # Tuesday's night is none of them
        ("2026-12-07T20:30:00+00:00", False),  # 21:30 in winter
        ("2026-12-07T21:30:00+00:00", True),
    ],
)
def test_a_window_follows_the_clock_on_the_wall_past_midnight(at, allowed):
    rules = policy(windows={"nights": NIGHTS}, actions={"power-off": {"window": "nights"}})

    assert judge(asked("power-off", at=datetime.fromisoformat(at)), rules).allowed is allowed


FREEZE = {"name": "year-end", "from": "2026-06-01 14:00", "until": "2026-06-01 15:00"}


@pytest.mark.parametrize(
    ("more", "change", "allowed"),
    [
        ({"time-zone": "Europe/Amsterdam"}, {}, False),  # from 12:00 UTC
        ({"time-zone": "Europe/Amsterdam"}, {"at": NOON + timedelta(hours=1)}, True),
        ({}, {}, True),  # from 14:00 UTC
        ({"time-zone": "Europe/Amsterdam", "sites": ["lab-1"]}, {}, True),
        ({"time-zone": "Europe/Amsterdam", "actions": ["reboot"]}, {}, True),
        ({"time-zone": "Europe/Amsterdam"}, {"action": "power-on"}, True),
    ],
)
def test_a_freeze_stops_what_destroys_at_its_sites_while_it_lasts(more, change, allowed):
    rules = policy(freezes=[FREEZE | more])

    found = judge(asked(**{"action": "provision"} | change), rules)

    assert found.allowed is allowed
    assert allowed or found.rule == "freezes/year-end"


def test_only_so_many_destructive_actions_run_at_a_site():
    rules = policy(**{"at-once": "2", "sites": {"lab-1": {"at-once": "5"}}})

    assert judge(asked("provision", running=1), rules).allowed
    assert judge(asked("provision", running=2), rules).rule == "at-once"
    assert judge(asked("power-on", running=9), rules).allowed
    assert judge(asked("provision", running=4, site="lab-1"), rules).allowed
    assert judge(asked("provision", running=5, site="lab-1"), rules).rule == "sites/lab-1/at-once"


def test_a_site_may_have_a_rule_of_its_own():
    rules = policy(actions=REBOOT, sites={"lab-1": {"actions": {"reboot": {}}}})

    assert judge(asked(site="lab-1"), rules).rule == "sites/lab-1/actions/reboot"
    assert not judge(asked(), rules).allowed


def test_nobody_is_asked_for_an_approval_that_would_not_help():
    rules = policy(actions={"reboot": {"approval": {}, "states": ["failed"]}})

    assert judge(asked(), rules).rule == "actions/reboot/states"


# --- files ---


def test_what_is_built_in_lets_one_admin_approve_and_act():
    rules = policy_file.default()

    for action in ("reboot", "reprovision", "remote-task", "release"):
        assert not judge(asked(action), rules).allowed
        own = approval(action=action, by="ada")
        assert judge(asked(action, approval=own), rules).allowed


def test_production_wants_four_eyes_on_what_interrupts_or_wipes():
    rules = policy_file.parse(read(PRODUCTION))

    for action in ("reboot", "release", "retire"):
        own = judge(asked(action, approval=approval(action=action, by="ada")), rules)
        assert own.refusal is Refusal.UNFIT
        assert judge(asked(action, approval=approval(action=action)), rules).allowed


FAULTS = {
    "/version": {"version": "2"},
    "/actions/explode": {"actions": {"explode": {}}},
    "/actions/reboot/aproval": {"actions": {"reboot": {"aproval": {}}}},
    "/actions/reboot/approval/expires": {"actions": {"reboot": {"approval": {"expires": "soon"}}}},
    "/actions/reboot/states/0": {"actions": {"reboot": {"states": ["broken"]}}},
    "/time-zone": {"time-zone": "Europe/Atlantis"},
    "/windows/w/from": {"windows": {"w": {"from": "25:00", "until": "05:00"}}},
    "/freezes/0/until": {"freezes": [{"name": "f", "from": "2026-01-01 00:00"}]},
    "/at-once": {"at-once": "many"},
    "": {"actions": {"reboot": {"window": "nights"}}},
}


@pytest.mark.parametrize(("where", "document"), FAULTS.items(), ids=FAULTS)
def test_a_file_that_is_wrong_says_where(where, document):
    with pytest.raises(Invalid) as caught:
        policy_file.parse({"version": "1", **document})

    assert caught.value.field == where


@pytest.mark.parametrize("document", [None, "x", [], {}, {"version": "1", "freezes": "no"}])
def test_what_is_no_policy_is_refused(document):
    with pytest.raises(Invalid):
        policy_file.parse(document)


def test_a_freeze_that_ends_before_it_begins_is_refused():
    with pytest.raises(Invalid, match="ends before it begins"):
        policy(freezes=[FREEZE | {"until": "2026-06-01 13:00"}])
