"""How many statements an answer takes: as many for a thousand machines as for ten.

Walks the contract: every list and detail there is, as an admin and as one who is bound to a site.
"""

from datetime import UTC, datetime, timedelta

import pytest

from models import database as pool
from models.commands import asks, dead_letters, seals, tokens
from models.messages import REPORT_QUEUE
from models.roles import Role
from models.tables import Machine
from tests.edge import make
from tests.edge.conftest import TOKEN, Api
from tests.edge.test_jobs import integration, sync
from tests.models import make as domain
from tests.models.test_discoveries import Teller, sighting

pytestmark = pytest.mark.services

APART = {"getBlob", "streamHostEvents", "showDashboard", "showHostPage", "showOperationPage"}
"""What wants a right in its URL, what is passed on to another process, and pages."""

OF_ALL_SITES = {"listAuditSeals", "listDeadLetters", "getDeadLetter"}
"""What who is bound to a site is refused."""

THEIRS = ", 'machine_id', md5('m' || n)::uuid"

# Each machine has what the first one has; ids follow from the number, so that all fits together.
COPIED = {
    "machines": "'id', md5('m' || n)::uuid, 'hostname', 'copy-' || n",
    "interfaces": "'id', md5('i' || n)::uuid, 'mac', '5255' || lpad(to_hex(n), 8, '0')",
    "allocations": "'id', gen_random_uuid(), 'interface_id', md5('i' || n)::uuid,"
    " 'address', '10.99.0.0'::inet + n",
    "workflows": "'id', md5('w' || n || r.id)::uuid",
    "tasks": "'id', gen_random_uuid()",
    "action_executions": "'id', gen_random_uuid(),"
    " 'workflow_id', md5('w' || n || r.workflow_id)::uuid",
    "approvals": "'id', gen_random_uuid()",
    "policy_decisions": "'id', gen_random_uuid()",
    "observations": "'id', nextval('observations_id_seq'), 'seq', NULL",
    "audit": "'id', nextval('audit_id_seq')",
    "events": "'id', nextval('events_id_seq')",
}


def copied(machine, numbers):
    """Have as many more machines like *machine*, with all that hangs on each."""
    for table, changes in COPIED.items():
        of, theirs = ("id", "") if table == "machines" else ("machine_id", THEIRS)
        made = f"jsonb_populate_record(r, jsonb_build_object({changes}{theirs}))"
        some = f"{table} r, generate_series(%s, %s) AS n WHERE r.{of} = %s"
        copy = f"INSERT INTO {table} SELECT ({made}).* FROM {some}"  # noqa: S608 - our own words
        pool.database.execute_sql(copy, (numbers.start, numbers.stop - 1, str(machine)))


@pytest.fixture
def scene(api):
    """One of each thing that is shown."""
    with pool.borrowed():
        made = domain.Scene()
        made.provision()
        Machine.update(server_type="ms-01").where(Machine.id == made.machine).execute()
        asks.cancel(domain.ADMIN, made.view.workflow.id)
        Teller(made.agent).tell(sighting())
        tokens.create(domain.ADMIN, name="ci", role=Role.VIEWER, sites=None, life=timedelta(days=1))
        letter = {"message_id": "m-1", "queue": REPORT_QUEUE, "reason": "rejected", "detail": ""}
        dead_letters.keep(**letter, died_at=datetime.now(UTC), body=b"not json")
        seals.seal_next()
    machine = {"machineId": str(made.machine), "action": "power-off", "decision": "approved"}
    api.made("/v1/approvals", machine)
    api.made("/v1/artifacts", make.artifact(ref="more"))
    api.made("/v1/sync-jobs", sync({"id": str(made.site)}, artifactRef="more"))
    job = api.made("/v1/integration-jobs", integration({"id": str(made.site)}))
    api.post(f"/v1/integration-jobs/{job['id']}/run")
    prepared = {"ref": "proxmox-9", "name": "Proxmox VE", "isoPath": "proxmox.iso"}
    api.post("/v1/image-preparations", prepared)
    return made


@pytest.fixture
def counted(monkeypatch):
    """The statements, as they are asked."""
    statements = []
    ask = pool.database._execute_cursor

    def noted(sql, *given, **more):
        statements.append(sql)
        return ask(sql, *given, **more)

    monkeypatch.setattr(pool.database, "_execute_cursor", noted)
    return statements


def shown(app):
    """Yield id and path of each operation that shows somebody something, lists before details."""
    operations = [
        (each["get"]["operationId"], path)
        for path, each in app.api_doc["paths"].items()
        if "get" in each and each["get"]["operationId"] not in APART and "security" in each["get"]
    ]
    return sorted(operations, key=lambda each: each[1].count("{"))


def taken(app, api, counted):
    """Return status and number of statements of each, by the operation's id."""
    first, found = {}, {}
    for name, path in shown(app):
        url = collection = path.partition("/{")[0]
        for part in path.split("/{")[1:]:
            url += f"/{first[collection]}{part.partition('}')[2]}"
            collection += "/{" + part
        counted.clear()
        answer = api.get(url)
        found[name] = answer.status_code, len(counted)
        items = answer.json.get("items") if answer.is_json else None
        first[path] = items[0]["id"] if items and "id" in items[0] else "none"
    return found


def of_site(scene):
    with pool.borrowed():
        _, token = tokens.create(
            domain.ADMIN,
            name="bound",
            role=Role.ADMIN,
            sites={scene.site},
            life=timedelta(days=1),
        )
    return token


@pytest.mark.parametrize(
    ("bound", "refused"),
    [(False, set()), (True, OF_ALL_SITES)],
    ids=["admin", "bound to a site"],
)
def test_no_answer_takes_more_statements_for_more_machines(app, scene, counted, bound, refused):
    asker = Api(app, of_site(scene) if bound else TOKEN)
    with pool.borrowed():
        copied(scene.machine, range(9))
    first = taken(app, asker, counted)
    assert {name for name, (status, _) in first.items() if status != 200} == refused
    few = taken(app, asker, counted)
    with pool.borrowed():
        copied(scene.machine, range(9, 999))

    assert taken(app, asker, counted) == few
