"""Sync jobs whole: control, a site and a mirror as processes, and a crash in the middle."""

import os
import signal
import threading

import pytest

from actors.site.sums import CHUNK
from models.blobs import place
from models.commands import jobs
from models.database import borrowed
from models.job_views import Mode
from tests.actors import edge_lab
from tests.actors.lane import until
from tests.actors.site_whole import ONE_BROKER
from tests.actors.test_elsewhere_whole import FILES, NEAR, SUMS, Deployment
from tests.models import make

pytestmark = pytest.mark.services

DISK = FILES["disk.raw"]


@pytest.fixture
def mirror():
    with edge_lab.running() as running:
        running.blobs |= FILES
        yield running


@pytest.fixture
def deployment(tmp_path, database_url, broker_url, mirror):
    made = Deployment(tmp_path, database_url, broker_url, mirror)
    made.start(**NEAR)
    yield made
    made.site.end()
    made.control.end()


def asked(deployment, mode):
    with borrowed():
        return jobs.create_sync(
            make.ADA, site_id=deployment.site_id, artifact_ref="a-far", mode=mode, reason=""
        )


def cache(deployment):
    [found] = deployment.site.folder.glob("**/cache")
    return found


def partial(deployment):
    found = deployment.site.folder.glob(f"**/partial/{SUMS['disk.raw']}")
    return sum(each.stat().st_size for each in found)


def shown(job):
    with borrowed():
        return jobs.sync_job(job)


def ended(job):
    until(lambda: shown(job).finished_at, seconds=60)
    return shown(job)


@ONE_BROKER
def test_a_job_whose_agent_is_killed_goes_on_where_it_was(deployment, mirror):
    go_on, begun = threading.Event(), threading.Event()

    def held(handler):
        """Send a chunk and a bit of the disk, which is asked for first, and no more for now."""
        handler.begin(200, len(DISK))
        handler.wfile.write(DISK[: CHUNK + 5000])
        handler.wfile.flush()
        begun.set()
        go_on.wait(60)
        handler.hang_up()

    mirror.faults.append(held)
    job = asked(deployment, Mode.PRESEED)
    assert begun.wait(60)
    until(lambda: partial(deployment) == CHUNK)
    os.kill(deployment.site.child("agent"), signal.SIGKILL)
    go_on.set()

    view = ended(job)

    assert (view.state, view.files_done, view.bytes_done) == (
        "succeeded",
        3,
        sum(map(len, FILES.values())),
    )
    assert {(cache(deployment) / place(sha)).stat().st_size for sha in SUMS.values()} == {
        len(content) for content in FILES.values()
    }
    assert f"bytes={CHUNK}-" in [asked for _, asked in mirror.requests]
    assert [asked for _, asked in mirror.requests].count(None) == len(FILES)


@ONE_BROKER
def test_files_are_brought_compared_and_dropped(deployment):
    preseeded = ended(asked(deployment, Mode.PRESEED))
    assert preseeded.detail == "3 files are here, 3 of them fetched now"
    spoiled = cache(deployment) / place(SUMS["vmlinuz"])
    spoiled.write_bytes(b"another kernel")
    verified = ended(asked(deployment, Mode.VERIFY))
    pruned = ended(asked(deployment, Mode.PRUNE))

    assert verified.detail == "3 files were looked at: 1 dropped"
    assert not spoiled.exists()
    assert pruned.detail == "dropped 0 files, 0 MiB"
