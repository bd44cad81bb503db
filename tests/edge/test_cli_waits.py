"""The command line waits: for states, ends and approvals, and shows how it goes."""

import json
import os
import pty
import subprocess
import sys
import time

import pytest

from edge.cli import follow
from edge.cli.client import Told
from tests.edge.test_cli import RUN, asked, inventory, served, sprout

__all__ = ["asked", "inventory", "served", "sprout"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1h30m", 5400), ("2d", 172_800), ("0.5m", 30), ("0s", 0)],
)
def test_a_duration_is_read(text, seconds):
    assert follow.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1s", "1 h", "1w", "soon", "1h30x", "\u0663s", "1e9s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(Told, match="no duration"):
        follow.seconds(text)


def flow(*states, state="running", **more):
    steps = [
        {"name": f"step-{n}", "state": each, "party": "the site's agent", "deadlineS": 60}
        | {"expects": "power off"}
        for n, each in enumerate(states)
    ]
    return {"kind": "reboot", "state": state, "steps": steps} | more


def test_each_change_of_a_step_is_a_line():
    before = {"step-0": "running", "": "running"}

    lines = list(follow.changes(before, flow("done", "running", "pending")))

    assert lines == [
        "step-0  done",
        "step-1  waits for the site's agent: power off (at most 60 s)",
    ]
    assert list(follow.changes({}, flow("failed", state="failed")))[-1] == "reboot failed"


def test_the_picture_marks_each_step_and_counts_at_the_one_that_runs():
    first, *steps = follow.picture(flow("done", "running", "pending"), 7.4, 12.0)

    assert first == "reboot  running  12 s"
    assert [line.split()[1] for line in steps] == ["step-0", "step-1", "step-2"]
    assert "7 s, waits for" in steps[1]
    assert len({line.split()[0] for line in steps}) == 3


@pytest.mark.services
def test_a_machine_that_is_not_there_in_time_is_status_6_and_says_what_it_waits_for(sprout, asked):
    sprout("machines", "commission", asked)

    done = sprout("wait", "machine", asked, "--state", "active,available", "--deadline", "0s")

    assert (done.returncode, done.stdout) == (6, "")
    assert f"{asked} waits for" in done.stderr
    assert "active or available: not within 0 s" in done.stderr


@pytest.mark.services
def test_a_machine_that_failed_instead_is_status_1(sprout, asked):
    work = sprout("machines", "commission", asked).stdout.strip()
    sprout("workflows", "cancel", work, "--reason", "wrong one")

    lost = sprout("wait", "machine", asked, "--state", "active", "--deadline", "10m")
    found = sprout("wait", "machine", asked, "--state", "failed")
    ended = sprout("wait", "workflow", work)

    assert (lost.returncode, lost.stdout) == (1, "")
    assert (found.returncode, found.stdout.strip()) == (0, "failed")
    assert ended.returncode == 1
    assert "wrong one" in ended.stderr


@pytest.mark.services
@pytest.mark.parametrize(("decision", "status"), [("approved", 0), ("denied", 1)])
def test_an_approval_is_waited_for(sprout, asked, decision, status, tmp_path):
    words = ("wait", "approval", "--machine-id", asked, "--action", "reboot", "--deadline", "10m")
    with begun(sprout, *words, home=tmp_path) as waiting:
        assert "waiting for a word on reboot" in waiting.stderr.readline()
        assert f"--machine-id {asked}" in waiting.stderr.readline()
        given = ("--action", "reboot", "--decision", decision, "--reason", "so be it")
        made = sprout("approvals", "create", "--machine-id", asked, *given)
        out, err = waiting.communicate(timeout=100)

    assert waiting.returncode == status, err
    assert (out == made.stdout) is (decision == "approved")
    assert ("so be it" in err) is (decision == "denied")


@pytest.mark.services
def test_a_workflow_is_watched_line_by_line_by_its_machine_s_name(sprout, asked, tmp_path):
    work = sprout("machines", "commission", asked).stdout.strip()
    with begun(sprout, "workflows", "watch", asked, home=tmp_path) as watching:
        assert "waits for" in watching.stderr.readline()
        sprout("workflows", "cancel", work, "--reason", "wrong one")
        out, err = watching.communicate(timeout=100)

    assert (watching.returncode, out) == (1, "")
    assert "commission cancelled" in err
    assert "\x1b" not in err


@pytest.mark.services
def test_a_terminal_shows_a_workflow_in_place(sprout, asked, tmp_path):
    work = sprout("machines", "commission", asked).stdout.strip()
    ours, theirs = pty.openpty()
    more = {
        "stderr": theirs,
        "home": tmp_path,
        "env": {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
    }
    with begun(sprout, "workflows", "watch", work, **more) as watching:
        os.close(theirs)
        seen = read(ours, lambda text: text.count("\x1b[J") > 1)
        sprout("workflows", "cancel", work, "--reason", "wrong one")
        seen += read(ours, lambda text: False)

    os.close(ours)
    assert watching.returncode == 1
    assert "● " in seen
    assert "F\x1b[J" in seen
    assert "commission  cancelled" in seen


def read(terminal, enough):
    """Return what was written until it is *enough*, or the other side is closed."""
    text = ""
    while not enough(text):
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux says EIO when the last writer is gone.
            return text
        if not piece:
            return text
        text += piece.decode()
    return text


def begun(sprout, *words, home, env=None, stderr=subprocess.PIPE):
    """Start a command beside the test."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *words],
        env=sprout.given | {"HOME": str(home)} | (env or {}),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def test_an_api_that_is_away_is_waited_for_until_the_deadline(tmp_path):
    given = {"SPROUT_API_URL": "http://127.0.0.1:1", "HOME": str(tmp_path), "SPROUT_API_TOKEN": "t"}
    words = ("wait", "machine", "node-01", "--state", "active", "--deadline", "1s")
    began = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 6, done.stderr
    assert time.monotonic() - began >= 1
    assert done.stderr.count("cannot reach") == 1


@pytest.mark.services
def test_a_verb_gives_programs_its_workflow(sprout, asked):
    done = sprout("machines", "commission", asked, "-o", "json")

    assert json.loads(done.stdout)["state"] == "running"
