"""Sync jobs carried on by agents: one task at a time, resumed, given to another, and given up."""

from datetime import UTC, datetime, timedelta

import pytest

from models import keeping
from models.commands import jobs, reports, syncs
from models.commands.syncs import BACKOFF_S, TRIES
from models.errors import IllegalTransition, Invalid
from models.job_views import WAITS_FOR, Mode
from models.messages import Kind
from models.observations import Seen
from models.tables import Image, SyncJob, Task
from tests.models import make

pytestmark = pytest.mark.services

SHAS = ["0" * 64, "1" * 64, "2" * 64]
COUNTS = {"files_done": 1, "files_total": 3, "bytes_done": 10, "bytes_total": 30}


@pytest.fixture
def site(db):
    made = make.site()
    make.image()
    return made


@pytest.fixture
def agent(site):
    return make.Agent(site, ["http", "sync"])


def asked(site, mode=Mode.PRESEED):
    return jobs.create_sync(
        make.ADA, site_id=site, artifact_ref="a-debian-12", mode=mode, reason="rack 4"
    )


def look(job):
    """Let the time come at which *job* is looked at, unless it is with an agent."""
    if SyncJob.get_by_id(job).task_id is not None:
        return jobs.sync_job(job)
    past = datetime.now(UTC) - timedelta(seconds=1)
    SyncJob.update(wake_at=past).where(SyncJob.id == job).execute()
    assert job in syncs.due()
    syncs.look(job)
    return jobs.sync_job(job)


def task(job):
    return Task.select().where(Task.sync_job_id == job).order_by(Task.epoch.desc()).get()


def says(agent, job, kind, **data):
    return agent.report(kind, job, data={"task": str(task(job).id), **data})


def test_a_job_becomes_a_task_of_a_live_agent_that_can_do_it(site):
    make.Agent(site, ["http", "redfish"])
    able = make.Agent(site, ["http", "sync"])
    job = asked(site)

    view = look(job)

    assert (view.state, view.agent_id, view.detail) == ("running", able.id, "handed to boot-01")
    [told] = able.heard(Kind.TASK)
    assert (told["kind"], told["epoch"], told["machine"]) == ("sync", 1, str(job))
    files = told["params"]["files"]
    assert [(each["path"], each["sha256"], each["size"]) for each in files] == [
        ("debian/disk.raw", SHAS[2], 1 << 30),
        ("debian/initrd.img", SHAS[1], 0),
        ("debian/vmlinuz", SHAS[0], 0),
    ]
    assert set(told["params"]["blobs"]) == set(SHAS)


def test_no_task_keeps_the_links_which_are_rights(site, agent):
    job = asked(site)
    look(job)

    assert task(job).params == {"mode": "preseed"}


def test_a_job_waits_while_no_agent_can_do_it(site):
    make.Agent(site, ["http", "redfish"])
    job = asked(site)

    view = look(job)

    assert (view.state, view.detail) == ("waiting", f"waiting for {WAITS_FOR[Mode.PRESEED]}")
    assert not Task.select().exists()


def test_progress_is_counted_and_the_end_is_kept(site, agent):
    job = asked(site)
    look(job)

    says(agent, job, Seen.TASK_STARTED)
    says(agent, job, Seen.TASK_PROGRESS, doing="fetching debian/disk.raw", counts=COUNTS)
    view = jobs.sync_job(job)
    assert (view.files_done, view.files_total, view.bytes_done, view.bytes_total) == (1, 3, 10, 30)
    assert view.detail == "fetching debian/disk.raw"
    found = {"path": "debian/disk.raw", "what": "fetched", "detail": "20 bytes"}
    counts = COUNTS | {"files_done": 3, "bytes_done": 30}
    says(agent, job, Seen.TASK_DONE, result={"counts": counts, "findings": [found], "told": "ok"})

    view = jobs.sync_job(job)
    assert (view.state, view.detail, view.files_done) == ("succeeded", "ok", 3)
    assert (view.findings, view.finished_at is not None) == ([found], True)


def test_files_that_can_never_be_had_fail_the_job_with_their_words(site, agent):
    job = asked(site)
    look(job)

    says(agent, job, Seen.TASK_DONE, result={"told": "1 of 3 files cannot be had", "failed": True})

    view = jobs.sync_job(job)
    assert (view.state, view.detail) == ("failed", "1 of 3 files cannot be had")


def test_a_failure_that_may_pass_is_tried_again_under_a_higher_epoch(site, agent):
    job = asked(site)
    look(job)

    says(agent, job, Seen.TASK_FAILED, reason="no answer", retryable=True)
    view = jobs.sync_job(job)
    assert (view.state, view.detail, view.attempt) == ("running", "no answer", 1)
    pause = SyncJob.get_by_id(job).wake_at - datetime.now(UTC)
    assert BACKOFF_S - 5 < pause.total_seconds() <= BACKOFF_S
    look(job)

    assert [each["epoch"] for each in agent.heard(Kind.TASK)] == [1, 2]


def test_it_is_given_up_after_some_failures_in_which_nothing_came(site, agent):
    job = asked(site)

    for _ in range(TRIES):
        assert jobs.sync_job(job).state != "failed"
        look(job)
        says(agent, job, Seen.TASK_FAILED, reason="no answer", retryable=True)

    view = jobs.sync_job(job)
    assert (view.state, view.detail) == ("failed", "no answer")


def test_a_job_that_moves_is_not_given_up(site, agent):
    job = asked(site)

    for n in range(TRIES + 2):
        look(job)
        counts = COUNTS | {"bytes_done": 10 + n}
        says(agent, job, Seen.TASK_FAILED, reason="cut", retryable=True, counts=counts)

    assert jobs.sync_job(job).state == "running"


def test_an_agent_that_is_silent_loses_it_to_another(site, agent):
    job = asked(site)
    look(job)
    other = make.Agent(site, ["http", "sync"])
    agent.silent(100)
    past = datetime.now(UTC) - timedelta(seconds=1)
    Task.update(lease_expires_at=past).execute()

    [lapsed] = syncs.lapsed()
    syncs.lose(lapsed)
    view = look(job)

    assert (view.state, view.agent_id) == ("running", other.id)
    assert [each["epoch"] for each in other.heard(Kind.TASK)] == [2]
    agent.report(Seen.TASK_DONE, job, data={"task": str(lapsed), "result": {"told": "late"}})
    assert jobs.sync_job(job).state == "running"


def test_its_lease_is_renewed_like_any_other(site, agent):
    job = asked(site)
    look(job)

    assert agent.renew(task(job).id) == {str(task(job).id)}


def test_a_cancelled_job_is_called_off_and_late_reports_move_nothing(site, agent):
    job = asked(site)
    look(job)

    jobs.cancel_sync(make.ADA, job, reason="the wrong site")
    says(agent, job, Seen.TASK_DONE, result={"told": "done all the same"})

    view = jobs.sync_job(job)
    assert (view.state, view.detail) == ("cancelled", "cancelled by ada: the wrong site")
    [called_off] = agent.heard(Kind.CANCEL)
    assert called_off == {"task": str(task(job).id), "epoch": 1}
    with pytest.raises(IllegalTransition, match="has cancelled"):
        jobs.cancel_sync(make.ADA, job)


def test_a_task_that_may_still_be_at_work_keeps_the_next_one_waiting(site, agent):
    job = asked(site)
    look(job)
    SyncJob.update(task_id=None).execute()

    view = look(job)

    assert view.detail == "an earlier task of this job has not ended"
    assert len(agent.heard(Kind.TASK)) == 1


def test_a_job_ends_when_its_time_is_over(site):
    job = asked(site)
    SyncJob.update(deadline_at=datetime.now(UTC)).execute()

    view = look(job)

    assert (view.state, view.detail) == (
        "failed",
        f"its time is over: waiting for {WAITS_FOR[Mode.PRESEED]}",
    )


def test_a_store_that_no_image_names_has_nothing_to_sync(site, agent):
    Image.delete().execute()
    view = jobs.sync_job(asked(site))

    assert (view.state, view.detail) == (
        "failed",
        "no image names a file of this artifact store with its checksum",
    )


def test_a_prune_is_told_of_every_file_that_any_image_or_plan_needs(site, agent):
    make.image(
        "other", checksums={"vmlinuz": "a" * 64, "initrd.img": "b" * 64, "disk.raw": "c" * 64}
    )
    job = asked(site, Mode.PRUNE)
    look(job)

    [told] = agent.heard(Kind.TASK)

    needed = keeping.heard(told["params"]["needed"])
    assert all(keeping.keeps(needed, each * 64) for each in "012abc")
    assert not keeping.keeps(needed, "d" * 64)


@pytest.mark.parametrize("task_id", ["", "nonsense", "0" * 32, None, 7])
def test_a_report_of_no_task_moves_nothing(site, agent, task_id):
    job = asked(site)
    look(job)

    agent.report(Seen.TASK_DONE, job, data={"task": task_id, "result": {"told": "x"}})

    assert jobs.sync_job(job).state == "running"


def test_another_agents_report_moves_nothing(site, agent):
    job = asked(site)
    look(job)
    stranger = make.Agent(site, ["http", "sync"])

    says(stranger, job, Seen.TASK_DONE, result={"told": "mine"})

    assert jobs.sync_job(job).state == "running"


@pytest.mark.parametrize(
    "said",
    [
        {"counts": {"bytes_done": -1}},
        {"counts": {"bytes_done": 2**70, "files_done": 2**40}},
        {"counts": {"bytes_done": "many"}},
        {"counts": []},
        {"doing": "x" * 100_000},
        {"doing": None},
    ],
)
def test_what_an_agent_makes_up_is_cut_to_what_can_be(site, agent, said):
    job = asked(site)
    look(job)

    says(agent, job, Seen.TASK_PROGRESS, **said)

    view = jobs.sync_job(job)
    assert (view.state, view.bytes_done, view.files_done) == ("running", 0, 0)
    assert len(view.detail) <= 1000


def test_findings_that_are_none_are_kept_as_nothing(site, agent):
    job = asked(site)
    look(job)

    says(agent, job, Seen.TASK_DONE, result={"findings": [7, {"path": ["x"]}] * 200, "told": "ok"})

    view = jobs.sync_job(job)
    assert (view.state, len(view.findings)) == ("succeeded", syncs.FINDINGS)


def test_the_same_report_twice_counts_once(site, agent):
    job = asked(site)
    look(job)

    message = says(agent, job, Seen.TASK_FAILED, reason="no answer", retryable=True)
    reports.receive(message, make.render)

    assert jobs.sync_job(job).attempt == 1


def test_an_agent_that_saw_a_higher_epoch_is_believed_after_a_restore(site, agent):
    job = asked(site)
    look(job)

    says(agent, job, Seen.TASK_FAILED, reason="superseded", cancelled=True, fence=7)
    look(job)

    assert [each["epoch"] for each in agent.heard(Kind.TASK)] == [1, 8]


def test_more_files_than_a_message_tells_of_are_refused():
    with pytest.raises(Invalid, match="15000 can be told"):
        keeping.told(f"{n:064x}"[::-1] for n in range(keeping.MOST + 1))
