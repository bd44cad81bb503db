"""What a person asks for by forms: judged as /v1 judges it, each fault at its field."""

import re

import pytest

from models import queries
from models.commands import approvals, asks, walks
from models.kinds import Kind, Progress
from models.lifecycle import State
from models.observations import Seen
from models.tables import Audit, Machine, PolicyDecision, Workflow
from tests.edge.signed_in import Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services


@pytest.fixture
def scene(db):
    return domain.Scene()


@pytest.fixture
def person(app):
    return Browser(app)


def field(page, pointer):
    """Return the mark-up of one field."""
    return re.search(rf'<(?:input|select)[^>]*name="{pointer}"[^>]*>', page)[0]


# --- entering ---


def test_a_site_a_network_and_a_machine_are_entered_by_forms(person, db):
    site = person.post("/new-site", __name="Home", __slug="home")
    network = person.post(
        "/sites/home/new-network",
        __name="boot",
        __cidr="10.0.0.0/24",
        __rangeStart="10.0.0.50",
        __rangeEnd="10.0.0.99",
    )
    machine = person.post(
        "/sites/home/new-machine",
        __hostname="node-01",
        __architecture="x86_64",
        __interfaces__0__macAddress="52:54:00:12:34:56",
        __bmc__address="https://10.0.1.11",
        __bmc__secretRef="env:NODE01",
        __rootDisk__serial="S1",
    )

    assert (site.status_code, network.status_code, machine.status_code) == (303, 303, 303)
    made = queries.machine("node-01")
    assert machine.headers["Location"] == f"/machines/{made.id}"
    (interface,) = made.interfaces
    assert (interface.mac, interface.pxe_enabled) == ("52:54:00:12:34:56", True)
    assert (made.bmc["secret_ref"], made.root_disk["serial"]) == ("env:NODE01", "S1")
    assert [each.name for each in queries.networks()] == ["boot"]


MEDIA = "https://images.example/rescue.iso"
HTTP = "http://boot.example/x.efi"
ASKS = {
    "insert": (
        ("image", {"__mediaUrl": MEDIA}),
        ({"url": MEDIA}, ["agent-found", "media-inserted", "boot-override"]),
    ),
    "eject": (
        ("image", {"__mediaUrl": "", "__eject": "on"}),
        ({"eject": True, "traits": ["eject"]}, ["agent-found", "media-ejected"]),
    ),
    "take-back": (
        ("boot-source", {"__bootSource": "none"}),
        ({"source": "none", "persistent": False}, ["boot-source"]),
    ),
    "http": (
        ("boot-source", {"__bootSource": "http", "__httpBootUri": HTTP}),
        ({"source": "http", "persistent": False, "http_boot_uri": HTTP}, ["boot-source"]),
    ),
}


@pytest.mark.parametrize(("form", "promised"), ASKS.values(), ids=ASKS)
def test_what_a_machine_boots_from_is_asked_for_by_forms(person, active, form, promised):
    verb, fields = form

    answer = person.post(f"/machines/{active.machine}/{verb}", **fields, __confirm="node-01")

    assert answer.status_code == 303, text(answer)
    flow = queries.workflow(answer.headers["Location"].rpartition("/")[2])
    assert (flow.params, [step.name for step in flow.steps]) == promised


@pytest.mark.parametrize("form", [{}, {"__mediaUrl": MEDIA, "__eject": "on"}])
def test_media_are_inserted_or_taken_out_and_not_both(person, active, form):
    answer = person.post(f"/machines/{active.machine}/image", __confirm="node-01", **form)

    assert answer.status_code == 422
    assert "want a mediaUrl to insert, or eject: true" in text(answer)


def test_what_is_wrong_stands_at_its_field_and_at_the_top(person, scene):
    answer = person.post(
        "/sites/ams-1/new-machine",
        __hostname="node-01",
        __architecture="x86_64",
        __interfaces__0__macAddress="52:54:00:12:34:99",
    )

    assert answer.status_code == 409
    wrong = field(answer.text, "/hostname")
    assert 'value="node-01"' in wrong
    assert 'aria-invalid="true"' in wrong
    assert "autofocus" in wrong
    assert 'aria-describedby="f-hostname-told"' in wrong
    assert 'role="alert"' in answer.text
    assert 'href="#f-hostname"' in answer.text
    refused = Audit.get(Audit.outcome == "refused")
    assert (refused.action, refused.data["pointers"]) == ("machine.create", ["/hostname"])


def test_every_fault_is_told_at_once_and_only_the_first_has_the_focus(person, scene):
    page = person.post("/sites/ams-1/new-network", __name="x", __cidr="", __rangeStart="y").text

    assert page.count('aria-invalid="true"') == 2
    assert page.count("autofocus") == 1


def test_a_password_in_the_wrong_field_is_neither_kept_nor_sent_back(person, scene):
    answer = person.post(
        "/sites/ams-1/new-machine",
        __hostname="n-2",
        __architecture="x86_64",
        __interfaces__0__macAddress="52:54:00:12:34:99",
        __bmc__address="https://10.0.1.11",
        __bmc__secretRef="hunter2 is my password",
    )

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in field(answer.text, "/bmc/secretRef")
    assert "hunter2" not in answer.text
    assert "hunter2" not in str([row.data for row in Audit.select()])


# --- asking ---


def test_a_form_says_what_it_will_do_before_it_is_pressed(person, scene):
    page = text(person.get(f"/machines/{scene.machine}/provision"))

    assert "Wipes the disk S1" in page
    assert "powers it off and on" in page


def test_what_destroys_wants_the_host_name_typed(person, scene):
    asked = {"__imageRef": scene.image, "__profileRef": scene.profile}
    path = f"/machines/{scene.machine}/provision"

    for typed in ("", "node-02"):
        answer = person.post(path, **asked, __confirm=typed)
        assert answer.status_code == 422
        assert 'aria-invalid="true"' in field(answer.text, "/confirm")
    assert scene.view.state is State.REGISTERED
    answer = person.post(path, **asked, __confirm="Node-01 ")

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/workflows/{scene.view.workflow.id}"
    assert scene.view.state is State.PROVISIONING


def test_a_verb_that_the_state_does_not_allow_is_refused_with_what_it_can(person, scene):
    answer = person.post(f"/machines/{scene.machine}/resume")

    assert answer.status_code == 409
    assert "cannot resume" in text(answer)
    assert Workflow.select().count() == 0


def test_what_a_person_is_asked_for_is_confirmed_on_its_page(person, scene):
    Machine.update(bmc=None).execute()
    flow = asks.power(domain.ADA, scene.machine, Kind.POWER_OFF)
    walks.advance(flow, domain.render)

    shown = person.get(f"/workflows/{flow}").text
    wrong = person.post(f"/workflows/{flow}/confirm", __step="power-on")
    answer = person.post(f"/workflows/{flow}/confirm", __step="power-off", __reason="pulled")
    walks.advance(flow, domain.render)

    assert "A person is asked: switch it off, and confirm it." in shown
    assert 'name="/step" value="power-off"' in shown
    assert (wrong.status_code, answer.status_code) == (409, 303)
    assert queries.workflow(flow).progress is Progress.SUCCEEDED
    assert "Is it done?" not in person.get(f"/workflows/{flow}").text


def test_a_running_workflow_is_cancelled_with_a_reason(person, scene):
    flow = scene.provision()
    assert "Cancel provision" in text(person.get(f"/workflows/{flow}"))

    answer = person.post(f"/workflows/{flow}/cancel", __reason="wrong machine")

    assert answer.headers["Location"] == f"/workflows/{flow}"
    assert queries.workflow(flow).progress is Progress.CANCELLED
    assert "wrong machine" in text(person.get(f"/workflows/{flow}"))
    assert "Cancel provision" not in text(person.get(f"/workflows/{flow}"))
    assert person.post(f"/workflows/{flow}/cancel").status_code == 409


# --- approving ---


@pytest.fixture
def active(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)
    assert scene.view.state is State.ACTIVE
    return scene


def test_what_lacks_an_approval_is_listed_decided_and_then_done(person, active):
    path = f"/machines/{active.machine}/reboot"
    assert "It needs an approval by an admin of ams-1" in text(person.get(path))

    refused = person.post(path, __reason="kernel")
    waiting = person.get("/approvals")

    assert refused.status_code == 403
    assert not PolicyDecision.get(PolicyDecision.action == "reboot").allowed
    assert "reboot of node-01" in text(waiting)
    decide = re.search(r'href="(/machines/[^"]*/approve[^"]*)"', waiting.text)[1]
    page = text(person.get(decide.replace("&amp;", "&")))
    assert "Who can give it: admin of ams-1" in page
    assert "Asked by admin" in page

    given = person.post(decide, __action="reboot", decision="approved", __reason="go on")
    assert given.status_code == 303
    assert "Nothing that was asked" in text(person.get("/approvals"))
    (choice,) = re.findall(r'<option value="([0-9a-f-]{36})"', person.get(path).text)
    done = person.post(path, __approvalId=choice)

    assert done.status_code == 303
    assert "used" in text(person.get(given.headers["Location"]))


def test_a_word_may_be_no(person, active):
    path = f"/machines/{active.machine}/approve"

    answer = person.post(path, __action="release", decision="denied", __reason="in use")

    assert "denied by admin" in text(person.get(answer.headers["Location"]))


def test_who_may_not_approve_is_shown_no_way_to(app, active):
    viewer = Browser(app, grants=[("viewer", None)], name="vi")
    person = Browser(app)
    person.post(f"/machines/{active.machine}/reboot")

    assert "Decide" not in text(viewer.get("/approvals"))
    assert viewer.get(f"/machines/{active.machine}/approve").status_code == 403


@pytest.mark.parametrize(
    ("form", "pointer"),
    [
        ({"__action": "explode", "decision": "approved"}, "/action"),
        ({"__action": "reboot", "decision": "perhaps"}, "/decision"),
        ({"__action": "reboot", "__expiresInS": "soon"}, "/expiresInS"),
        ({"__action": "reboot", "__expiresInS": "0"}, "/expiresInS"),
    ],
)
def test_an_approval_that_makes_no_sense_is_refused(person, active, form, pointer):
    answer = person.post(f"/machines/{active.machine}/approve", **form)

    assert answer.status_code == 422
    assert Audit.get(Audit.outcome == "refused").data["pointers"] == [pointer]


# --- forged ---


def test_no_form_does_anything_without_this_sessions_token(app, person, active):
    flow, machine = active.view.workflow.id, active.machine
    new = approvals.NewApproval(machine_id=machine, action="release", decision="approved")
    approvals.create_approval(domain.ADMIN, new)
    rules = [each for each in app.url_map.iter_rules() if "POST" in (each.methods or ())]
    paths = [
        each.rule.replace("<uuid:machine>", str(machine))
        .replace("<uuid:workflow>", str(flow))
        .replace("<site>", "ams-1")
        .replace("<image>", active.image)
        .replace("<profile>", active.profile)
        for each in rules
        if each.endpoint.partition(".")[0] in {"asking", "entering", "shelves"}
    ]
    before = active.view

    answers = {path: person.post(path, csrf="wrong").status_code for path in paths}

    assert set(answers.values()) == {403}
    assert len(answers) == 27
    assert active.view == before
