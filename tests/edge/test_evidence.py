"""Evidence over HTTP and at the command line: listed, read whole, and by nobody without a token."""

import hashlib
import json
import subprocess
import sys

import pytest

from models.blobs import place
from models.commands import asks, walks
from models.database import borrowed
from models.observations import Seen
from models.tables import Task
from tests.edge.conftest import ROOT, TOKEN, serving, variables
from tests.models import make

pytestmark = pytest.mark.services

BODY = bytes(range(256)) * 5000
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def piece(database_url):
    """Evidence of a machine, as its agent told of it."""
    with borrowed():
        scene = make.Scene()
        flow = asks.commission(make.ADA, scene.machine)
        walks.advance(flow, make.render)
        task = Task.get(Task.workflow_id == flow)
        data = {"task": str(task.id), "name": "record.json", "sha256": SHA, "size": len(BODY)}
        scene.agent.report(Seen.EVIDENCE_KEPT, scene.machine, data=data)
        return {"machineId": str(scene.machine), "taskId": str(task.id), "workflowId": str(flow)}


def test_it_is_listed_with_where_its_content_is(api, piece):
    [found] = api.get("/v1/machines/node-01/evidence").json["items"]

    assert found | piece == found
    assert (found["name"], found["size"]) == ("record.json", len(BODY))
    assert (found["sha256"], found["url"]) == (SHA, f"/v1/blobs/{SHA}")


def test_nobody_sees_it_without_a_token(client, piece):
    for path in ("/v1/machines/node-01/evidence", f"/v1/blobs/{SHA}"):
        assert client.get(path).status_code == 401


def test_a_machine_that_is_not_there_has_none(api):
    assert api.get("/v1/machines/nobody/evidence").status_code == 404


def test_the_timeline_says_it_in_a_sentence(api, piece):
    page = api.get(f"/machines/{piece['machineId']}").text

    assert f"Evidence is kept: record.json, {len(BODY)} bytes" in page


def test_the_command_line_lists_it_and_prints_what_it_holds(database_url, piece, tmp_path):
    blobs = tmp_path / "blobs"
    (blobs / place(SHA)).parent.mkdir(parents=True)
    (blobs / place(SHA)).write_bytes(BODY)
    settings = variables(database_url, tmp_path) | {"SPROUT_BLOB_DIR": str(blobs)}
    with serving(settings, tmp_path) as edge:

        def sprout(*words):
            code = "from edge.cli.main import run; run()"
            env = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "SPROUT_API_TOKEN": TOKEN}
            command = [sys.executable, "-c", code, "machines", "evidence", "node-01", *words]
            env |= {"SPROUT_API_URL": edge.url}
            return subprocess.run(
                command, env=env, cwd=tmp_path, capture_output=True, check=False, timeout=60
            )

        [row] = json.loads(sprout("--json").stdout)
        assert row["sha256"] == SHA
        assert sprout("record.json").stdout == sprout(SHA).stdout == BODY
        missing = sprout("nothing")
        assert (missing.returncode, missing.stdout) == (1, b"")
        assert b"It has: record.json" in missing.stderr
