"""Commands that come by message: judged, done once, and in the audit like any other."""

import pytest
from jsonschema import Draft202012Validator

from models import automation, queries, roles
from models.commands.automation import obey
from models.errors import Invalid
from models.roles import Grant, Role
from models.tables import Audit, Workflow
from tests.models import make

GRANTS = roles.parsed("ci=operator,eyes=viewer,lab=operator@lab-1")
GOOD = {"v": 1, "command": "machine.power-on", "machine": "node-01"}
IMAGE = {"v": 1, "command": "machine.image", "machine": "node-01"}
TASK = {"v": 1, "command": "machine.remote-task", "machine": "node-01"}
MALFORMED = [
    {},
    GOOD | {"v": 2},
    GOOD | {"v": True},
    GOOD | {"v": "1"},
    GOOD | {"command": "machine.explode"},
    GOOD | {"command": ["machine.power-on"]},
    GOOD | {"machine": 7},
    GOOD | {"machine": ""},
    GOOD | {"machine": "x" * 300},
    GOOD | {"machine": "node\u0000"},
    GOOD | {"machine": "no\nde"},
    GOOD | {"params": []},
    GOOD | {"params": {"force": "yes"}},
    GOOD | {"workflow": "x"},
    {"v": 1, "command": "machine.provision", "machine": "node-01"},
    {"v": 1, "command": "machine.provision", "machine": "node-01", "params": {"imageRef": "a"}},
    {"v": 1, "command": "workflow.cancel", "machine": "node-01"},
    {
        "v": 1,
        "command": "machine.boot-source",
        "machine": "node-01",
        "params": {"bootSource": "pxe", "persistent": "yes"},
    },
    IMAGE,
    IMAGE | {"params": {"bootSource": "virtual-media"}},
    IMAGE | {"params": {"eject": False}},
    IMAGE | {"params": {"eject": 1}},
    IMAGE | {"params": {"eject": True, "mediaUrl": "http://10.77.0.1/rescue.iso"}},
    TASK | {"params": {"command": "uptime", "timeLimitS": 0}},
    TASK | {"params": {"command": "uptime", "timeLimitS": True}},
    TASK | {"params": {"command": "uptime", "timeLimitS": "9"}},
    TASK | {"params": {"command": "uptime", "timeLimitS": 1.5}},
    TASK | {"params": {"command": "uptime", "timeLimitS": 1e300}},
]
WELL_FORMED = [
    GOOD,
    IMAGE | {"params": {"eject": True}},
    IMAGE | {"params": {"mediaUrl": "http://10.77.0.1/rescue.iso"}},
    TASK | {"params": {"command": "uptime", "timeLimitS": 60}},
    TASK | {"params": {"command": "uptime", "timeLimitS": 60.0}},
    GOOD | {"command": "machine.release", "params": {"wipe": "none", "disks": "root"}},
]


@pytest.fixture
def scene(db):
    return make.Scene()


def done():
    return [
        (row.actor, row.outcome) for row in Audit.select().where(Audit.actor.startswith("amqp"))
    ]


@pytest.mark.parametrize("body", MALFORMED)
def test_what_has_not_the_form_is_refused_as_the_schema_says(body):
    with pytest.raises(Invalid):
        automation.parse(body)

    printable = all(str(v).isprintable() for v in body.values())
    assert not Draft202012Validator(automation.schema()).is_valid(body) or not printable


@pytest.mark.parametrize("body", WELL_FORMED)
def test_what_has_the_form_is_understood_as_the_schema_says(body):
    Draft202012Validator.check_schema(automation.schema())
    Draft202012Validator(automation.schema()).validate(body)

    assert automation.parse(body).verb == body["command"]


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b"7", b"[" * 100_000])
def test_what_is_no_object_cannot_be_read(body):
    with pytest.raises(Invalid):
        automation.read(body)


def test_every_command_has_a_least_role():
    assert set(automation.FORMS) <= set(roles.LEAST)


@pytest.mark.parametrize("text", ["ci", "ci=root", "ci=operator@", "a b=viewer", "=viewer"])
def test_a_grant_that_is_none_is_refused(text):
    with pytest.raises(Invalid):
        roles.parsed(text)


def test_a_grant_reaches_as_far_as_its_role_and_its_site():
    assert Grant(Role.ADMIN).allows("machine.reboot", "x")
    assert not Grant(Role.VIEWER).allows("machine.reboot", "x")
    assert not Grant(Role.OPERATOR, "y").allows("machine.reboot", "x")
    assert not Grant(Role.ADMIN).allows("machine.explode", "x")


@pytest.mark.services
def test_a_command_begins_the_same_workflow_as_over_rest(scene):
    answer = obey("ci", "m-1", GOOD | {"reason": "night"}, GRANTS)

    flow = Workflow.get_by_id(answer["workflow"])
    assert answer["ok"]
    assert (flow.kind, flow.requested_by, flow.reason) == ("power-on", "amqp:ci", "night")
    assert done() == [("amqp:ci", "done")]


@pytest.mark.services
def test_media_are_taken_out_by_message_as_over_rest(scene):
    answer = obey("ci", "m-1", IMAGE | {"params": {"eject": True}}, GRANTS)

    flow = Workflow.get_by_id(answer["workflow"])
    assert (flow.kind, flow.params["eject"], "url" in flow.params) == ("image", True, False)


@pytest.mark.services
def test_the_same_message_again_is_answered_alike_and_does_nothing(scene):
    first = obey("ci", "m-1", GOOD, GRANTS)

    assert obey("ci", "m-1", GOOD, GRANTS) == first
    assert Workflow.select().count() == 1
    other = obey("ci", "m-1", GOOD | {"command": "machine.power-off"}, GRANTS)
    assert not other["ok"]
    assert Workflow.select().count() == 1


@pytest.mark.services
@pytest.mark.parametrize(
    ("user", "message_id", "change", "code"),
    [
        (None, "m", {}, "denied"),
        ("ci", None, {}, "invalid"),
        ("stranger", "m", {}, "denied"),
        ("eyes", "m", {}, "denied"),
        ("lab", "m", {}, "denied"),
        ("ci", "m", {"machine": "nobody"}, "not-found"),
        ("ci", "m", {"v": 3}, "invalid"),
        (
            "ci",
            "m",
            {"command": "machine.provision", "params": {"imageRef": "x", "profileRef": "y"}},
            "unknown-reference",
        ),
    ],
)
def test_what_is_refused_is_in_the_audit_and_changes_nothing(scene, user, message_id, change, code):
    answer = obey(user, message_id, GOOD | change, GRANTS)

    assert (answer["ok"], answer["problem"]["code"]) == (False, code)
    assert done() == [(f"amqp:{user or 'anonymous'}", "refused")]
    assert not Workflow.select().exists()


@pytest.mark.services
def test_what_the_machines_state_forbids_is_refused(scene):
    scene.provision()

    answer = obey("ci", "m-1", GOOD, GRANTS)

    assert answer["problem"]["code"] == "illegal-transition"
    assert "cancel" in answer["problem"]["hint"]


@pytest.mark.services
def test_a_workflow_is_cancelled_by_message(scene):
    flow = scene.provision()

    answer = obey(
        "ci", "m-1", {"v": 1, "command": "workflow.cancel", "workflow": str(flow)}, GRANTS
    )

    assert answer["ok"]
    assert queries.workflow(flow).progress == "cancelled"
