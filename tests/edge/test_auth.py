"""Deny by default: who is let in, and who is not."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from edge.app import create_app
from edge.auth import OPEN
from edge.sign_in import code_hash
from models.audit import Caller
from models.commands import sign_in
from models.database import borrowed
from models.tables import ApiToken, Session, SignInCode
from tests.edge import make
from tests.edge.conftest import TOKEN, TOKEN_HASH, Api, config

OPEN_PATHS = {
    "GET /healthz",
    "GET /readyz",
    "GET /sign-in",
    "POST /sign-in",
    "GET /problems/<code>",
    "GET /static/<path:filename>",
    "GET /metrics",
    "GET /login",
    "GET /authorize",
    "GET /sign-in/issuer",
    "GET /ipxe/<mac>",
    "POST /api/boot/answer",
    "POST /api/hosts/<host>/installed",
    "GET /api/hosts/<host>/first-boot-script",
    "POST /api/hosts/<host>/phone-home",
}


def routes(app):
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path = re.sub(r"<[^>]*>", "7d0c1a52-c1e8-4f0f-8a4c-0f5b6a1d2e3f", rule.rule)
            yield f"{method} {rule.rule}", method, path


def unauthenticated(app, **headers):
    client = app.test_client()
    return {
        name
        for name, method, path in routes(app)
        if client.open(path, method=method, headers=headers).status_code != 401
    }


@pytest.mark.services
def test_no_route_but_those_that_are_named_answers_without_a_token(app):
    assert unauthenticated(app) == OPEN_PATHS


@pytest.mark.services
def test_a_wrong_token_is_no_token(app):
    assert unauthenticated(app, Authorization="Bearer wrong") == OPEN_PATHS


@pytest.mark.services
def test_without_a_token_in_the_settings_every_route_refuses(database_url):
    app = create_app(config(admin_token_hash=""))

    assert unauthenticated(app) == OPEN_PATHS
    assert unauthenticated(app, Authorization=f"Bearer {TOKEN}") == OPEN_PATHS
    assert unauthenticated(app, Authorization="Bearer ") == OPEN_PATHS


def test_every_open_endpoint_is_there(bare):
    assert OPEN - {rule.endpoint for rule in bare.url_map.iter_rules()} == set()


@pytest.mark.parametrize(
    "credentials",
    [f"bearer {TOKEN}", f"BEARER {TOKEN}", f"Bearer  {TOKEN} "],
)
def test_the_scheme_is_read_as_the_rfc_wants(bare, credentials):
    answer = bare.test_client().get("/v1/openapi.json", headers={"Authorization": credentials})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "credentials",
    ["", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN_HASH}"],
)
def test_anything_else_is_refused_with_a_challenge(bare, credentials):
    answer = bare.test_client().get("/v1/openapi.json", headers={"Authorization": credentials})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_metrics_are_for_loopback_and_not_for_who_comes_through_a_proxy(bare, header):
    client = bare.test_client()
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}

    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", headers={header: "192.0.2.7"}).status_code == 401
    assert client.get("/metrics", environ_overrides=elsewhere).status_code == 401


# --- browsers ---


@pytest.fixture
def code(api):
    url = api.post("/v1/sign-in-codes").json["url"]
    return url.partition("code=")[2]


@pytest.fixture
def browser(client, code):
    answer = client.post("/sign-in", data={"code": code})
    assert answer.status_code == 303, answer.text
    return client


def csrf(browser):
    with browser.session_transaction() as session:
        return session["csrf"]


@pytest.mark.services
def test_a_browser_is_let_in_by_its_code(browser):
    assert browser.get("/v1/sites").status_code == 200


@pytest.mark.services
def test_a_code_signs_in_as_whoever_asked_for_it_and_makes_nobody_a_second_person(api, app, client):
    body = {"name": "nightly", "role": "admin", "days": 1}
    token = api.made("/v1/api-tokens", body)["token"]
    program = {"Authorization": f"Bearer {token}"}
    url = app.test_client().post("/v1/sign-in-codes", headers=program).json["url"]

    client.post("/sign-in", data={"code": url.partition("code=")[2]})

    came = client.get("/sign-in/who").json
    newest = api.get("/v1/audit?action=session.create").json["items"][0]
    assert came["name"] == newest["actor"] == "token:nightly"
    with client.session_transaction() as session:
        assert session["owner"] == "admin"


@pytest.mark.services
def test_looking_at_a_code_does_not_use_it_up(client, code):
    page = client.get(f"/sign-in?code={code}")

    assert page.status_code == 200
    assert "Set-Cookie" not in page.headers
    assert client.post("/sign-in", data={"code": code}).status_code == 303


@pytest.mark.services
def test_a_code_is_good_once(app, browser, code):
    again = app.test_client().post("/sign-in", data={"code": code})

    assert again.status_code == 404
    assert "Set-Cookie" not in again.headers


@pytest.mark.services
@pytest.mark.parametrize("given", ["", "x", "' OR 1=1 --"])
def test_another_code_is_refused(client, given):
    assert client.post("/sign-in", data={"code": given}).status_code == 404


@pytest.mark.services
def test_a_code_expires(client):
    with borrowed():
        past = datetime.now(UTC) - timedelta(seconds=1)
        sign_in.issue(Caller(name="ada"), code_hash("old"), expires_at=past)

    assert client.post("/sign-in", data={"code": "old"}).status_code == 404


@pytest.mark.services
def test_the_code_itself_is_kept_nowhere(api, code):
    assert code not in api.get("/v1/audit").text


@pytest.mark.services
def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(client, code):
    cookie = client.post("/sign-in", data={"code": code}).headers["Set-Cookie"]

    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.services
def test_the_cookie_stays_on_https_where_the_edge_is_reached_so(database_url):
    app = create_app(config(public_url="https://localhost"))
    url = Api(app).post("/v1/sign-in-codes").json["url"]

    answer = app.test_client().post("/sign-in", data={"code": url.partition("code=")[2]})

    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


@pytest.mark.services
@pytest.mark.parametrize("headers", [{}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": ""}])
def test_a_session_changes_nothing_without_its_csrf_token(api, browser, headers):
    answer = browser.post("/v1/sites", json=make.site(), headers=headers)

    assert (answer.status_code, answer.json["type"]) == (403, "/problems/csrf")
    assert api.get("/v1/sites").json["items"] == []
    assert api.audit()[0]["outcome"] == "refused"


@pytest.mark.services
def test_a_session_changes_things_with_its_csrf_token(browser):
    headers = {"X-CSRF-Token": csrf(browser)}

    assert browser.post("/v1/sites", json=make.site(), headers=headers).status_code == 201


@pytest.mark.services
def test_a_new_token_ends_all_sessions(browser, database_url):
    cookie = browser.get_cookie("sprout_session").value
    other = create_app(config(admin_token_hash="0" * 64)).test_client()
    other.set_cookie("sprout_session", cookie)

    assert other.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_signing_out_ends_the_session_of_this_browser(browser):
    assert browser.post("/sign-out", data={"csrf_token": csrf(browser)}).status_code == 303

    assert browser.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_without_a_session_key_no_browser_is_let_in(database_url):
    app = create_app(config(session_key=""))
    url = Api(app).post("/v1/sign-in-codes").json["url"]

    answer = app.test_client().post("/sign-in", data={"code": url.partition("code=")[2]})

    assert (answer.status_code, answer.json["type"]) == (409, "/problems/not-ready")


@pytest.mark.services
def test_a_call_by_nobody_is_audited(api, client):
    client.post("/v1/sites", json=make.site(), headers={"X-Request-Id": "stranger"})

    row = api.audit()[0]
    assert (row["actor"], row["action"]) == ("anonymous", "site.create")
    assert (row["outcome"], row["data"]["code"]) == ("refused", "unauthenticated")
    assert (row["requestId"], row["sourceIp"]) == ("stranger", "127.0.0.1")


# --- nobody stays longer than what he came by ---


def signed_in_by(app, token):
    """Return a browser that a code of *token*'s let in."""
    url = Api(app, token).post("/v1/sign-in-codes").json["url"]
    browser, code = app.test_client(), url.partition("code=")[2]
    assert browser.post("/sign-in", data={"code": code}).status_code == 303
    return browser


@pytest.fixture
def token(api):
    return api.made("/v1/api-tokens", {"name": "ci", "role": "admin", "days": 1})["token"]


def expiring(**delta):
    ApiToken.update(expires_at=datetime.now(UTC) + timedelta(**delta)).execute()


@pytest.mark.services
def test_a_session_of_a_token_ends_when_the_token_does(app, db, token):
    expiring(minutes=10)
    browser = signed_in_by(app, token)
    assert browser.get("/v1/sites").status_code == 200
    (row,) = Session.select()

    Session.update(data={**row.data, "until": time.time() - 1}).execute()

    assert row.data["until"] == ApiToken.get().expires_at.timestamp()
    assert browser.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_a_code_is_worth_nothing_once_its_token_has_expired(app, db, token):
    url = Api(app, token).post("/v1/sign-in-codes").json["url"]
    SignInCode.update(until=datetime.now(UTC) - timedelta(seconds=1)).execute()

    answer = app.test_client().post("/sign-in", data={"code": url.partition("code=")[2]})

    assert answer.status_code == 404


@pytest.mark.services
def test_a_code_that_a_session_asks_for_makes_it_no_longer(app, db, token):
    expiring(hours=1)
    first = signed_in_by(app, token)
    (row,) = Session.select()
    headers = {"X-CSRF-Token": row.data["csrf"]}

    first.post("/v1/sign-in-codes", headers=headers)

    codes = SignInCode.select().where(SignInCode.used_at.is_null())
    assert [each.until.timestamp() for each in codes] == [row.data["until"]]
