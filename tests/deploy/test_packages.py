import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy/packages.sh"


@pytest.fixture
def packages(tmp_path):
    """The script on a machine where nobody is root and only `installed` is there."""

    def call(rim, *sections, installed=()):
        known = " ".join(installed) or "nothing"
        query = f'for i in {known}; do [ "$i" != "${{@: -1}}" ] || printf installed; done'
        programs = {"id": "echo 1000", "dpkg-query": query}
        for name, line in programs.items():
            (tmp_path / name).write_text(f"#!/bin/bash\n{line}\n")
            (tmp_path / name).chmod(0o755)
        variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = [SCRIPT, rim, *sections]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    return call


def test_missing_packages_are_named_as_a_command_to_type(packages):
    result = packages("--or-say", "venv", "dev", installed=["postgresql"])

    assert result.returncode == 0
    assert result.stderr.splitlines()[-1].strip() == (
        "sudo apt-get install --no-install-recommends python3-venv rabbitmq-server"
    )


def test_tests_do_not_run_without_their_tools(packages):
    assert packages("--or-fail", "dev", installed=["postgresql"]).returncode == 1


def test_nothing_is_said_where_nothing_is_missing(packages):
    result = packages("--or-fail", "dev", installed=["postgresql", "rabbitmq-server"])

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
