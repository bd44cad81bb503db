"""/pxe-init run as the kernel would: in a root of its own, on a network of its own."""

import hashlib
import os
import subprocess
from pathlib import Path
from shutil import which

import pytest

from pxe_stack import overlay
from tests.pxe_stack.lab import until

pytestmark = pytest.mark.services

ISO = bytes(range(256)) * 4000
SERVER = "10.99.7.1"
APPLETS = ("sh", "cat", "ip", "mkdir", "modprobe", "mount", "mv", "printf", "rm", "sleep", "sort")
MORE = ("timeout", "udhcpc", "umount", "wc", "wget", "echo", "sha256sum", "ls", "test")
INIT = """#!/bin/sh
# What stands in for the installer's own init: it says what it was left with.
echo "handed $*"
sha256sum /proxmox.iso
ls /
"""


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def network():
    """Two namespaces with a cable between them: where the server is, and where the machine."""
    server, machine = (f"sprout-ov-{os.getpid()}-{side}" for side in "sm")
    spaces = []
    try:
        for space in (server, machine):
            ip("netns", "add", space)
            spaces.append(space)
        ip("-n", server, "link", "add", "s0", "type", "veth", "peer", "name", "m0")
        ip("-n", server, "link", "set", "m0", "netns", machine)
        ip("-n", server, "address", "add", f"{SERVER}/24", "dev", "s0")
        ip("-n", server, "link", "set", "s0", "up")
        ip("-n", server, "link", "set", "lo", "up")
        yield server, machine
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], check=False)


def mac_of(machine):
    words = ["ip", "netns", "exec", machine, "cat", "/sys/class/net/m0/address"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path):
    """The installer's initramfs: busybox, and an init."""
    made = tmp_path / "root"
    for folder in ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "var"):
        (made / folder).mkdir(parents=True)
    (made / "bin/busybox").write_bytes(Path(which("busybox")).read_bytes())
    (made / "bin/busybox").chmod(0o755)
    for name in (*APPLETS, *MORE):
        (made / "bin" / name).symlink_to("busybox")
    (made / "init").write_text(INIT)
    (made / "init").chmod(0o755)
    return made


def unpack(root, url, size, mac):
    words = ["cpio", "--extract", "--make-directories", "--quiet", "--format=newc"]
    subprocess.run(words, input=overlay.archive(url, size=size, mac=mac), cwd=root, check=True)


@pytest.fixture
def served(network, tmp_path):
    """A DHCP server and a web server beside the machine."""
    (folder := tmp_path / "www").mkdir()
    config = tmp_path / "udhcpd.conf"
    config.write_text(
        f"start 10.99.7.20\nend 10.99.7.30\ninterface s0\nlease_file {tmp_path}/leases\n"
        f"pidfile {tmp_path}/pid\noption subnet 255.255.255.0\noption router {SERVER}\n"
    )
    (tmp_path / "leases").touch()
    inside = ["ip", "netns", "exec", network[0], "busybox"]
    started = [
        subprocess.Popen([*inside, "udhcpd", "-f", str(config)], stderr=subprocess.DEVNULL),
        subprocess.Popen([*inside, "httpd", "-f", "-p", f"{SERVER}:80", "-h", str(folder)]),
    ]
    yield folder
    for each in started:
        each.kill()
        each.wait()


def booted(root, network, log):
    """Start what the kernel would start, with mounts of its own; what it says goes to *log*."""
    script = f"mount --make-rprivate / && exec chroot {root} /pxe-init quiet"
    words = ["ip", "netns", "exec", network[1], "unshare", "--mount", "sh", "-c", script]
    with log.open("wb") as console:
        return subprocess.Popen(words, stdout=console, stderr=subprocess.STDOUT)


@pytest.fixture
def boot(root, network, tmp_path):
    running = []
    log = tmp_path / "console"

    def start():
        running.append(booted(root, network, log))
        return running[0], log

    yield start
    for each in running:
        each.kill()
        each.wait()


def test_the_iso_is_fetched_and_the_installer_started_with_it(root, network, served, boot):
    (served / "proxmox.iso").write_bytes(ISO)
    unpack(root, f"http://{SERVER}/proxmox.iso", len(ISO), mac_of(network[1]))

    process, log = boot()

    assert process.wait(60) == 0, log.read_text()
    said = log.read_text()
    assert f"handed quiet\n{hashlib.sha256(ISO).hexdigest()}  /proxmox.iso" in said
    assert (root / "proxmox.iso").read_bytes() == ISO
    assert not (root / "pxe-init.conf").exists()


def test_an_iso_that_came_with_the_kernel_is_left_as_it_is_and_no_network_asked(
    root, network, boot
):
    unpack(root, f"http://{SERVER}/proxmox.iso", len(ISO), mac_of(network[1]))
    (root / "proxmox.iso").write_bytes(ISO)

    process, log = boot()

    assert process.wait(60) == 0, log.read_text()
    said = log.read_text()
    assert said.startswith("sprout: the ISO came with the kernel\nhanded quiet\n")
    assert hashlib.sha256(ISO).hexdigest() in said


def test_an_iso_that_is_not_there_yet_is_asked_for_until_it_is(root, network, served, boot):
    unpack(root, f"http://{SERVER}/proxmox.iso", len(ISO), mac_of(network[1]))
    hasten(root)
    process, log = boot()

    until(lambda: "the ISO is not here yet" in log.read_text())
    (served / "coming").write_bytes(ISO)
    (served / "coming").rename(served / "proxmox.iso")

    assert process.wait(60) == 0, log.read_text()
    assert (root / "proxmox.iso").read_bytes() == ISO


def test_what_came_before_a_cut_is_gone_on_with(root, network, served, boot):
    (served / "proxmox.iso").write_bytes(ISO)
    unpack(root, f"http://{SERVER}/proxmox.iso", len(ISO), mac_of(network[1]))
    (root / "proxmox.iso.part").write_bytes(ISO[:300_000])

    process, log = boot()

    assert process.wait(60) == 0, log.read_text()
    assert (root / "proxmox.iso").read_bytes() == ISO


def test_what_is_longer_than_the_iso_is_dropped_and_fetched_anew(root, network, served, boot):
    (served / "proxmox.iso").write_bytes(ISO)
    unpack(root, f"http://{SERVER}/proxmox.iso", len(ISO), mac_of(network[1]))
    (root / "proxmox.iso.part").write_bytes(ISO + b"more")
    hasten(root)

    process, log = boot()

    assert process.wait(60) == 0, log.read_text()
    assert (root / "proxmox.iso").read_bytes() == ISO


def test_a_card_that_is_not_there_is_named_with_those_that_are(root, network, served, boot):
    unpack(root, f"http://{SERVER}/proxmox.iso", len(ISO), "52:54:00:99:99:99")
    hasten(root)
    _, log = boot()

    until(lambda: "no address yet for the card 52:54:00:99:99:99" in log.read_text())
    assert f"m0={mac_of(network[1])}" in log.read_text()
    assert "handed" not in log.read_text()


def hasten(root):
    script = root / "pxe-init"
    script.write_text(script.read_text().replace("PAUSE=5", "PAUSE=0.2"))
