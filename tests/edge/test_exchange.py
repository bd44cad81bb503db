"""What every answer bears, whatever became of the request."""

import json
import re

import pytest

from edge.app import MAX_BODY, create_app
from edge.exchange import HEADERS, host_name
from models import database as pool
from models import lists
from tests.edge.conftest import TOKEN, Api, config
from tests.services.process import free_ports

MADE = re.compile(r"[0-9a-f]{32}")

pytestmark = pytest.mark.services


@pytest.fixture
def cut_off(api):
    """The API while its database is away."""
    (port,) = free_ports(1)
    pool.database.close_all()
    pool.configure(f"postgresql://sprout@127.0.0.1:{port}/sprout", connections=2)
    return api


def failing(*_):
    raise RuntimeError("the secret is s3cret")


ODD = {
    "not found": (404, "not-found", lambda api: api.get("/nowhere")),
    "method": (405, "method-not-allowed", lambda api: api.post("/v1/audit")),
    "too large": (413, "too-large", lambda api: api.post("/v1/sites", {"n": "x" * MAX_BODY})),
    "not JSON": (
        415,
        "unsupported-media-type",
        lambda api: api.post("/v1/sites", data="a=b", content_type="text/plain"),
    ),
    "malformed": (
        400,
        "malformed",
        lambda api: api.post("/v1/sites", data="{", content_type="application/json"),
    ),
    "no object": (
        422,
        "validation",
        lambda api: api.post("/v1/sites", data="[]", content_type="application/json"),
    ),
    "unknown site": (404, "not-found", lambda api: api.get("/v1/sites/nowhere")),
    "bad query": (422, "validation", lambda api: api.get("/v1/machines?limit=many")),
    "bad cursor": (422, "validation", lambda api: api.get("/v1/machines?cursor=!")),
    "null byte": (422, "validation", lambda api: api.get("/v1/sites/%00")),
    "null byte sought": (422, "validation", lambda api: api.get("/v1/machines?search=%00")),
    "bad id": (422, "validation", lambda api: api.get("/v1/workflows/1")),
    "wrong host": (
        421,
        "wrong-host",
        lambda api: api.get("/v1/sites", headers={"Host": "evil.example"}),
    ),
}


@pytest.mark.parametrize(("status", "code", "ask"), ODD.values(), ids=ODD)
def test_every_error_is_a_problem_that_says_what_and_bears_its_id(api, status, code, ask):
    answer = ask(api)

    problem = answer.json
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert (problem["type"], problem["status"]) == (f"/problems/{code}", status)
    assert problem["title"]
    assert problem["detail"]
    assert problem["requestId"] == answer.headers["X-Request-Id"]
    assert HEADERS.items() <= dict(answer.headers).items()


def test_a_method_that_is_not_there_is_answered_with_those_that_are(api):
    assert "GET" in api.post("/v1/audit").headers["Allow"]


def test_an_error_of_ours_tells_nothing_but_its_id(api, monkeypatch):
    monkeypatch.setattr(lists, "sites", failing)

    answer = api.get("/v1/sites")

    assert (answer.status_code, answer.json["type"]) == (500, "/problems/internal")
    assert MADE.fullmatch(answer.json["requestId"])
    assert "s3cret" not in answer.text


def test_a_database_that_is_away_is_503_and_says_when_to_come_back(cut_off):
    answer = cut_off.post("/v1/sites", {"name": "a", "slug": "a"})

    assert (answer.status_code, answer.json["type"]) == (503, "/problems/unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert MADE.fullmatch(answer.headers["X-Request-Id"])


def test_readiness_names_what_is_away(cut_off):
    answer = cut_off.get("/readyz")

    assert answer.status_code == 503
    assert answer.json["checks"]["database"]["ok"] is False


def test_a_broker_that_is_away_is_named_and_does_not_count(database_url):
    (port,) = free_ports(1)
    app = create_app(config(broker=f"amqp://guest:guest@127.0.0.1:{port}/"))

    answer = app.test_client().get("/readyz")

    assert (answer.status_code, answer.json["ready"]) == (200, True)
    assert answer.json["checks"]["broker"] == {
        "ok": False,
        "kind": "rabbitmq",
        "detail": "RabbitMQ is away; promises wait",
    }


def test_the_callers_request_id_comes_back_and_is_audited(api):
    headers = {"X-Request-Id": "ticket-4711.a:b"}

    answer = api.post("/v1/sites", {"name": "A", "slug": "a"}, headers=headers)

    assert answer.headers["X-Request-Id"] == "ticket-4711.a:b"
    assert api.audit()[0]["requestId"] == "ticket-4711.a:b"


@pytest.mark.parametrize("given", ["", "-a", "a b", "a" * 65, "a/b", "<script>"])
def test_a_request_id_of_odd_form_is_replaced(client, given):
    answer = client.get("/healthz", headers={"X-Request-Id": given})

    assert MADE.fullmatch(answer.headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8080", "localhost"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        (":80", ":80"),
    ],
)
def test_the_host_is_told_apart_from_its_port(host, name):
    assert host_name(host) == name


def test_a_browser_is_told_on_a_page(client):
    browser = {"Accept": "text/html,application/xhtml+xml"}
    answer = client.get("/", headers=browser)

    assert (answer.status_code, answer.mimetype) == (303, "text/html")
    assert "sprout login-url" in client.get(answer.location, headers=browser).text


def test_what_was_asked_for_is_text_on_a_page(api):
    answer = api.get("/v1/sites/<b>`<i>`", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert "&lt;b&gt;<code>&lt;i&gt;</code>" in answer.text


def test_a_page_does_not_run_what_was_sent(client):
    answer = client.get("/sign-in?code=<script>alert(1)</script>", headers={"Accept": "text/html"})

    assert "<script>" not in answer.text


def test_requests_are_counted_by_rule_not_by_path(api):
    Api.get(api, "/v1/sites/nowhere")

    metrics = api.get("/metrics").text

    assert 'url_rule="/v1/sites/<site>"' in metrics
    assert "nowhere" not in metrics


def test_a_body_is_read_as_what_it_is(api):
    answer = api.post("/v1/sites", {"name": False, "slug": 7})

    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/name", "/slug"]
    assert json.dumps(answer.json).count("hint") == 2


def test_options_tell_the_methods_of_the_url_that_the_contract_knows(client):
    def allowed(path):
        return client.options(path, headers={"Authorization": f"Bearer {TOKEN}"}).headers["Allow"]

    assert allowed("/v1/machines/allocate") == "OPTIONS, POST"
    assert allowed("/v1/machines/node-01") == "DELETE, GET, HEAD, OPTIONS, PATCH"
