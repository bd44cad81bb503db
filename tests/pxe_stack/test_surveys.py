"""What a machine is served that is to take inventory of itself."""

import pytest

from models.bootplan import Access, Addressing, slot
from models.errors import Invalid
from pxe_stack import surveys

TOLD = {
    "hostname": "node-01",
    "mac": "52:54:00:12:34:56",
    "addressing": Addressing(address="10.77.0.10", prefix_length=24),
    "kernel_path": "inventory/vmlinuz",
    "initrd_path": "inventory/initrd.img",
    "kernel_args": ("quiet",),
}


def documents(**changes):
    return {each.name: each for each in surveys.documents(**TOLD | changes)}


def test_it_boots_the_inventory_system_and_has_no_seed():
    made = documents()

    assert set(made) == {"script", "script.grub", "manifest"}
    assert "/artifacts/inventory/vmlinuz" in made["script"].body
    assert "taking inventory of node-01" in made["script"].body
    assert f"/{slot('run.token.seed')}/manifest" in made["script.grub"].body
    assert made["manifest"].access is Access.SEED


def test_the_manifest_says_whom_to_tell_and_names_no_disk():
    lines = dict(line.split(" ", 1) for line in documents()["manifest"].body.splitlines())

    assert (lines["version"], lines["task"], lines["tests"]) == ("1", "inventory", "yes")
    assert lines["callback"].endswith(f"/{slot('run.token.callback')}/")
    assert not [key for key in lines if key.startswith(("disk", "image", "seed"))]


@pytest.mark.parametrize(
    "changes",
    [
        {"hostname": "a b"},
        {"hostname": "x\ncallback http://evil/"},
        {"mac": "x"},
        {"kernel_path": "../vmlinuz"},
        {"initrd_path": "a b"},
        {"kernel_args": ("a b",)},
        {"kernel_args": ("@@sprout:run.token.seed@@",)},
    ],
)
def test_what_does_not_fit_in_a_script_is_refused(changes):
    with pytest.raises(Invalid):
        documents(**changes)
