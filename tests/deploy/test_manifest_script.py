"""Which manifests the deploy system acts on, and which it would rather not guess at."""

import subprocess
from pathlib import Path

import pytest

from deploy.image import initramfs

SCRIPT = Path(initramfs.__file__).parent / "initramfs/manifest.sh"
URL = "http://10.77.0.1/boot/run/token/manifest"
# What the system has around it.
AROUND = """
WORK=$1
callback=
try() { shift; "$@"; }
fetch() { cp "$WORK/served" "$2"; }
fail() { echo "$1"; exit 1; }
"""
ENDS = '\nread_manifest "$2"\necho "$task $want_disks"\n'
WIPE = {"version": "1", "task": "wipe", "disks": "root", "disk-serial": "S5", "callback": URL}


@pytest.fixture
def read(tmp_path):
    """Return the exit status that a manifest of *lines* leads to, and what is said of it."""

    def reader(lines: dict[str, str]) -> tuple[int, str]:
        text = "".join(f"{key} {value}\n" for key, value in lines.items())
        (tmp_path / "served").write_text(text)
        script = AROUND + SCRIPT.read_text() + ENDS
        words = ["dash", "-c", script, "manifest", str(tmp_path), URL]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    return reader


@pytest.mark.parametrize("disks", ["root", "all"])
def test_a_wipe_takes_the_disks_that_its_manifest_names(read, disks):
    assert read(WIPE | {"disks": disks}) == (0, f"wipe {disks}")


def test_a_wipe_whose_manifest_names_no_disks_takes_none_of_them(read):
    cut = {key: value for key, value in WIPE.items() if key != "disks"}

    assert read(cut) == (1, "disks is '', neither all nor root")


def test_a_wipe_of_the_root_disk_that_nothing_identifies_is_refused(read):
    nameless = {key: value for key, value in WIPE.items() if key != "disk-serial"}

    assert read(nameless) == (1, "the manifest identifies no root disk")
