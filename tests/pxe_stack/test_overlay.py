"""The archive that fetches an installer's ISO from Linux: unpacked and run as a machine does."""

import subprocess

import pytest

from pxe_stack import overlay

URL = "http://10.77.0.1:8081/boot/run/token/proxmox.iso"
MAC = "52:54:00:00:00:01"


@pytest.fixture
def unpacked(tmp_path):
    archive = overlay.archive(URL, size=123, mac=MAC)
    words = ["cpio", "--extract", "--make-directories", "--quiet", "--format=newc"]
    subprocess.run(words, input=archive, cwd=tmp_path, check=True)
    return tmp_path


def test_cpio_unpacks_what_the_kernel_starts_and_what_that_is_told(unpacked):
    modes = {each.name: each.stat().st_mode & 0o777 for each in unpacked.iterdir()}

    assert modes == {"pxe-init": 0o755, "pxe-udhcpc": 0o755, "pxe-init.conf": 0o600}
    assert (unpacked / "pxe-init.conf").read_text() == f"{URL}\n123\n{MAC}\n"
    assert (unpacked / "pxe-init").read_text().startswith("#!/bin/sh\n")
    assert overlay.KERNEL_ARGUMENT == "rdinit=/pxe-init"


def test_the_same_run_is_given_the_same_archive_and_it_is_small():
    first, second = (overlay.archive(URL, size=123, mac=MAC) for _ in range(2))

    assert first == second
    assert len(first) < 16 * 1024
    assert len(first) % 4 == 0


@pytest.mark.parametrize("name", ["pxe-init", "pxe-udhcpc"])
def test_what_runs_as_root_on_a_machine_passes_shellcheck(unpacked, name):
    done = subprocess.run(
        ["shellcheck", "--shell=dash", name],
        cwd=unpacked,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "")
