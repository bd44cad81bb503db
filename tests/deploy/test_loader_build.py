"""The script that builds loaders: what it says, and what it refuses before it runs anything."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from pxe_stack import firmware

FOLDER = Path(__file__).parents[2] / "deploy" / "loaders"
BUILD = FOLDER / "build.sh"


def rows():
    lines = (FOLDER / "loaders.txt").read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def run(*words, **env):
    return subprocess.run(
        [str(BUILD), *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_every_loader_that_is_built_is_one_that_is_served():
    assert {name for name, _, _ in rows()} <= firmware.LOADERS.keys()
    assert all(re.fullmatch(r"bin[a-z0-9_-]*/[a-z]+\.[a-z]+", target) for _, target, _ in rows())


def test_sources_are_pinned_by_commit_and_checksum():
    text = BUILD.read_text()

    assert re.search(r"^readonly COMMIT=[0-9a-f]{40}\b", text, re.MULTILINE)
    assert re.search(r"^readonly SHA256=[0-9a-f]{64}\b", text, re.MULTILINE)


@pytest.mark.services
def test_the_script_has_no_fault_that_shellcheck_knows():
    done = subprocess.run(["shellcheck", str(BUILD)], capture_output=True, text=True, check=False)

    assert done.stdout == ""
    assert done.returncode == 0


@pytest.mark.services
def test_other_sources_than_the_pinned_are_refused(tmp_path):
    other = tmp_path / "other"
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(other))
    subprocess.run(["git", "init", "--quiet", str(other)], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)

    done = run(str(tmp_path / "made"), IPXE_SOURCE=f"file://{other}")

    assert done.returncode == 1
    assert "does not give" in done.stderr
    assert list((tmp_path / "made").iterdir()) == []


def test_without_a_folder_it_says_how_it_is_used():
    done = run()

    assert done.returncode == 1
    assert "usage:" in done.stderr
