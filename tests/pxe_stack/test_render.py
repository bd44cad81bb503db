import re
from dataclasses import replace

import pytest
import yaml

from models import bootplan
from models.bootplan import SLOT, Addressing
from models.errors import Invalid
from pxe_stack import render, seeds
from tests.pxe_stack import make

ORDER = render.Order(
    hostname="node-01",
    mac=make.MAC,
    addressing=make.plan().addressing,
    kernel_path="os/vmlinuz",
    initrd_path="os/initrd.img",
    image_path="os/image.raw",
    image_sha256="a" * 64,
    image_size=1000,
    instance_id="i-1",
    disk_serial="S1",
    disk_min_bytes=2000,
    kernel_args=("quiet", "console=tty0"),
    cloud_config_template="#cloud-config\npackage_update: false\n",
    ssh_keys=("ssh-ed25519 AAAA ops@sprout",),
)


def body(name: str, order: render.Order = ORDER) -> str:
    (found,) = [d for d in render.documents(order) if d.name == name]
    return bootplan.fill(found.body, bootplan.slot_values(make.plan(), make.KEY))


def test_the_documents_are_those_of_the_boot_contract():
    made = {(d.name, d.access.value) for d in render.documents(ORDER)}

    assert made == {
        ("script", "script"),
        ("script.grub", "script"),
        ("manifest", "seed"),
        ("seed/meta-data", "seed"),
        ("seed/user-data", "seed"),
        ("seed/vendor-data", "seed"),
        ("seed/network-config", "seed"),
    }


def test_every_slot_that_is_rendered_can_be_filled():
    slots = {name for d in render.documents(ORDER) for name in SLOT.findall(d.body)}

    assert slots <= bootplan.slot_values(make.plan(), make.KEY).keys()


def test_the_script_starts_the_deploy_kernel_with_the_manifest_and_the_boot_interface():
    lines = body("script").splitlines()
    manifest = bootplan.url(make.plan(), make.KEY, bootplan.Access.SEED, "manifest")

    assert lines[0] == "#!ipxe"
    assert (
        f"kernel {make.URL}/artifacts/os/vmlinuz initrd=initrd.img console=ttyS0,115200"
        f" sprout.manifest={manifest} BOOTIF=01-52-54-00-00-00-01 quiet console=tty0"
        " || goto failed"
    ) in lines
    assert f"initrd --name initrd.img {make.URL}/artifacts/os/initrd.img || goto failed" in lines


def test_the_script_reaches_every_label_it_jumps_to():
    text = body("script")

    assert set(re.findall(r"goto (\w+)", text)) == set(re.findall(r"^:(\w+)$", text, re.MULTILINE))


def test_the_manifest_says_all_that_the_deploy_system_needs():
    run = f"{make.URL}/boot/{make.plan().run}"
    tokens = bootplan.slot_values(make.plan(), make.KEY)
    seed, callback = tokens["run.token.seed"], tokens["run.token.callback"]

    assert body("manifest") == (
        "version 1\n"
        f"run {make.plan().run}\n"
        "hostname node-01\n"
        f"image {make.URL}/artifacts/os/image.raw\n"
        "image-size 1000\n"
        f"image-sha256 {'a' * 64}\n"
        f"chunks {make.URL}/artifacts/os/image.raw.chunks\n"
        "disk-serial S1\n"
        "disk-min-bytes 2000\n"
        f"seed {run}/{seed}/seed/\n"
        f"callback {run}/{callback}/\n"
    )


def test_user_data_is_the_profiles_with_what_every_machine_gets():
    template = "#cloud-config\nssh_authorized_keys: [mine]\nmotd: of {{ fqdn }}\nhostname: other\n"

    text = body("seed/user-data", replace(ORDER, cloud_config_template=template))

    assert text.startswith("#cloud-config\n")
    assert yaml.safe_load(text) == {
        "motd": "of node-01.rack.test",
        "hostname": "node-01",
        "fqdn": "node-01.rack.test",
        "ssh_authorized_keys": ["mine", "ssh-ed25519 AAAA ops@sprout"],
        "phone_home": {
            "url": bootplan.url(make.plan(), make.KEY, bootplan.Access.CALLBACK, "phone-home"),
            "post": ["pub_key_ed25519", "pub_key_rsa", "instance_id", "hostname", "fqdn"],
            "tries": 10,
        },
    }


def test_meta_data_carries_the_instance_and_the_name():
    meta = yaml.safe_load(body("seed/meta-data"))

    assert meta == {"instance-id": "i-1", "local-hostname": "node-01"}


def test_the_installed_system_keeps_its_address_without_anybodys_help():
    assert yaml.safe_load(body("seed/network-config")) == {
        "version": 2,
        "ethernets": {
            "boot": {
                "match": {"macaddress": make.MAC},
                "addresses": ["10.77.0.21/24"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.77.0.1"}],
                "nameservers": {"addresses": ["10.77.0.1"], "search": ["rack.test"]},
            }
        },
    }


def test_a_network_without_gateway_or_names_has_neither():
    bare = Addressing(address="10.0.0.2", prefix_length=24)

    config = seeds.network_config(make.MAC, bare)

    assert config["ethernets"]["boot"].keys() == {"match", "addresses"}


@pytest.mark.parametrize(
    "word",
    [
        "a b", "a\nb", "a=\nb", 'a="b"', "a='b'", "a;b", "a||b", "a=${b}", "a=b||c", "", "=b",
        "a=\\",
        "a=b\x00", "a=@@sprout:run.id@@", "a=@@", "a=é", "a=$b", "a=b&c", "#a", "a=b`c`", "-a",
    ],
)  # fmt: skip
def test_a_kernel_argument_that_is_no_plain_word_is_refused(word):
    with pytest.raises(Invalid) as caught:
        render.documents(replace(ORDER, kernel_args=(word,)))

    assert caught.value.field == "/kernelArgs"


@pytest.mark.parametrize(
    "word",
    [
        "quiet",
        "console=ttyS0,115200",
        "root=PARTLABEL=root",
        "ip=::1",
        "rd.luks=0",
        "a.b=[c]",
        "x=",
    ],
)
def test_ordinary_kernel_arguments_pass(word):
    assert f" {word} || goto failed" in body("script", replace(ORDER, kernel_args=(word,)))


def test_a_command_line_too_long_for_a_kernel_is_refused():
    with pytest.raises(Invalid, match="characters"):
        render.documents(replace(ORDER, kernel_args=("a" * 100,) * 20))


BAD_TEMPLATES = {
    "a slot": "#cloud-config\na: '@@sprout:run.token.seed@@'\n",
    "a slot made of pieces": "#cloud-config\na: '@@{{ 'sprout:' }}run.id@@'\n",
    "an unknown variable": "#cloud-config\na: {{ token }}\n",
    "an attribute": "#cloud-config\na: {{ hostname.__class__ }}\n",
    "a call": "#cloud-config\na: {{ hostname.upper() }}\n",
    "a loop": "#cloud-config\n{% for i in hostname %}a{% endfor %}\n",
    "arithmetic": "#cloud-config\na: {{ 'a' * 1000000000 }}\n",
    "joined text": "#cloud-config\na: {{ 'a' ~ 'b' }}\n",
    "an include": "#cloud-config\n{% include 'ipxe/install.ipxe' %}\n",
    "a macro": "#cloud-config\n{% macro a() %}{% endmacro %}\n",
    "an unknown filter": "#cloud-config\na: {{ hostname | center(100000000) }}\n",
    "half a tag": "#cloud-config\na: {{ hostname\n",
    "no YAML": "#cloud-config\na: [\n",
    "no mapping": "#cloud-config\n- a\n",
    "keys that are no text": "#cloud-config\n1: a\n",
    "an object": "#cloud-config\na: !!python/object/apply:os.system [ls]\n",
    "aliases": "#cloud-config\na: &x [1]\nb: [*x, *x]\n",
    "deep nesting": "#cloud-config\na: " + "[" * 5000,
    "deep expressions": "{{ " + "(" * 5000 + "hostname" + ")" * 5000 + " }}",
    "too much": "#cloud-config\na: " + "x" * 70_000,
    "keys that are no list": "#cloud-config\nssh_authorized_keys: a\n",
    "an impossible date": "#cloud-config\na: 2024-99-99\n",
}


@pytest.mark.parametrize("name", BAD_TEMPLATES)
def test_a_template_that_does_not_fit_is_refused_with_its_field(name):
    with pytest.raises(Invalid) as caught:
        render.documents(replace(ORDER, cloud_config_template=BAD_TEMPLATES[name]))

    assert caught.value.field == "/cloudConfigTemplate"
    assert caught.value.hint


def test_a_template_may_choose_and_quote():
    template = (
        "#cloud-config\n{% if gateway == '' %}a: none\n{% else %}a: {{ gateway | upper }}\n"
        "{% endif %}b: '{% raw %}{{ theirs }}{% endraw %}'\n"
    )

    config = seeds.cloud_config(render.filled(template, render.variables(ORDER)))

    assert config == {"a": "10.77.0.1", "b": "{{ theirs }}"}


@pytest.mark.parametrize("path", ["../etc/passwd", "a b", "a\nb", "", "/abs", "a||b", "a//b"])
def test_a_path_that_could_leave_its_line_or_its_folder_is_refused(path):
    with pytest.raises(Invalid):
        render.documents(replace(ORDER, kernel_path=path))


@pytest.mark.parametrize("serial", ["a\nimage http://evil", "a\x00", "@@sprout:run.id@@"])
def test_a_serial_that_could_leave_its_line_is_refused(serial):
    with pytest.raises(Invalid):
        render.documents(replace(ORDER, disk_serial=serial))


def test_the_documents_of_a_plan_are_the_same_every_time():
    assert render.documents(ORDER) == render.documents(ORDER)


def test_what_is_no_yaml_is_told_by_its_line_and_not_by_what_stands_there():
    """A profile may hold a password, and what is refused is logged, audited and shown."""
    template = "#cloud-config\nusers:\n- name: ada\n  passwd: [hunter2\n"

    with pytest.raises(Invalid, match="it is no YAML: line 5: ") as caught:
        body("seed/user-data", replace(ORDER, cloud_config_template=template))

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
