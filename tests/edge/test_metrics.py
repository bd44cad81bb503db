"""What Prometheus and whoever starts processes are told: /metrics, by promtool, and /readyz."""

import re
import subprocess

import pytest
import requests

from edge import health
from edge.app import create_app
from edge.metrics import Whole, told
from models import figures, schema
from models.commands import asks, walks
from models.database import Unavailable, database
from models.tables import Task
from tests.edge.conftest import config, serving
from tests.models import make

pytestmark = pytest.mark.services

OPEN_METRICS = "application/openmetrics-text"


@pytest.fixture
def scene(db):
    return make.Scene()


def linted(text):
    """What promtool says of metrics."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def values(text, name):
    """Labels → value of the samples called *name*."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_promtool_finds_nothing_wrong(settings, tmp_path, live, scene):
    scene.provision()
    with serving(settings | {"SPROUT_EDGE_WORKERS": "2"}, tmp_path) as edge:
        for path in ("/v1/machines", "/v1/machines/nobody", "/nowhere"):
            edge.get(path)
        text = requests.get(f"{edge.url}/metrics", timeout=60).text
        plain = requests.get(f"{edge.url}/metrics", headers={"Accept": OPEN_METRICS}, timeout=60)

    assert linted(text) == (0, "")
    assert values(text, "sprout_machines") == {'state="provisioning"': 1}
    assert plain.text.count("# EOF") == 1
    assert plain.text.endswith("# EOF\n")


def test_the_figures_are_those_of_the_database(api, scene):
    scene.provision()
    other = make.machine(scene.site, "node-02", [make.interface("52:54:00:00:00:02")])
    flow = asks.commission(make.ADA, other)
    walks.advance(flow, make.render)
    Task.update(state="lost").where(Task.workflow_id == flow).execute()

    text = api.get("/metrics").text

    assert values(text, "sprout_machines") == {
        'state="commissioning"': 1,
        'state="provisioning"': 1,
    }
    assert sum(values(text, "sprout_workflows_running").values()) == 2
    assert values(text, "sprout_lease_failovers_total")[""] == 1
    assert set(values(text, "sprout_machine_time_in_state_max_seconds")) == {
        'state="commissioning"',
        'state="provisioning"',
    }
    assert values(text, "sprout_outbox_messages")[""] > 0
    assert 0 <= values(text, "sprout_outbox_oldest_seconds")[""] < 60
    assert values(text, "sprout_database_up") == {"": 1}


def test_an_ended_workflow_is_counted_by_how_long_it_took(api, scene):
    flow = scene.provision()
    database.execute_sql(
        "UPDATE workflows SET state = 'cancelled', finished_at = created_at + interval '20 seconds'"
        " WHERE id = %s",
        (flow,),
    )

    text = api.get("/metrics").text

    counted = values(text, "sprout_workflow_duration_seconds_bucket")
    of_it = {k: v for k, v in counted.items() if 'kind="provision"' in k}
    assert [v for k, v in of_it.items() if 'le="15.0"' in k] == [0]
    assert [v for k, v in of_it.items() if 'le="60.0"' in k or "+Inf" in k] == [1, 1]
    assert linted(text)[0] == 0


def test_names_choose_what_is_told(api, scene):
    text = api.get("/metrics?name[]=sprout_machines").text

    assert re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) == ["sprout_machines"]


def test_no_label_grows_with_the_fleet(api, scene):
    before = api.get("/metrics").text
    for number in range(10, 30):
        name = f"node-{number}"
        make.machine(scene.site, name, [make.interface(f"52:54:00:00:00:{number}")])
        api.get(f"/v1/machines/{name}")
        api.get(f"/no/{name}")

    after = Whole(figures.taken)
    text = "\n".join(map(str, after.collect()))

    assert "node-" not in before + text + api.get("/metrics").text


def test_a_database_that_is_away_leaves_the_rest():
    def away():
        raise Unavailable("gone")

    names = [metric.name for metric in Whole(away).collect()]

    assert names == ["sprout_database_up"]


def test_many_scrapers_cost_as_much_as_one(db):
    reads = []
    whole = Whole(lambda: reads.append(1) or figures.taken())

    for _ in range(5):
        list(whole.collect())

    assert len(reads) == 1


def test_a_kind_that_only_a_newer_control_knows_is_counted_all_the_same(db):
    known = figures.Figures(
        outbox=0,
        outbox_age_s=0,
        machines={},
        in_state_s={},
        running={("from-the-future", figures._step("from-the-future", (), 3)): (1, 2.0)},
        ended=(),
        leases_lost=0,
        leases_held=0,
    )

    (running,) = [m for m in told(known) if m.name == "sprout_workflows_running"]

    assert running.samples[0].labels == {"kind": "from-the-future", "step": "unknown"}


# --- readiness ---


def checks(app):
    """Return what a look of its own finds: answers are told again for a second."""
    app.extensions[health.LATEST] = health.Latest()
    answer = app.test_client().get("/readyz")
    return answer.status_code, answer.json


def test_readiness_names_what_is_not_ready(app, db):
    status, told = checks(app)

    assert (status, told["ready"]) == (200, True)
    assert told["notReady"] == ["events"]
    assert set(told["checks"]) == {
        "database",
        "migrations",
        "outbox",
        "broker",
        "events",
        "keys",
        "policy",
        "providers",
        "serverTypes",
    }
    assert "No such file" in told["checks"]["events"]["detail"]


def test_a_database_that_is_behind_is_not_ready_and_one_that_is_ahead_is(app, db):
    database.execute_sql("INSERT INTO schema_migration VALUES (DEFAULT, '9999_later', now())")
    ahead = checks(app)
    database.execute_sql("DELETE FROM schema_migration WHERE name LIKE '0009%%'")
    behind = checks(app)
    database.execute_sql("DROP TABLE schema_migration")

    assert ahead[0] == 200
    assert behind[0] == 503
    assert behind[1]["checks"]["migrations"]["detail"].startswith("the database lacks 0009_access")
    assert len(schema.pending()) >= 10


def test_promises_that_nobody_sends_are_told(app, scene):
    scene.provision()
    database.execute_sql("UPDATE outbox SET created_at = now() - interval '5 minutes'")

    status, told = checks(app)

    assert status == 200
    assert "outbox" in told["notReady"]
    assert "does control run" in told["checks"]["outbox"]["detail"]


def test_an_edge_that_lets_no_browser_in_says_so(database_url):
    _, told = checks(create_app(config(database_url=database_url, session_key="")))

    assert told["checks"]["keys"]["ok"] is False
    assert "SPROUT_SESSION_KEY" in told["checks"]["keys"]["detail"]


def test_a_running_events_process_is_told(settings, tmp_path, live):
    with serving(settings, tmp_path) as edge:
        told = edge.get("/readyz").json()
        text = requests.get(f"{edge.url}/metrics", timeout=60).text

    assert told["checks"]["events"] == {"ok": True, "detail": "0 live streams"}
    assert values(text, "sprout_events_up") == {"": 1}
