"""Real services and a real machine, and a process that dies in the middle of it."""

import os
import signal

import pytest

from tests.flows.stage import LIMIT_S, Running, prepared

pytestmark = pytest.mark.machines


@pytest.fixture
def running(tmp_path, image_cache):
    started = Running(prepared(tmp_path, image_cache), once=True)
    yield started
    started.stop()


@pytest.mark.timeout(LIMIT_S * 2)
def test_control_that_is_killed_while_a_machine_installs_costs_nothing(running):
    running.until(lambda machine: machine["phase"] == "installing")
    os.kill(running.pid("control"), signal.SIGKILL)

    status = running.ended_itself()

    starts = (running.data / "log" / "control.log").read_text().count('"control.started"')
    assert status == 0, running.told.read_text()
    assert starts == 2
    assert "all machines are active" in running.told.read_text()
