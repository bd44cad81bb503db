"""X-Request-Id: on every answer of a running edge, and on all that a request leads to."""

import json
import re
import socket
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import requests
from gunicorn.http import errors

from edge import gate
from models.commands import walks
from models.lifecycle import State
from models.tables import Outbox
from tests.edge.conftest import TOKEN, serving, variables
from tests.models import make

pytestmark = pytest.mark.services

OURS = re.compile(r"[0-9a-f]{32}")
SENT = {"Authorization": f"Bearer {TOKEN}", "X-Request-Id": "ticket-1"}


@pytest.fixture(scope="module")
def edge(postgres, migrated, tmp_path_factory):
    """One edge for all of these, without a database: it is asked for nothing that takes one."""
    folder = tmp_path_factory.mktemp("ids")
    url = "postgresql://nobody@127.0.0.1:1/none"
    with serving(variables(url, folder), folder) as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "/healthz", {}, 200),
        ("GET", "/readyz", {}, 503),
        ("GET", "/metrics", {}, 200),
        ("GET", "/static/sprout.css", {}, 200),
        ("GET", "/events", {}, 503),
        ("GET", "/events/hints", {}, 503),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/static/nowhere", {}, 404),
        ("DELETE", "/healthz", {}, 405),
        ("POST", "/v1/sites", {"data": b"{"}, 415),
        ("POST", "/v1/sites", {"json": {"a": "x" * (1 << 20)}}, 413),
        ("GET", "/v1/sites", {"headers": SENT | {"Host": "elsewhere.example"}}, 421),
        ("GET", "/v1/sites", {"headers": SENT | {"Authorization": "Basic x"}}, 401),
        ("GET", "/v1/sites", {}, 503),
        ("OPTIONS", "/v1/sites", {}, 200),
        ("HEAD", "/healthz", {}, 200),
    ],
)
def test_every_answer_bears_the_id_that_came(edge, method, path, more, status):
    answer = requests.request(method, edge.url + path, timeout=60, **{"headers": SENT} | more)

    assert (answer.status_code, answer.headers["X-Request-Id"]) == (status, "ticket-1")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("sent", "status", "known"),
    [
        (b"GET\r\n\r\n", 400, OURS),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, OURS),
        (b"GET / HTTP/9.9\r\n\r\n", 400, OURS),
        (b"GET /" + b"a" * 8000 + b" HTTP/1.1\r\n\r\n", 414, OURS),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", 431, OURS),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, OURS),
        (b"GET / HTTP/1.1\r\nX-Request-Id: t-2\r\nTransfer-Encoding: odd\r\n\r\n", 501, None),
        (b"GET / HTTP/1.1\r\nX-Evil: <script>\x00\r\n\r\n", 400, OURS),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, OURS),
    ],
)
def test_what_cannot_be_read_is_answered_as_all_else_is(edge, sent, status, known):
    head, body = asked(edge, sent)

    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    problem = json.loads(body)
    assert (head.split()[1], problem["status"]) == (str(status), status)
    assert fields["Content-Type"] == "application/problem+json"
    assert fields["X-Request-Id"] == problem["requestId"]
    assert known is None or known.fullmatch(problem["requestId"])
    assert "default-src 'self'" in fields["Content-Security-Policy"]
    assert "script" not in body
    assert problem["requestId"] in edge.log.read_text()


def asked(edge, sent):
    """Return head and body of the answer to these bytes."""
    where = urlsplit(edge.url)
    with socket.create_connection((where.hostname, where.port), timeout=60) as line:
        line.sendall(sent)
        heard = b""
        while more := line.recv(65536):
            heard += more
    head, _, body = heard.decode().partition("\r\n\r\n")
    return head, body


def test_every_way_in_which_gunicorn_cannot_read_has_a_status():
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]

    assert {kind.__name__ for kind in kinds if gate.status_of(kind).value == 500} <= {
        "ConfigurationProblem",
        "NoMoreData",  # the caller left: nobody is answered
    }


def test_all_that_a_request_leads_to_bears_its_id(api, db):
    scene = make.Scene()

    asked = api.post(f"/v1/machines/{scene.machine}/commission", {}, headers=SENT)

    flow = asked.json["id"]
    (begun,) = [each for each in promised() if each.get("workflow") == flow]
    walks.advance(flow, make.render)
    told = [each["message"]["envelope"] for each in promised() if "task" in str(each)]
    happened = api.get("/v1/events").json["items"]
    audited = [row for row in api.audit() if row["action"] == "machine.commission"]
    assert begun["request_id"] == "ticket-1"
    assert {each["request_id"] for each in told} == {"ticket-1"}
    assert {each["sproutrequestid"] for each in happened} == {"ticket-1"}
    assert {row["requestId"] for row in audited} == {"ticket-1"}


def test_what_the_engine_does_for_a_request_bears_its_id_too(api, db):
    scene = make.Scene()
    flow = api.post(f"/v1/machines/{scene.machine}/commission", {}, headers=SENT).json["id"]

    walks.advance(flow, make.render)
    make.overdue(UUID(flow))
    while scene.view.state is not State.FAILED:
        make.due_now(UUID(flow))
        make.overdue(UUID(flow))

    ended = [row for row in api.audit() if row["actor"] in {"engine", "reaper"}]
    assert {row["action"] for row in ended} >= {"machine.gave-up"}
    assert {row["requestId"] for row in ended} == {"ticket-1"}
    happened = api.get("/v1/events?kind=gave-up").json["items"]
    assert {each["sproutrequestid"] for each in happened} == {"ticket-1"}


def promised():
    """What the messages of the outbox call their actors with."""
    return [json.loads(bytes(row.body))["kwargs"] for row in Outbox.select()]
