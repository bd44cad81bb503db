"""What a machine is served that is given back."""

from dataclasses import replace

import pytest

from models import bootplan
from models.bootplan import Action
from models.errors import Invalid
from pxe_stack import wipes
from tests.pxe_stack import make
from tests.pxe_stack.test_render import ORDER

BARE = replace(ORDER, image_path="", image_sha256="", image_size=0, cloud_config_template="")


def served(name, order=BARE, disks="all"):
    documents = wipes.documents(order, disks=disks)
    plan = make.plan(action=Action.WIPE, documents=documents)
    return bootplan.fill(plan.document(name).body, bootplan.slot_values(plan, make.KEY))


def test_the_manifest_asks_for_a_wipe_and_names_the_disk_that_must_be_seen():
    lines = dict(line.split(" ", 1) for line in served("manifest").splitlines())

    assert (lines["task"], lines["disks"]) == ("wipe", "all")
    assert lines["disk-serial"] == ORDER.disk_serial
    assert lines["callback"].startswith(f"{make.URL}/boot/{make.plan().run}/")
    assert not {"image", "seed", "chunks"} & lines.keys()


@pytest.mark.parametrize("name", ["script", "script.grub"])
def test_the_script_says_what_happens_and_starts_the_deploy_kernel(name):
    text = served(name)

    assert "taking away what lies on the disks of" in text
    assert "sprout.manifest=" in text
    assert "installing" not in text


def test_a_plan_that_wipes_carries_no_seed():
    names = {each.name for each in wipes.documents(BARE, disks="root")}

    assert names == {"script", "script.grub", "manifest"}


@pytest.mark.parametrize("serial", ["S1\ntask install", "@@sprout:run.id@@", "S\x00"])
def test_a_serial_number_that_would_write_lines_of_its_own_is_refused(serial):
    with pytest.raises(Invalid) as caught:
        served("manifest", replace(BARE, disk_serial=serial))

    assert caught.value.field == "/rootDisk/serial"
