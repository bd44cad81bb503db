"""The supervisor over real processes: order, death, patience, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from edge.cli.local import child, sweep
from edge.cli.local.child import DidNotStart
from edge.cli.local.folder import Folder
from edge.cli.local.process import Answering, Finished, Listening, LogLine, Process, Started
from edge.cli.local.supervisor import NotReady, Supervisor

pytestmark = pytest.mark.services


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(folder: Folder, said: list[str]):
    with Supervisor(folder, said.append) as running:
        yield running


def sh(name: str, script: str, **more) -> Process:
    return Process(name=name, argv=("sh", "-c", script), env=dict(os.environ), **more)


def eventually(holds, *, within_s: float = 60.0):
    """Return what *holds* returns once it is true: for effects in other processes."""
    until = time.monotonic() + within_s
    while not (result := holds()):
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)
    return result


def is_gone(pid: int) -> bool:
    return sweep.start_time(pid) is None


def test_a_process_waits_for_the_one_it_needs(supervisor, folder):
    sign = folder.path / "sign"
    supervisor.start(
        sh(
            "first",
            f"sleep 0.3; touch {sign}; echo here I am; exec sleep 60",
            ready=LogLine("here I am"),
        ),
        sh("second", f"test -e {sign} && exec sleep 60", needs=("first",)),
    )

    supervisor.wait_ready(timeout_s=60)

    assert set(supervisor.running()) == {"first", "second"}


@pytest.mark.parametrize("kind", ["listening", "answering"])
def test_a_server_is_ready_when_it_serves(supervisor, folder, kind):
    port = folder.port("web")
    ready = {"listening": Listening(port), "answering": Answering(f"http://127.0.0.1:{port}/")}
    argv = (sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    supervisor.start(Process(name="web", argv=argv, env=dict(os.environ), ready=ready[kind]))

    supervisor.wait_ready("web", timeout_s=60)

    assert supervisor.running()["web"] in {
        c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port
    }


def test_a_job_is_done_once_and_what_needs_it_follows(supervisor, folder):
    supervisor.start(
        sh("job", f"echo ran >> {folder.path}/runs", ready=Finished()),
        sh("after", "exec sleep 60", needs=("job",)),
    )

    supervisor.wait_ready(timeout_s=60)

    assert (folder.path / "runs").read_text() == "ran\n"
    assert set(supervisor.running()) == {"after"}


def test_a_job_that_fails_is_reported_with_its_last_lines_also_to_what_needs_it(supervisor):
    supervisor.start(
        sh("job", "echo the table is broken; exit 3", ready=Finished()),
        sh("after", "exec sleep 60", needs=("job",)),
    )

    with pytest.raises(DidNotStart, match=r"job did not start: exit 3\n  \| the table is broken"):
        supervisor.wait_ready("after", timeout_s=60)


def test_what_dies_is_started_again(supervisor, said):
    supervisor.start(sh("server", "exec sleep 60"))
    supervisor.wait_ready(timeout_s=60)
    first = supervisor.running()["server"]

    os.kill(first, signal.SIGKILL)

    eventually(lambda: supervisor.running().get("server", first) != first)
    assert said == ["server ended (SIGKILL); it is started again in 0.2 s"]


def test_what_dies_again_and_again_shows_its_last_lines(supervisor, said, monkeypatch):
    monkeypatch.setattr(child, "PAUSES_S", (0.01,))
    supervisor.start(sh("server", "echo no room left; exit 1"))

    eventually(lambda: "  | no room left" in said)

    assert said[:2] == ["server ended (exit 1); it is started again in 0.01 s"] * 2


def test_what_never_comes_up_is_given_up_with_its_last_lines(supervisor, monkeypatch):
    monkeypatch.setattr(child, "PAUSES_S", (0.01,))
    supervisor.start(sh("server", "echo port in use; exit 1", ready=LogLine("ready")))

    with pytest.raises(DidNotStart, match="port in use"):
        supervisor.wait_ready(timeout_s=60)


def test_a_program_that_does_not_exist_is_named(supervisor, monkeypatch):
    monkeypatch.setattr(child, "PAUSES_S", (0.01,))
    argv = ("/no/such/program",)
    supervisor.start(
        Process(name="ghost", argv=argv, env=dict(os.environ), ready=LogLine("up now"))
    )

    with pytest.raises(DidNotStart, match="/no/such/program"):
        supervisor.wait_ready(timeout_s=60)


def test_who_is_late_is_named(supervisor):
    supervisor.start(
        sh("slow", "exec sleep 60", ready=LogLine("never said")), sh("quick", "exec sleep 60")
    )
    supervisor.wait_ready("quick", timeout_s=60)

    with pytest.raises(NotReady, match=r"not up after 0\.3 s: slow;"):
        supervisor.wait_ready(timeout_s=0.3)


def test_the_last_started_is_stopped_first_and_each_may_end_in_order(folder, said):
    script = "trap 'echo {0} >> {1}/order; exit' TERM; echo up; while :; do sleep 0.05; done"
    with Supervisor(folder, said.append) as supervisor:
        supervisor.start(
            sh("below", script.format("below", folder.path), ready=LogLine("up")),
            sh("above", script.format("above", folder.path), ready=LogLine("up"), needs=("below",)),
        )
        supervisor.wait_ready(timeout_s=60)

    assert (folder.path / "order").read_text().split() == ["above", "below"]
    assert said == []


def test_who_does_not_listen_is_killed_when_its_time_is_over(folder, said):
    with Supervisor(folder, said.append) as supervisor:
        deaf = sh(
            "deaf",
            "trap '' TERM; echo up; while :; do sleep 60; done",
            ready=LogLine("up"),
            stop_s=0.3,
        )
        supervisor.start(deaf)
        supervisor.wait_ready(timeout_s=60)
        pid = supervisor.running()["deaf"]

    assert is_gone(pid)


def test_a_grandchild_that_left_the_group_ends_too(folder, said):
    with Supervisor(folder, said.append) as supervisor:
        supervisor.start(
            sh("parent", "setsid sleep 61 & echo $!; exec sleep 60", ready=LogLine("\n"))
        )
        supervisor.wait_ready(timeout_s=60)
        grandchild = int((folder.logs / "parent.log").read_text())
        assert not is_gone(grandchild)

    assert is_gone(grandchild)


def test_children_die_with_a_supervisor_that_is_killed(folder):
    script = (
        "import os, sys, signal; from pathlib import Path\n"
        "from edge.cli.local.folder import Folder; from edge.cli.local.process import *\n"
        "from edge.cli.local.supervisor import Supervisor\n"
        "with Supervisor(Folder(Path(sys.argv[1])), print) as s:\n"
        "    s.start(Process(name='c', argv=('sleep', '60'), env=dict(os.environ)))\n"
        "    s.wait_ready(timeout_s=60); print(s.running()['c'], flush=True); signal.pause()\n"
    )
    argv = (sys.executable, "-c", script, str(folder.path))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as killed:
        child_pid = int(killed.stdout.readline())
        killed.kill()

    eventually(lambda: is_gone(child_pid))


def test_the_next_start_ends_what_a_killed_one_left(folder):
    with subprocess.Popen(
        ("sh", "-c", "trap '' TERM; echo; sleep 60; :"), stdout=subprocess.PIPE
    ) as left:
        left.stdout.readline()
        entry = sweep.Entry("left", left.pid, sweep.start_time(left.pid), signal.SIGTERM)
        sweep.record(folder.roster, [entry])

        ended = sweep.sweep(folder.roster, folder.path, patience_s=0.2)

        assert (ended, left.wait(timeout=60)) == (["left"], -signal.SIGKILL)
    assert not folder.roster.exists()


def test_a_stranger_with_a_reused_pid_is_left_alone(folder):
    with subprocess.Popen(("sleep", "60")) as stranger:
        earlier = sweep.start_time(stranger.pid) - 1
        sweep.record(folder.roster, [sweep.Entry("ours", stranger.pid, earlier, signal.SIGTERM)])

        ended = sweep.sweep(folder.roster, folder.path)

        assert (ended, stranger.poll()) == ([], None)
        stranger.kill()


def test_a_roster_of_before_the_last_boot_names_nobody(folder, monkeypatch):
    with subprocess.Popen(("sleep", "60")) as stranger:
        monkeypatch.setattr(sweep, "_boot", lambda: "an earlier boot")
        entry = sweep.Entry("ours", stranger.pid, sweep.start_time(stranger.pid), signal.SIGTERM)
        sweep.record(folder.roster, [entry])
        monkeypatch.undo()

        assert sweep.sweep(folder.roster, folder.path) == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_log_that_has_grown_is_set_aside_at_the_next_start(supervisor, folder, monkeypatch):
    monkeypatch.setattr(child, "_LOG_BYTES", 10)
    (folder.logs / "talker.log").write_text("from an earlier start\n")
    supervisor.start(sh("talker", "echo now; exec sleep 60", ready=LogLine("now")))

    supervisor.wait_ready(timeout_s=60)

    assert (folder.logs / "talker.log").read_text() == "now\n"
    assert (folder.logs / "talker.log.1").read_text() == "from an earlier start\n"


def test_an_old_line_of_the_log_does_not_count_as_ready(supervisor, folder):
    (folder.logs / "server.log").write_text("ready\n")
    supervisor.start(sh("server", "exec sleep 60", ready=LogLine("ready")))

    with pytest.raises(NotReady):
        supervisor.wait_ready(timeout_s=0.3)


def test_what_is_started_knows_nothing_of_the_keyboard(supervisor):
    supervisor.start(sh("server", "exec sleep 60", ready=Started()))
    supervisor.wait_ready(timeout_s=60)

    pid = supervisor.running()["server"]

    assert os.getsid(pid) == pid
