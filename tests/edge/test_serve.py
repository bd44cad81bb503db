"""The edge as a process: it starts, is small, and ends when it is told."""

import json
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil
import pytest
import requests

from models.database import borrowed, database
from tests.edge.conftest import TOKEN, serving
from tests.pxe_stack.lab import until

pytestmark = pytest.mark.services

BUDGET_MB = 85
"""Of its own: pages of files are the kernel's, shared with whatever else runs, and given back."""


def family(edge):
    master = psutil.Process(edge.master.pid)
    return [master, *master.children(recursive=True)]


def own_mb(edge):
    """The memory that is nobody else's: what a fork shares with its parent counts once."""
    maps = [mapped for each in family(edge) for mapped in each.memory_maps()]
    return sum(mapped.pss for mapped in maps if not mapped.path.startswith("/")) / 1e6


def test_it_serves_and_stays_within_its_memory(served):
    assert served.get("/v1/sites").json() == {"items": [], "next": None}
    assert served.get("/").status_code == 200

    assert own_mb(served) < BUDGET_MB


def test_it_logs_lines_of_json_without_query_strings_and_secrets(served):
    served.get("/sign-in?code=visible", **{"X-Request-Id": "line-1"})

    lines = [json.loads(line) for line in served.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "line-1"]
    assert (line["event"], line["rule"], line["status"]) == ("edge.answered", "/sign-in", 200)
    assert "visible" not in served.log.read_text()
    assert TOKEN not in served.log.read_text()


def test_it_ends_soon_though_somebody_waits_for_events(served):
    processes = family(served)
    asked = threading.Thread(target=waits, args=(served,))
    asked.start()
    database_is_listened_to()

    served.master.send_signal(signal.SIGTERM)
    gone, alive = psutil.wait_procs(processes, timeout=15)  # who asked waits for 20 s
    asked.join()

    assert alive == []
    assert len(gone) == len(processes)


def waits(edge):
    with suppress(requests.RequestException):
        edge.get("/v1/events?after=9&wait=20")


def database_is_listened_to():
    """Return once somebody who waits for events has had the edge listen for them."""
    listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
    with borrowed():
        until(lambda: database.execute_sql(listening).fetchone()[0])


def test_a_worker_that_dies_is_replaced(served):
    (worker,) = family(served)[1:]
    worker.kill()
    worker.wait(60)

    assert served.get("/healthz").status_code == 200


def test_several_workers_count_together(settings, tmp_path):
    with serving(settings | {"SPROUT_EDGE_WORKERS": "2"}, tmp_path) as edge:
        for _ in range(20):
            requests.get(f"{edge.url}/v1/sites", timeout=60)

        counted = edge.get("/metrics").text

    found = re.findall(r'flask_http_request_total\{method="GET",status="401"\} (\d+)', counted)
    assert found == ["20"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"SPROUT_DATABASE_URL": ""}, "SPROUT_DATABASE_URL"),
        ({"SPROUT_EDGE_THREADS": "none"}, "SPROUT_EDGE_THREADS"),
        ({"SPROUT_BIND": "0.0.0.0:0", "SPROUT_ADMIN_TOKEN_HASH": ""}, "SPROUT_BIND"),
        ({"SPROUT_ADMIN_PASSWORD_HASH": "correct horse"}, "SPROUT_ADMIN_PASSWORD_HASH"),
        ({"SPROUT_OIDC_ISSUER": "http://issuer.example"}, "SPROUT_OIDC_ISSUER"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, tmp_path, change, named):
    done = subprocess.run(
        [sys.executable, "-m", "edge.serve"],
        env=settings | change,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_it_comes_back_when_the_database_does(settings, tmp_path, postgres):
    with serving(settings, tmp_path) as edge:
        assert edge.get("/v1/sites").status_code == 200
        postgres.stop()
        away = edge.get("/v1/sites").status_code, edge.get("/readyz").status_code
        postgres.start()

        assert away == (503, 503)
        assert edge.get("/v1/sites").status_code == 200
