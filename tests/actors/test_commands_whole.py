"""Remote tasks from the API to a real sshd: edge, control, broker and site as processes."""

import hashlib
import json
import signal

import pytest

from actors.site.said import INLINE, KEPT
from models import ssh_access
from models.database import borrowed
from models.tables import Machine
from tests.actors import ssh_whole
from tests.actors.lane import until
from tests.actors.ssh_whole import processes
from tests.conftest import copied
from tests.services import sshd

pytestmark = pytest.mark.services

POLICY = """
version: 1
remote-tasks:
  reads: [uptime, ls <path>, sleep <count>, cat <path>, head -c 100000000 /dev/zero, {again} <path>]
  changes: [{append} <path>]
"""
APPEND = """#!/bin/sh
echo once >>"$1"
exec sleep 3600.5
"""
AGAIN = """#!/bin/sh
echo once >>"$1"
[ "$(wc -l <"$1")" -gt 1 ] || exec sleep 3600.25
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("whole")
    programs = {"append": APPEND, "again": AGAIN}
    for name, text in programs.items():
        (made / name).write_text(text)
        (made / name).chmod(0o755)
    named = {name: made / name for name in programs}
    (made / "policy.yaml").write_text(POLICY.format(**named))
    return made


@pytest.fixture(scope="module")
def whole(folder, postgres, migrated, rabbitmq_server):
    with (
        copied(postgres, migrated) as database_url,
        ssh_whole.running(folder, database_url, rabbitmq_server.url, 2) as running,
    ):
        yield running


def test_what_a_command_says_is_told_and_kept_with_what_proves_where_it_ran(whole):
    flow = whole.ask("uptime", reason="see that it is up")

    assert whole.ended(flow)["state"] == "succeeded", whole.flow(flow)
    pieces = whole.evidence(flow, count=2)
    item, text = pieces["remote-task-stdout.txt"]
    record = json.loads(pieces["remote-task-record.json"][1])
    assert b"load average" in text
    assert whole.said(flow).encode() == text
    assert item["sha256"] == hashlib.sha256(text).hexdigest()
    assert (record["argv"], record["exit"], record["user"]) == (["uptime"], 0, "root")
    assert record["host_key"] in map(ssh_access.fingerprint, whole.host.keys.values())
    assert f"serial {record['certificate']}" in whole.host.log()


def test_a_person_follows_it_on_the_command_line_and_sees_whom_machines_trust(whole):
    words = ("machines", "remote-task", "node-000", "--command", "uptime", "--follow")

    done = whole.sprout(*words)
    trusted = whole.sprout("sites", "ssh-ca", "lab", "--machine", "node-000")

    assert (done.returncode, "load average" in done.stdout) == (0, True), done.stderr
    assert trusted.stdout in (whole.host.folder / "authorized_keys").read_text()
    failed = whole.sprout(*words[:4], "ls /no/such/folder", "--follow")
    assert (failed.returncode, "No such file" in failed.stderr) == (1, True)


def test_a_command_that_fails_ends_its_workflow_with_its_status_and_keeps_what_it_said(whole):
    flow = whole.ask("ls /no/such/folder")

    ended = whole.ended(flow)
    assert (ended["state"], ended["detail"]) == ("failed", "command-run: ls ended with status 2")
    assert b"No such file" in whole.evidence(flow, count=2)["remote-task-stderr.txt"][1]


def test_a_secret_that_a_command_says_is_kept_nowhere(whole, folder):
    (folder / "leak").write_text("user=app\npassword=hunter2-of-the-host\n")

    flow = whole.ask(f"cat {folder}/leak")
    assert whole.ended(flow)["state"] == "succeeded"

    kept = [content for _, content in whole.evidence(flow, count=2).values()]
    log = whole.call("GET", f"/v1/workflows/{flow}/events?limit=500").text
    everything = b"".join(kept).decode() + log + whole.said(flow)
    assert "user=app" in everything
    assert "hunter2" not in everything


@pytest.mark.parametrize(
    ("command", "status", "pointer"),
    [
        ("reboot", 403, "/command"),
        ("uptime; reboot", 403, "/command"),
        ("ls /etc/../root", 403, "/command"),
        ("ls 'unclosed", 422, "/command"),
        ("", 422, "/command"),
        ("uptime\u202e", 422, "/command"),
        ("x" * 100_000, 422, "/command"),
    ],
)
def test_what_is_not_on_the_list_is_refused_with_field_and_cure(whole, command, status, pointer):
    path = f"/v1/machines/{whole.machines[0]}/remote-task"

    answer = whole.call("POST", path, {"command": command})

    assert answer.status_code == status, answer.text
    (fault,) = answer.json()["errors"]
    assert (fault["pointer"], bool(fault.get("hint") or fault["detail"])) == (pointer, True)


def test_more_than_is_kept_is_counted_and_the_rest_is_there(whole):
    flow = whole.ask("head -c 100000000 /dev/zero")

    assert whole.ended(flow)["state"] == "succeeded"
    pieces = whole.evidence(flow, count=2)
    told = json.loads(pieces["remote-task-record.json"][1])["stdout"]
    _, text = pieces["remote-task-stdout.txt"]
    assert (told["bytes"], told["dropped"]) == (100_000_000, 100_000_000 - KEPT)
    assert text.endswith(b"89514240 more bytes, dropped ...]\n")
    assert len(text.decode()) - KEPT < 100
    assert len(whole.said(flow)) <= INLINE + 100


def test_a_machine_that_does_not_trust_the_site_fails_it_with_the_cure(whole):
    trusted = (whole.host.folder / "authorized_keys").read_text().splitlines()
    whole.host.lets_in()

    ended = whole.ended(whole.ask("uptime"))

    whole.host.lets_in(*trusted)
    assert ended["state"] == "failed"
    assert "sprout sites ssh-ca SITE --machine MACHINE" in ended["detail"]


def test_a_changed_host_key_fails_it_with_both_fingerprints(whole, tmp_path):
    other = sshd.new_key(tmp_path / "other")
    with borrowed():
        Machine.update(ssh_host_keys=[other]).where(Machine.id == whole.machines[1]).execute()

    ended = whole.ended(whole.ask("uptime", 1))

    assert ended["state"] == "failed"
    assert ssh_access.fingerprint(other) in ended["detail"]
    assert ssh_access.fingerprint(whole.host.keys["ed25519"]) in ended["detail"]


def test_a_cancelled_command_is_dead_on_the_machine(whole):
    flow = whole.ask("sleep 3601")
    until(lambda: processes("3601"))

    whole.call("POST", f"/v1/workflows/{flow}/cancel", {"reason": "enough"})

    assert whole.ended(flow)["state"] == "cancelled"
    until(lambda: not processes("3601"))


def test_a_command_that_takes_too_long_is_ended_and_says_so(whole):
    ended = whole.ended(whole.ask("sleep 3602", timeLimitS=1), seconds=60)

    assert ended["state"] == "failed"
    assert "took too long; it was stopped" in ended["detail"]
    assert not processes("3602")


def test_an_agent_killed_in_the_middle_leaves_nothing_running_and_repeats_nothing(whole, folder):
    marks = folder / "marks"
    flow = whole.ask(f"{folder}/append {marks}")
    until(marks.exists)

    whole.site.end(signal.SIGKILL)
    until(lambda: not processes("3600.5"))
    whole.site.start(NETNS=whole.netns)

    ended = whole.ended(flow, seconds=60)
    assert ended["state"] == "failed"
    assert "nobody knows whether it was run" in ended["detail"]
    assert marks.read_text() == "once\n"


def test_what_only_reads_is_run_again_by_an_agent_that_was_killed_in_the_middle(whole, folder):
    marks = folder / "marks-again"
    flow = whole.ask(f"{folder}/again {marks}")
    until(marks.exists)

    whole.site.end(signal.SIGKILL)
    whole.site.start(NETNS=whole.netns)

    assert whole.ended(flow, seconds=60)["state"] == "succeeded"
    assert marks.read_text() == "once\nonce\n"
