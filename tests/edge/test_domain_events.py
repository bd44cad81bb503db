"""`GET /v1/events` and `sprout events follow`."""

import pytest

from edge.cli.events import line
from models.commands import asks
from tests.models import make

pytestmark = pytest.mark.services


@pytest.fixture
def scene(db):
    return make.Scene()


def listed(api, **query):
    answer = api.get("/v1/events", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_events_are_read_on_from_where_the_last_answer_ended(api, scene):
    asks.commission(make.ADA, scene.machine)

    first = listed(api, limit=1)
    second = listed(api, after=first["next"])

    assert [e["type"] for e in first["items"]] == ["sprout.machine.commission"]
    assert [e["type"] for e in second["items"]] == ["sprout.machine.workflow-begun"]
    assert listed(api, after=second["next"]) == {"items": [], "next": second["next"]}
    assert listed(api, after=-1) == {"items": [], "next": second["next"]}


def test_events_are_chosen_by_machine_site_and_kind(api, scene):
    other = make.machine(scene.site, "node-02", [make.interface("52:54:00:00:00:02")])
    asks.commission(make.ADA, scene.machine)
    asks.commission(make.ADA, other)

    found = listed(api, machineId="node-02", siteId="ams-1", kind="commission")["items"]

    assert [each["subject"] for each in found] == ["node-02"]


def test_an_unknown_machine_and_a_wait_too_long_are_refused(api, scene):
    assert api.get("/v1/events?machineId=nobody").status_code == 404
    assert api.get("/v1/events?wait=3600").status_code == 422


def test_a_person_reads_what_happened_in_a_line(api, scene):
    asks.commission(make.ADA, scene.machine, reason="rack 4")

    told = [line(each) for each in listed(api)["items"]]

    assert told[0].endswith("ams-1/node-01  commission  registered → commissioning  (rack 4)")
