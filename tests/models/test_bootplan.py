from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from models import bootplan
from models.bootplan import Access, Action, Addressing, BootPlan, Document, File
from models.errors import Invalid
from models.installer_calls import Caller
from models.phases import ORDER, Phase

KEY = b"k" * 32
RUN = UUID(int=7)
OWNER = UUID(int=3)
PLAN = BootPlan(
    machine=UUID(int=1),
    site=UUID(int=2),
    hostname="node-01",
    mac="52:54:00:00:00:01",
    version=4,
    action=Action.INSTALL,
    addressing=Addressing(address="10.77.0.10", prefix_length=24, dns=("10.77.0.1",)),
    boot_base_url="http://10.77.0.1:8081",
    run=RUN,
    epoch=2,
    owner=OWNER,
    documents=(
        Document(name="script", access=Access.SCRIPT, media_type="text/plain", body="#!ipxe\n"),
    ),
    files=(File(role="kernel", path="debian/vmlinuz", sha256="0" * 64, size=3),),
    valid_for=60,
)


def test_a_plan_is_the_same_after_it_crossed_the_queue():
    again = BootPlan.decode(PLAN.encode())

    assert again == PLAN
    assert again.digest == PLAN.digest


def test_a_newer_control_may_add_fields_that_an_older_site_leaves_out():
    body = PLAN.encode() | {"later": 1}
    body["documents"][0]["later"] = 1

    assert BootPlan.decode(body) == PLAN


def test_what_an_installer_needs_crosses_the_queue_and_changes_no_other_plan():
    caller = Caller(macs=("52:54:00:00:00:01",), uuid="4c4c4544", serial="SN-7")
    asked = replace(PLAN, caller=caller, ssh_key="ssh-ed25519 AAAA run")

    assert BootPlan.decode(asked.encode()) == asked
    assert asked.digest != PLAN.digest
    assert not PLAN.encode().keys() & {"caller", "ssh_key"}


def test_any_change_changes_the_digest():
    assert replace(PLAN, version=5).digest != PLAN.digest


@pytest.mark.parametrize(
    "change", [{"owner": UUID(int=9)}, {"action": Action.LOCAL}, {"run": None}], ids=str
)
def test_only_the_owner_of_an_installing_run_may_serve_what_destroys(change):
    assert PLAN.owned_by(OWNER)
    assert not replace(PLAN, **change).owned_by(OWNER)


def test_tokens_differ_by_run_class_and_key():
    made = {
        bootplan.token(key, run, access)
        for key in (KEY, b"other")
        for run in (RUN, uuid4())
        for access in Access
    }

    assert len(made) == 2 * 2 * len(Access)
    assert all(len(token) == 32 for token in made)


@pytest.mark.parametrize("access", list(Access))
def test_a_window_closes_once_and_stays_closed(access):
    opened = [bootplan.opens(access, phase) for phase in ORDER]

    assert opened == sorted(opened, reverse=True)
    assert opened[0]
    assert not bootplan.opens(access, Phase.FAILED)


@pytest.mark.parametrize("access", [Access.SCRIPT, Access.SEED])
def test_script_and_seed_are_closed_once_the_machine_is_installed(access):
    assert not bootplan.opens(access, Phase.INSTALLED)


def test_slots_are_filled_and_a_missing_one_is_refused_rather_than_served_empty():
    text = f"a {bootplan.slot('run.id')} b"

    assert bootplan.fill(text, {"run.id": "X"}) == "a X b"
    with pytest.raises(Invalid):
        bootplan.fill(text, {})


def test_every_slot_that_documents_may_hold_has_a_value_at_the_owner():
    values = bootplan.slot_values(PLAN, KEY)

    assert set(values) == {
        "run.id",
        "run.ssh_key",
        "machine.id",
        "boot.base_url",
        *(f"run.token.{access.value}" for access in Access),
    }


def test_a_plan_without_a_run_has_no_tokenised_url():
    with pytest.raises(Invalid):
        bootplan.url(replace(PLAN, run=None), KEY, Access.SCRIPT, "script")
