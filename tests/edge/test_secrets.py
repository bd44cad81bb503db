"""What must stay secret is in no row that people or programs read, and in no log line."""

import re
from contextlib import closing

import psycopg2
import pytest

from edge import passwords
from edge.app import create_app
from tests.edge import make
from tests.edge.conftest import TOKEN, config

pytestmark = pytest.mark.services

PASSWORD = "correct horse battery staple"
SECRET = "s3cret-of-somebody"
TOLD = (
    "audit",
    "events",
    "observations",
    "policy_decisions",
    "action_executions",
    "approvals",
    "outbox",
    "idempotency_keys",
)
"""Tables whose rows are shown or sent; a few secrets are kept elsewhere, each where it belongs."""


@pytest.fixture
def app(database_url):
    given = {"database_url": database_url, "admin_password_hash": passwords.hashed(PASSWORD)}
    return create_app(config(**given))


def strewn(api, client):
    """Send secrets to wherever somebody may put one; return all that were sent or given."""
    site = api.made("/v1/sites", make.site())
    key = {"Idempotency-Key": "once"}
    given = [
        api.post("/v1/sites/ams-1/enrol", headers=key).json["signingKey"],
        api.post("/v1/sign-in-codes", headers=key | {"Idempotency-Key": "two"})
        .json["url"]
        .partition("code=")[2],
        api.made("/v1/api-tokens", {"name": "ci", "role": "admin", "days": 1})["token"],
    ]
    pasted = {
        "/v1/machines": make.machine(site["id"], bmc=make.bmc(secretRef=SECRET)),
        "/v1/profiles": make.profile(cloudConfigTemplate=f"#cloud-config\npassword: {SECRET}\n"),
        "/v1/integration-jobs": {"siteId": site["id"], "endpoint": f"https://a:{SECRET}@x.example"},
        "/v1/sites": make.site(slug="b", password=SECRET),
    }
    for path, body in pasted.items():
        api.post(path, body)
    bmc = make.bmc(address=f"https://admin:{SECRET}@10.0.0.1")
    api.post("/v1/machines", make.machine(site["id"], bmc=bmc))
    api.made("/v1/machines", make.machine(site["id"]))
    media = {"mediaUrl": f"https://a:{SECRET}@x.example/rescue.iso"}
    api.post("/v1/machines/node-01/image", media)
    client.get("/v1/sites", headers={"Authorization": f"Bearer {SECRET}"})
    client.post("/v1/sites", json={}, headers={"Authorization": f"Bearer {SECRET}"})
    csrf = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)[1]
    client.post("/sign-in", data={"password": SECRET, "csrf_token": csrf})
    client.get(f"/sign-in?code={SECRET}")
    return [*given, TOKEN, PASSWORD, SECRET]


def test_no_secret_is_told(app, api, database_url, capfd, caplog):
    secrets = strewn(api, app.test_client())

    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        rows = []
        for table in TOLD:
            cursor.execute(f"SELECT whole::text FROM {table} AS whole")  # noqa: S608 - ours
            rows += [(table, row) for (row,) in cursor.fetchall()]
    lines = capfd.readouterr()

    assert sum(table == "audit" for table, _ in rows) > 10
    for secret in secrets:
        assert [(table, row) for table, row in rows if secret in row] == []
        assert secret not in lines.out + lines.err + caplog.text


def test_failed_logins_are_written_down_with_who_tried_from_where(app, api):
    client = app.test_client()

    client.post("/v1/sites", json={}, headers={"Authorization": "Bearer wrong"})

    row = api.audit()[0]
    assert (row["action"], row["outcome"]) == ("site.create", "refused")
    assert (row["actor"], row["sourceIp"]) == ("anonymous", "127.0.0.1")
    assert row["requestId"]
    assert row["data"] == {"code": "unauthenticated", "pointers": []}
