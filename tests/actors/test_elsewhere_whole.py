"""An image that lies at another server: real site, broker, control and database."""

import hashlib
import os
import subprocess
from datetime import UTC, datetime

import pytest

from models import queries
from models.commands import asks, inventory
from models.commands.agents import signing_key
from models.database import borrowed
from models.kinds import Progress
from models.why import why
from tests.actors import edge_lab
from tests.actors.control_process import ControlProcess
from tests.actors.edge_lab import cut
from tests.actors.lane import until
from tests.actors.site_whole import Site
from tests.actors.test_evidence_whole import Key
from tests.models import make

pytestmark = pytest.mark.services

FILES = {
    "vmlinuz": b"kernel" * 50_000,
    "initrd.img": b"initrd" * 50_000,
    "disk.raw": os.urandom(1 << 20) * 9,
}
SUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
NEAR = {"OUTBOUND_ALLOW": "127.0.0.0/8"}


class Deployment:
    """Control and a site, each a process, and machines to be given the image of *mirror*."""

    def __init__(self, folder, database_url, broker_url, mirror):
        self.control = ControlProcess(folder, database_url, broker_url)
        self.machines = 0
        with borrowed():
            self.site_id = make.site("lab")
            make.network(self.site_id)
            base = f"{mirror.url}/images"
            size = len(FILES["disk.raw"])
            self.image = make.image("far", base_url=base, checksums=SUMS, image_bytes=size)
            self.profile = make.profile()
            inventory.enrolment(make.ADA, self.site_id)
            key = Key(signing_key(self.site_id), broker_url)
        self.site = Site(folder / "site", key, site=self.site_id)

    def start(self, **settings):
        self.control.start()
        self.site.start(**settings)
        until(self._lives)

    def _lives(self):
        with borrowed():
            return any(agent.live for agent in queries.agents(self.site_id))

    def stop(self):
        if self.site.process is not None:
            self.site.end()
        self.control.end()

    def provision(self):
        """Return a new machine, and the workflow that is to give it the image."""
        self.machines += 1
        name, mac = f"node-{self.machines}", f"52:54:00:00:00:{self.machines:02x}"
        with borrowed():
            machine = make.machine(self.site_id, name, [make.interface(mac)])
            given = {"image_ref": self.image, "profile_ref": self.profile}
            return machine, asks.provision(make.ADA, machine, **given)

    def kinds(self, machine):
        with borrowed():
            return [row.kind for row in queries.timeline(machine)]

    def failed(self, machine, flow):
        """Return what `sprout why` says of *machine* when *flow* has failed."""

        def ended():
            with borrowed():
                return queries.workflow(flow).progress is Progress.FAILED

        until(ended)
        with borrowed():
            return why(queries.machine(machine), (), (), datetime.now(UTC)).sentence


@pytest.fixture
def mirror():
    with edge_lab.running() as running:
        running.blobs |= FILES
        yield running


@pytest.fixture
def whole(tmp_path, database_url, rabbitmq_server, mirror):
    made = Deployment(tmp_path, database_url, rabbitmq_server.url, mirror)
    try:
        yield made
    finally:
        made.stop()


def test_each_file_is_fetched_once_for_all_machines_and_served_by_the_site(whole, mirror):
    mirror.faults = [None, None, cut(5_000_000)]
    whole.start(**NEAR)

    machines = [whole.provision()[0] for _ in range(3)]
    for machine in machines:
        until(lambda machine=machine: "plan-served" in whole.kinds(machine))
    url = f"{whole.site.url}/artifacts/debian/disk.raw"
    served = subprocess.run(["curl", "-sf", url], capture_output=True, check=True, timeout=30)

    assert hashlib.sha256(served.stdout).hexdigest() == SUMS["disk.raw"]
    assert [asked for _, asked in mirror.requests] == [None, None, None, "bytes=5000000-"]
    assert "artifact-awaited" in whole.kinds(machines[0])


def test_a_server_that_has_it_not_ends_the_run_by_its_name(whole, mirror):
    del mirror.blobs["initrd.img"]
    whole.start(**NEAR)

    said = whole.failed(*whole.provision())

    assert "debian/initrd.img cannot be had: 127.0.0.1 answers 404" in said


def test_a_server_that_is_not_public_is_not_asked_unless_it_is_named(whole, mirror):
    whole.start()

    said = whole.failed(*whole.provision())

    assert "127.0.0.1 is no public address; SPROUT_OUTBOUND_ALLOW can name it" in said
    assert mirror.requests == []
