"""Bulk between a BMC, a site and the operator: real site, broker, control, database and edge."""

import hashlib
import json
import signal
from dataclasses import dataclass

import pytest
import requests

from models import queries
from models.commands import asks, inventory
from models.commands.agents import signing_key
from models.database import borrowed
from models.kinds import Progress
from tests.actors import hostile_bmc
from tests.actors.control_process import ControlProcess
from tests.actors.hostile_bmc import MAC, PASSWORD, SYSTEM
from tests.actors.lane import until
from tests.actors.site_whole import Cable, Site
from tests.edge.conftest import TOKEN, serving, variables
from tests.models import make

pytestmark = pytest.mark.services

RECORD = "redfish-inventory-record.json"
RESULT = "redfish-inventory-result.json"
DRIVES = 150


@pytest.fixture
def bmc():
    """A large machine whose BMC is wordy, and repeats the password."""
    words = {"CapacityBytes": 10**12, "Model": "m" * 800, "Oem": {"log": "x" * 9000}}
    drives = {
        f"{SYSTEM}/drive{n}": words | {"Id": str(n), "SerialNumber": f"S{n:03}", "SKU": PASSWORD}
        for n in range(DRIVES)
    }
    store = {f"{SYSTEM}/Storage/1": {"Drives": [{"@odata.id": path} for path in drives]}}
    with hostile_bmc.running(extra=store | drives) as running:
        yield running


@dataclass
class Key:
    """What a site's enrolment is made of."""

    key: bytes
    url: str


class Deployment:
    """Edge, control and a site, each a process; the site reaches the edge by a cable."""

    def __init__(self, folder, database_url, broker_url, edge, bmc):
        self.edge = edge
        self.cable = Cable(edge.url)
        self.control = ControlProcess(folder, database_url, broker_url)
        with borrowed():
            site_id = make.site("lab")
            board = {"protocol": "redfish", "address": bmc.url, "username": "admin"}
            self.machine = make.machine(
                site_id, interfaces=[make.interface(MAC)], bmc=board | {"secret_ref": "env:BMC"}
            )
            inventory.enrolment(make.ADA, site_id)
            key = Key(signing_key(site_id), broker_url)
        self.site = Site(folder / "site", key, edge=self.cable.url, site=site_id)
        self.site_id = site_id

    def start(self):
        self.control.start()
        self.site.start()
        until(self._lives)

    def _lives(self):
        with borrowed():
            return any(agent.live for agent in queries.agents(self.site_id))

    def stop(self):
        if self.site.process is not None:
            self.site.end()
        self.cable.cut()
        self.control.end()

    def commission(self):
        """Have the inventory taken, and return when control knows it."""
        with borrowed():
            flow = asks.commission(make.ADA, self.machine)

        def over():
            with borrowed():
                return queries.workflow(flow).progress is Progress.SUCCEEDED

        until(over)

    def get(self, path):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return requests.get(f"{self.edge.url}{path}", headers=headers, timeout=60)

    def evidence(self):
        items = self.get(f"/v1/machines/{self.machine}/evidence").json()["items"]
        return {item["name"]: item for item in items}

    def content(self, name):
        item = self.evidence()[name]
        content = self.get(item["url"]).content
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (item["sha256"], item["size"])
        return json.loads(content)


@pytest.fixture
def whole(tmp_path, database_url, rabbitmq_server, bmc):
    settings = variables(database_url, tmp_path) | {"SPROUT_BLOB_DIR": str(tmp_path / "blobs")}
    with serving(settings, tmp_path) as edge:
        made = Deployment(tmp_path, database_url, rabbitmq_server.url, edge, bmc)
        try:
            yield made
        finally:
            made.stop()


def test_what_fits_no_message_reaches_the_operator_whole_and_the_machine_s_facts_in_short(whole):
    whole.cable.mend()
    whole.start()

    whole.commission()
    until(lambda: len(whole.evidence()) == 2)

    record, result = whole.content(RECORD), whole.content(RESULT)
    assert len(record["drives"]) == len(result["disks"]) == DRIVES
    assert record["drives"][7]["Oem"] == {"log": "x" * 9000}
    assert PASSWORD not in json.dumps(record)
    with borrowed():
        facts = queries.machine(whole.machine).facts
    assert [disk["serial"] for disk in facts["disks"]] == [f"S{n:03}" for n in range(DRIVES)]
    assert result["disks"][0]["model"].startswith(facts["disks"][0]["model"])


def test_with_the_edge_away_evidence_waits_on_the_disk_over_a_restart_and_goes_up_once(whole):
    whole.start()

    whole.commission()
    assert whole.evidence() == {}
    assert len(list((whole.site.folder / "site" / "evidence").glob("*.json"))) == 2
    whole.site.end(signal.SIGKILL)
    whole.site.start()
    whole.cable.mend()
    until(lambda: len(whole.evidence()) == 2, seconds=60)

    assert len(whole.content(RECORD)["drives"]) == DRIVES
    audit = whole.get("/v1/audit?limit=100").json()["items"]
    assert [row["action"] for row in audit].count("blob.put") == 2
    timeline = whole.get(f"/v1/machines/{whole.machine}/timeline?limit=500").json()["items"]
    assert [row["kind"] for row in timeline].count("evidence-kept") == 2
