"""iPXE's scripts on simulated machines: our own templates, and how iPXE reads a line."""

import asyncio

import pytest

from deploy.rack.simulated.ipxe import script
from deploy.rack.simulated.ipxe.state import Abandoned, Failure, Fetched, Kernel, Left, Program
from pxe_stack import render, scripts
from pxe_stack.render import Order
from tests.pxe_stack import make

BASE = "http://10.77.0.1:8081"


class Host:
    """A machine whose servers hold *files*; the first *failures* requests come to nothing."""

    def __init__(self, files=(), failures=0):
        self.files = dict(files)
        self.failures = failures
        self.asked = []
        self.posted = []
        self.said = []
        self.slept = 0.0

    async def fetch(self, url, *, text):
        self.asked.append(url)
        if len(self.asked) <= self.failures or url not in self.files:
            raise Failure("No such file or directory")
        return Fetched(len(self.files[url]), self.files[url])

    async def post(self, url, form):
        self.posted.append((url, dict(form)))
        return Fetched(0, b"")

    async def sleep(self, seconds):
        self.slept += seconds

    def say(self, text):
        self.said.append(text)


def ran(text, host=None, **variables):
    return asyncio.run(script.run(host or Host(), f"#!ipxe\n{text}", variables))


def said(text, **variables):
    host = Host()
    ran(text, host, **variables)
    return host.said


def install_script():
    order = Order(
        hostname="node-01",
        mac=make.MAC,
        addressing=make.plan().addressing,
        kernel_path="os/vmlinuz",
        initrd_path="os/initrd.img",
        image_path="os/disk.raw",
        image_sha256="0" * 64,
        image_size=1,
        instance_id="i-1",
        disk_serial="S",
        kernel_args=("quiet",),
    )
    text = render.script(order).replace("@@sprout:boot.base_url@@", BASE)
    return text.replace("@@sprout:run.id@@", "R").replace("@@sprout:run.token.callback@@", "T")


def entry():
    return scripts.chain(f"{BASE}/script", f"{BASE}/trouble")


FILES = {f"{BASE}/artifacts/os/vmlinuz": b"kernel", f"{BASE}/artifacts/os/initrd.img": b"initrd"}


def test_our_install_script_starts_the_kernel_with_its_arguments_and_its_initramfs():
    outcome = asyncio.run(script.run(Host(FILES), install_script(), {}))

    assert isinstance(outcome, Kernel)
    assert outcome.url == f"{BASE}/artifacts/os/vmlinuz"
    assert outcome.initrds == ("initrd.img",)
    assert outcome.arguments.startswith("initrd=initrd.img console=ttyS0,115200 sprout.manifest=")
    assert outcome.arguments.endswith("quiet")


def test_our_install_script_tries_again_after_a_failure():
    host = Host(FILES, failures=3)

    assert isinstance(asyncio.run(script.run(host, install_script(), {})), Kernel)
    assert host.slept == 1 + 2 + 4


def test_our_install_script_gives_up_after_five_tries_and_says_so():
    host = Host()

    outcome = asyncio.run(script.run(host, install_script(), {}))

    assert outcome == Left()
    *tries, trouble = host.asked
    assert len(tries) == 5
    assert trouble.startswith(f"{BASE}/boot/R/T/trouble?stage=kernel&try=5&platform=")
    assert trouble.endswith("&errno=No%20such%20file%20or%20directory")
    [(url, form)] = host.posted
    assert url == f"{BASE}/boot/R/T/failed"
    assert form["stage"] == "ipxe-kernel"
    assert "No such file or directory" in form["reason"]


def test_the_local_boot_script_leaves_ipxe_on_bios():
    text = scripts.local_boot(BASE)

    assert asyncio.run(script.run(Host(), text, {"platform": "pcbios"})) == Left()


def test_the_local_boot_script_starts_grub_on_uefi():
    host = Host({f"{BASE}/loaders/grub-local.efi": b"GRUB"})

    outcome = asyncio.run(script.run(host, scripts.local_boot(BASE), {"platform": "efi"}))

    assert outcome == Program(b"GRUB")


def test_the_local_boot_script_leaves_ipxe_where_grub_cannot_be_had():
    outcome = asyncio.run(script.run(Host(), scripts.local_boot(BASE), {"platform": "efi"}))

    assert outcome == Left()


def test_the_entry_goes_on_in_the_script_that_it_chains_to():
    host = Host({f"{BASE}/script": b"#!ipxe\necho there\nexit\n"})

    assert asyncio.run(script.run(host, entry(), {})) == Left()
    assert host.said == ["there"]


def test_the_entry_gives_up_after_five_tries_and_says_so():
    host = Host()

    assert asyncio.run(script.run(host, entry(), {"platform": "efi"})) == Left()
    *tries, trouble = host.asked
    assert tries == [f"{BASE}/script"] * 5
    assert trouble.startswith(f"{BASE}/trouble?stage=script&try=5&platform=efi&errno=No%20such")
    assert any("gives up" in line for line in host.said)


def test_a_machine_that_is_unknown_is_told_its_own_numbers_and_left_alone():
    host = Host()
    known = {"mac": make.MAC, "ip": "10.77.0.21", "serial": "S1"}

    outcome = asyncio.run(script.run(host, scripts.unknown_machine(), known))

    assert outcome == Left()
    assert f"MAC {make.MAC}" in host.said
    assert "serial S1" in host.said


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("iseq a a && echo yes || echo no", ["yes"]),
        ("iseq a b && echo yes || echo no", ["no"]),
        ("iseq a b ||", []),
        ("iseq ${x} 5 && echo five ||", ["five"]),
        ("isset ${nothing} || echo unset", ["unset"]),
        ("set y:int32 1\ninc y\necho ${y:int32}", ["2"]),
        ("set y one two\necho ${y}", ["one two"]),
        ("echo ${net0/mac:hexhyp}", ["aa"]),
        ("goto on\necho skipped\n:on\necho on", ["on"]),
        ("goto on || echo failed\n:on\necho on", ["on"]),
        ("nonsense || echo ${errno}", ["command not found"]),
        ("# echo nothing\n:label\n\necho line", ["line"]),
        ("chain http://a/ || echo ${errno}", ["No such file or directory"]),
        ("kernel http://a/ || boot || echo ${errno}", ["No such file or directory"]),
    ],
)
def test_a_line_is_read_as_ipxe_reads_it(line, told):
    assert said(line, x="5", mac="aa") == told


@pytest.mark.parametrize(
    "line",
    ["iseq a b", "nonsense", "goto nowhere", "exit 1", "inc nothing", "sleep soon", "boot", "set"],
)
def test_a_line_that_fails_ends_the_script(line):
    with pytest.raises(Abandoned):
        ran(f"{line}\necho on")


def test_what_is_no_script_is_not_run():
    with pytest.raises(Abandoned):
        asyncio.run(script.run(Host(), "<html>", {}))


def test_arguments_can_be_set_and_images_freed_afterwards():
    text = "kernel http://a/k\nimgargs k one two\ninitrd http://a/i\nimgfree i\nboot"

    outcome = ran(text, Host({"http://a/k": b"k", "http://a/i": b"i"}))

    assert outcome == Kernel("http://a/k", "one two", ())


def test_scripts_that_chain_to_one_another_come_to_an_end():
    host = Host({"http://a/s": b"#!ipxe\nchain http://a/s\n"})

    with pytest.raises(Abandoned, match="Out of memory"):
        ran("chain http://a/s", host)


def test_a_script_that_is_not_replaced_goes_on_after_the_other():
    host = Host({"http://a/s": b"#!ipxe\necho there\nexit\n"})

    ran("chain http://a/s\necho here", host)

    assert host.said == ["there", "here"]
