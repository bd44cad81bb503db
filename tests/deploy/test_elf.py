"""Which libraries a program names, held against what the loader of this machine says."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.image import elf

PYTHON = Path(sys.executable).resolve()


def test_a_program_names_the_libraries_that_the_loader_looks_for():
    listed = subprocess.run(["ldd", PYTHON], capture_output=True, text=True, check=True).stdout
    known = {line.split()[0].rpartition("/")[2] for line in listed.splitlines()}

    needed = elf.needed(PYTHON.read_bytes())

    assert needed
    assert set(needed) <= known


def test_a_static_program_names_none():
    assert elf.needed(Path("/bin/busybox").read_bytes()) == []


def test_libraries_of_libraries_come_along_once():
    def library(name):
        assert name not in asked
        asked.append(name)
        return next(Path("/lib/x86_64-linux-gnu").glob(name)).read_bytes()

    asked = []
    found = elf.closure([Path("/bin/ls").read_bytes()] * 2, library)

    assert "libc.so.6" in found
    assert any(name.startswith("ld-linux") for name in found)


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(60)])
def test_what_is_no_program_is_refused(data):
    with pytest.raises(elf.NoProgram):
        elf.needed(data)
