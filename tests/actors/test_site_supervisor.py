"""The supervisor in a process of its own, whose children write their ids into a folder."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actors.site import supervisor
from tests.actors.lane import until
from tests.services.changes import awaited

PAUSES = re.compile(".*?".join([r"again_s=([\d.]+)\b"] * 4), re.DOTALL)

PROGRAM = """
import os, sys, time, threading
from pathlib import Path
from actors.site.supervisor import Child, run

folder = Path(sys.argv[1])

def steady():
    (folder / f"steady.{os.getpid()}").touch()
    threading.Event().wait()

def deaf():
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    steady()

def broken():
    (folder / f"broken.{time.monotonic()}").touch()
    raise RuntimeError("as the test wants")

def last():
    sys.exit(3)

LIVES = {"last": last, "steady": steady, "deaf": deaf, "broken": broken}
sys.exit(run([Child(name, LIVES[name]) for name in sys.argv[2:]]))
"""


@pytest.fixture
def start(tmp_path):
    started = []

    def starting(*names):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), *names]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path.cwd())
        started.append(process)
        return process

    yield starting
    for process in started:
        process.kill()
        process.wait()


def pids(folder, name="steady"):
    return {int(path.name.partition(".")[2]) for path in folder.glob(f"{name}.*")}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_that_dies_is_started_again(start, tmp_path):
    start("steady")
    until(lambda: pids(tmp_path))
    [first] = pids(tmp_path)

    os.kill(first, signal.SIGKILL)

    until(lambda: len(pids(tmp_path)) == 2)


def test_the_death_of_one_leaves_the_others_alone(start, tmp_path):
    start("steady", "broken")

    until(lambda: len(list(tmp_path.glob("broken.*"))) > 2)

    assert len(pids(tmp_path)) == 1


def test_a_child_that_always_dies_is_started_ever_more_seldom(start, tmp_path):
    start("broken")

    pauses = awaited(tmp_path, lambda: PAUSES.search((tmp_path / "log").read_text()))

    assert pauses.groups() == ("0.2", "0.4", "0.8", "1.6")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_end_with_the_supervisor(start, tmp_path, number):
    process = start("steady", "steady")
    until(lambda: len(pids(tmp_path)) == 2)

    process.send_signal(number)

    assert process.wait(60) == 0
    assert not any(alive(pid) for pid in pids(tmp_path))


def test_nothing_outlives_a_killed_supervisor(start, tmp_path):
    process = start("steady", "deaf")
    until(lambda: len(pids(tmp_path)) == 2)

    process.kill()
    process.wait()

    until(lambda: not any(alive(pid) for pid in pids(tmp_path)))


def test_a_child_that_does_not_end_is_ended(monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor, "GRACE_S", 0.3)

    code = in_a_fork(supervised_and_stopped, tmp_path)

    assert code == 0
    assert not any(alive(pid) for pid in pids(tmp_path, "deaf"))


def supervised_and_stopped(folder):
    def deaf():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / f"deaf.{os.getpid()}").touch()
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()

    return supervisor.run([supervisor.Child("deaf", deaf)])


def in_a_fork(life, *args):
    """Return what *life* returns in a process of its own."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = life(*args)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_that_knows_that_nothing_may_serve_takes_all_with_it(start, tmp_path):
    site = start("steady", "deaf", "last")

    assert site.wait(60) == supervisor.ENDS_ALL
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids(tmp_path))
