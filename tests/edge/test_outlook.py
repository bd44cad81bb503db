"""What a form says before its button is pressed: held against what policy and tables say."""

import pytest

from models import policy_file, queries
from models.commands import policy
from models.observations import Seen
from models.remote_commands import READ_ONLY
from models.steps import Trait
from models.tables import Approval, Image, Machine, PolicyDecision
from models.workflows import table_of
from tests.edge.signed_in import Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services

SSD = {"model": "QEMU SSD", "bytes": 1920 << 30, "serial": "S1", "wwn": "0x5000c500a1b2c3d4"}
OTHER = {"bytes": 4 << 40, "serial": "S2"}


@pytest.fixture
def scene(db):
    yield domain.Scene()
    policy.follow(policy_file.default)


@pytest.fixture
def person(app):
    return Browser(app)


@pytest.fixture
def active(scene):
    flow = scene.provision()
    scene.powered(flow)
    scene.boots(Seen.SCRIPT_SERVED, Seen.INSTALL_STARTED, Seen.INSTALLED, Seen.PHONED_HOME)
    return scene


def told(scene, **columns):
    """Let the machine's row say *columns*."""
    Machine.update(**columns).where(Machine.id == scene.machine).execute()


def page(person, scene, verb):
    return text(person.get(f"/machines/{scene.machine}/{verb}"))


def under(**actions):
    document = policy_file.parse({"version": "1", "actions": actions})
    policy.follow(lambda: document)


# --- what will happen ---


def test_the_disk_to_overwrite_is_told_by_serial_number_and_wwn_and_the_others_are_left(
    person, scene
):
    told(scene, facts={"disks": [SSD, OTHER]})

    found = page(person, scene, "provision")

    assert "Disk to overwrite QEMU SSD 2.06 TB, serial number S1, WWN 0x5000c500a1b2c3d4" in found
    assert "Left alone 4.4 TB, serial number S2" in found


def test_a_disk_that_cannot_be_told_is_said_before_the_button_is_pressed(person, scene):
    told(scene, facts={"disks": [SSD, OTHER]}, root_disk=None)

    assert "Disk to overwrite Not to be told: 2 disks answer" in page(person, scene, "provision")


@pytest.mark.parametrize("verb", ["power-on", "commission", "maintenance", "remote-task"])
def test_what_writes_no_disk_names_none(person, scene, verb):
    told(scene, facts={"disks": [SSD, OTHER]})

    assert "S1" not in page(person, scene, verb)


def test_the_address_that_is_given_back_is_named(person, active):
    (address,) = [each.address for each in queries.machine(active.machine).interfaces]

    assert f"Address given back {address}" in page(person, active, "release")
    assert "Address given back" not in page(person, active, "reboot")


def test_every_step_is_told_with_who_acts_and_how_long_it_may_take(person, scene):
    found = page(person, scene, "commission")

    for step in table_of("commission").steps:
        assert step.name in found
        assert f"{step.party}: {step.expects}." in found


def test_how_long_it_took_here_lately_is_told_where_it_was_done(person, active):
    assert "as it did here lately" in page(person, active, "provision")
    assert "as it did here lately" not in page(person, active, "reboot")


def test_what_is_done_at_once_takes_no_time(person, scene):
    assert "Takes no time: it is done as it is asked" in page(person, scene, "retire")


# --- how it is judged ---


def test_what_policy_lets_is_said_with_its_rule(person, scene):
    found = page(person, scene, "power-on")

    assert "Policy lets it happen as it is. The rule is default." in found


def test_what_policy_forbids_is_said_with_its_rule_before_anybody_asks(app, scene):
    under(**{"power-on": {"role": "admin"}})
    person = Browser(app, grants=[("operator", None)], name="olga")

    found = page(person, scene, "power-on")

    assert "Policy forbids it now:" in found
    assert "The rule is actions/power-on/role." in found


def test_what_the_state_does_not_allow_is_said_with_where_it_is_allowed(person, scene):
    assert "It is registered, and this is for machines that are maintenance." in page(
        person, scene, "resume"
    )


def test_to_look_at_a_form_decides_nothing(person, active):
    before = PolicyDecision.select().count()

    page(person, active, "reboot")

    assert PolicyDecision.select().count() == before


def test_an_approval_that_policy_does_not_want_is_used_only_if_it_is_chosen(person, active):
    under()
    path = f"/machines/{active.machine}"
    person.post(f"{path}/approve", __action="power-off", decision="approved", __reason="go on")

    form = text(person.get(f"{path}/power-off"))
    done = person.post(f"{path}/power-off", __approvalId="")

    assert "none: policy wants none" in form
    assert done.status_code == 303
    assert Approval.get().used_at is None


def test_an_image_that_installs_itself_has_the_steps_of_its_installer(person, scene):
    Image.update(installer="preseed").execute()

    found = page(person, scene, "provision")

    for step in table_of("provision", {Trait.INSTALLER}).steps:
        assert f"{step.party}: {step.expects}." in found


def test_the_commands_that_may_be_run_are_listed_before_one_is_typed(person, active):
    assert f"Listed at ams-1: {READ_ONLY[0]};" in page(person, active, "remote-task")


def test_a_choice_that_is_none_is_refused_at_its_field(person, scene):
    answer = person.post(f"/machines/{scene.machine}/commission", __inventory="guess")

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


def test_a_release_tells_all_disks_that_it_takes_signatures_from_unless_none_is_asked(
    person, active
):
    told(active, facts={"disks": [SSD, OTHER]})

    whole = page(person, active, "release")
    form = {"__wipe": "none", "__confirm": "wrong"}
    none = text(person.post(f"/machines/{active.machine}/release", **form))

    assert "Disks to overwrite QEMU SSD 2.06 TB, serial number S1" in whole
    assert "4.4 TB, serial number S2" in whole
    assert "Its disks stay as they are." in none
    assert "to overwrite" not in none
