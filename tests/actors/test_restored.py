"""Control's database is put back from a backup, and the site has seen what was lost."""

import os
from contextlib import ExitStack, closing

import psycopg2
import pytest

from actors.site.artifacts import Artifacts
from actors.site.desk import Desk, Snapshot
from actors.site.store import AgentStore
from models import database as pool
from models import queries
from models.bootplan import Action, BootPlan
from models.commands import asks, reports, walks
from models.kinds import Kind as Verb
from models.messages import Kind
from models.observations import Seen
from models.tables import Agent as AgentRow
from models.tables import Outbox, Plan, Task
from tests.actors.site_lab import Folder
from tests.conftest import copied
from tests.models import make

pytestmark = pytest.mark.services


class Site:
    """The agent of *scene* with a real desk: hears what control promised, and reports to it."""

    def __init__(self, path, scene):
        self.scene, self.folder = scene, Folder(path)
        self.store = AgentStore(path)
        self.store.agent = scene.agent.id
        shelf = Artifacts(path, self.store, self.folder.plans)
        shelf.admit = lambda file, url, elsewhere: None
        services = frozenset({"http"})
        self.desk = Desk(self.store, self.folder.plans, self.folder.journal, shelf, services)
        self.folder.journal.mark_ready("http", os.getpid())

    def talk(self):
        """Take all that was promised, and let control hear what came of it, until all is said."""
        while self._hear() or self._report():
            pass

    def _hear(self):
        said = self.scene.agent.heard(Kind.PLAN)
        Outbox.delete().execute()
        for body in said:
            plans = [BootPlan.decode(each) for each in body["plans"]]
            whole = Snapshot(body["snapshot_id"], 0, 1) if body.get("snapshot") else None
            self.desk.receive(plans, whole=whole)
            while self.desk.settle_all():
                pass
        return bool(said)

    def _report(self):
        rows = self.folder.journal.rows(0, 100)
        if rows:
            told = [{"seq": row.seq, **row.body} for row in rows]
            body = {"incarnation": rows[0].incarnation, "reports": told}
            reports.receive(self.scene.agent.envelope(Kind.OBSERVATIONS, body), make.render)
            self.folder.journal.forget(rows[-1].seq)
        return bool(rows)

    def beat(self):
        """Send a heartbeat, long after the last snapshot and change."""
        AgentRow.update(snapshot_at=None).execute()
        database = pool.database
        database.execute_sql("UPDATE plans SET updated_at = now() - interval '1 hour'")
        self.scene.agent.beat(self.folder.plans.digest())

    def held(self):
        return self.folder.plans.by_machine(self.scene.machine).plan

    def close(self):
        self.desk.close()
        self.store.close()
        self.folder.close()


@pytest.fixture
def scene(db):
    return make.Scene()


@pytest.fixture
def site(tmp_path, scene):
    made = Site(tmp_path, scene)
    yield made
    made.close()


@pytest.fixture
def backup(postgres, database_url):
    """A function that makes a backup, and one that puts it back."""
    taken = []

    def take():
        pool.database.close_all()
        with closing(psycopg2.connect(postgres.url())) as connection:
            connection.autocommit = True
            name, kept = database_url.rpartition("/")[2], "b" + database_url.rpartition("/")[2]
            connection.cursor().execute(f'CREATE DATABASE "{kept}" TEMPLATE "{name}"')
        taken.append(kept)
        pool.database.connect()

    def restore():
        pool.database.close_all()
        [kept] = taken
        restored.enter_context(copied(postgres, kept))
        pool.database.connect()

    with ExitStack() as restored:
        yield take, restore
        pool.database.close_all()
    pool.configure(database_url, connections=8)
    pool.database.connect()


def cancelled(scene, site):
    flow = scene.provision()
    site.talk()
    asks.cancel(make.ADA, flow, reason="again")
    site.talk()


def test_a_machine_can_be_provisioned_at_once_after_the_database_was_put_back(scene, site, backup):
    take, restore = backup
    cancelled(scene, site)
    take()
    for _ in range(3):
        cancelled(scene, site)
    seen = site.held().version

    restore()
    flow = scene.provision()
    site.talk()

    assert site.held().run == scene.view.run_id
    assert site.held().version > seen
    assert queries.workflow(flow).step.name != "plan-served"


def test_an_installer_that_the_database_never_knew_is_withdrawn(scene, site, backup):
    take, restore = backup
    cancelled(scene, site)
    take()
    cancelled(scene, site)
    scene.provision()
    site.talk()
    assert site.held().action is Action.INSTALL

    restore()
    site.beat()
    site.talk()

    assert site.held().action is Action.LOCAL
    assert site.held().digest == Plan.get_by_id(scene.machine).digest


def test_the_same_version_of_another_run_is_not_taken_for_what_the_site_serves(scene, site, backup):
    take, restore = backup
    take()
    scene.provision()
    site.talk()
    before = site.held()

    restore()
    flow = scene.provision()
    assert Plan.get_by_id(scene.machine).version == before.version
    site.talk()

    assert site.held().run == scene.view.run_id != before.run
    assert queries.workflow(flow).step.name != "plan-served"


def test_a_fence_that_the_database_never_knew_costs_one_refusal(scene):
    flow = asks.power(make.ADA, scene.machine, Verb.POWER_ON)
    walks.advance(flow, make.render)
    told = {"reason": "superseded", "retryable": True, "cancelled": True, "fence": 70}
    task = Task.get(Task.workflow_id == flow)

    scene.agent.report(Seen.TASK_FAILED, scene.machine, data={"task": str(task.id), **told})
    make.due_now(flow)

    assert Task.select().order_by(Task.epoch.desc()).first().epoch == 71
