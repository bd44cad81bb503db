"""What a run is worth whose tests had to be tried twice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.second_tries import MOST

ROOT = Path(__file__).parents[1]
SHAKY = """
from pathlib import Path

import pytest


@pytest.mark.parametrize("one", range({tests}))
def test_shaky(one, request):
    seen = Path(__file__).with_name(f"seen-{{one}}")
    times = len(seen.read_text()) if seen.exists() else 0
    seen.write_text("x" * (times + 1))
    assert times >= {failures}
"""


@pytest.fixture
def run(tmp_path):
    """Run *tests* tests, each of which fails *failures* times first; return (status, text)."""

    def runner(*, tests: int, failures: int) -> tuple[int, str]:
        (tmp_path / "test_shaky.py").write_text(SHAKY.format(tests=tests, failures=failures))
        words = ["-p", "tests.second_tries", "-p", "no:cacheprovider", "-p", "pytest_rerunfailures"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words, "--reruns=1", "--rootdir", tmp_path, tmp_path],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return runner


def test_a_test_that_passes_at_its_second_try_is_named_and_does_not_fail_the_run(run):
    status, told = run(tests=1, failures=1)

    assert status == 0
    assert f"tried a second time: 1 of at most {MOST}" in told
    assert "test_shaky.py::test_shaky[0]" in told


def test_a_test_that_fails_twice_fails_the_run(run):
    status, _ = run(tests=1, failures=2)

    assert status == 1


def test_a_run_where_more_than_a_few_were_tried_twice_fails(run):
    status, told = run(tests=MOST + 1, failures=1)

    assert status == 1
    assert f"tried a second time: {MOST + 1} of at most {MOST}" in told


def test_a_run_where_nothing_was_tried_twice_says_nothing_of_it(run):
    status, told = run(tests=1, failures=0)

    assert status == 0
    assert "a second time" not in told
