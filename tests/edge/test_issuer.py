"""Tokens and people of a real, certified OpenID provider; and all that is forged beside it."""

import base64
import json
import time
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from playwright.sync_api import expect

from edge.app import create_app
from edge.doors import Client
from models import roles
from models.database import borrowed
from models.roles import Grant, Role
from models.tables import Audit, Session
from tests.edge import make
from tests.edge.conftest import Api, config, serving, variables
from tests.services import oidc_provider, process

PEOPLE = {
    "ada": ["sprout:admin", "staff"],
    "eve": ["sprout-site:ams-1:viewer"],
    "bob": ["sprout-site:ams-1:operator", "sprout-site:gone-1:admin"],
    "nobody": [],
}


# --- groups ---


GROUPS = {
    "for all sites": (["sprout:viewer"], {Grant(Role.VIEWER)}),
    "for one site": (["sprout-site:ams-1:operator"], {Grant(Role.OPERATOR, "ams-1")}),
    "with a path": (["/sprout:admin"], {Grant(Role.ADMIN)}),
    "several": (
        ["sprout:viewer", "sprout-site:a:admin"],
        {Grant(Role.VIEWER), Grant(Role.ADMIN, "a")},
    ),
    "another's": (["admin", "sprout", "sprout:", "sprout:root", "xsprout:admin"], set()),
    "nearly": (["sprout:admin ", "sprout:admin\n", "Sprout:Admin", "//sprout:admin"], set()),
    "no site": (["sprout-site::admin", "sprout-site:admin", "sprout-site:a:b:admin"], set()),
    "no text": ([1, None, {"a": 1}, ["sprout:admin"]], set()),
    "no list": ("sprout:admin", set()),
    "nothing": (None, set()),
}


@pytest.mark.parametrize(("groups", "grants"), GROUPS.values(), ids=GROUPS)
def test_groups_stand_for_grants_and_nothing_else_does(groups, grants):
    assert set(roles.of_groups(groups)) == grants


# --- tokens ---


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    folder = tmp_path_factory.mktemp("issuer")
    (port,) = process.free_ports(1)
    callback = f"http://127.0.0.1:{port}/authorize"
    with oidc_provider.running(folder, people=PEOPLE, callback=callback) as started:
        started.edge_port = port
        yield started


def client_of(issuer, **more):
    fields = {"client_id": "sprout-api", "secret": oidc_provider.SECRET, "audience": "sprout-api"}
    return Client(issuer=issuer, **fields | more)


@pytest.fixture
def app(provider, database_url):
    return create_app(config(client=client_of(provider.issuer)))


@pytest.fixture
def sites(api):
    return [api.made("/v1/sites", make.site(slug=slug))["id"] for slug in ("ams-1", "far-1")]


def slugs(answer):
    assert answer.status_code == 200, answer.text
    return [each["slug"] for each in answer.json["items"]]


@pytest.mark.services
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_token_of_the_issuer_lets_in_by_its_groups(app, provider, sites, kind):
    callers = {name: Api(app, provider.token(name, kind=kind)) for name in PEOPLE}

    assert slugs(callers["ada"].get("/v1/sites")) == ["ams-1", "far-1"]
    assert slugs(callers["eve"].get("/v1/sites")) == ["ams-1"]
    assert callers["eve"].post("/v1/machines", make.machine(sites[0])).status_code == 403
    assert callers["bob"].post("/v1/machines", make.machine(sites[0])).status_code == 201
    assert callers["nobody"].get("/v1/sites").status_code == 403


@pytest.mark.services
def test_who_came_is_written_down(app, provider, sites, api):
    Api(app, provider.token("bob")).post("/v1/machines", make.machine(sites[0]))

    row = api.audit()[0]
    assert (row["actor"], row["action"]) == ("bob", "machine.create")
    assert row["data"]["subject"].startswith("oidc:")


@pytest.mark.services
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_token_for_another_audience_is_refused(app, provider, kind):
    token = provider.token("ada", kind=kind, audience="payroll")

    assert Api(app, token).get("/v1/sites").status_code == 401


def claims(provider, **more):
    now = int(time.time())
    good = {
        "iss": provider.issuer,
        "aud": "sprout-api",
        "sub": "mallory",
        "iat": now,
        "exp": now + 300,
        "groups": ["sprout:admin"],
    }
    return {name: value for name, value in (good | more).items() if value is not None}


def signed(provider, key=None, header=None, **more):
    """Return a token that is good unless *more* says otherwise."""
    key = key or provider.key
    head = {"alg": "RS256", "kid": provider.key.kid} | (header or {})
    return jwt.encode(head, claims(provider, **more), key, algorithms=[head["alg"]])


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(provider, alg):
    return f"{part({'alg': alg, 'typ': 'JWT'})}.{part(claims(provider))}."


def by_public_key(provider):
    """The known confusion: the published key, taken for a secret of HMAC."""
    pem = provider.key.as_pem(private=False)
    head = part({"alg": "HS256", "kid": provider.key.kid, "typ": "JWT"})
    text = f"{head}.{part(claims(provider))}"
    import hashlib  # noqa: PLC0415 - beside its only use
    import hmac  # noqa: PLC0415

    mac = hmac.digest(pem, text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def tampered(provider):
    head, _, mac = signed(provider, groups=[]).split(".")
    return f"{head}.{part(claims(provider))}.{mac}"


def own_key(provider):
    """A token that brings its own key along."""
    key = RSAKey.generate_key(2048)
    return jwt.encode({"alg": "RS256", "jwk": key.as_dict(private=False)}, claims(provider), key)


NOW = int(time.time())
FORGED = {
    "without a signature": lambda p: unsigned(p, "none"),
    "without a signature, in capitals": lambda p: unsigned(p, "NONE"),
    "HMAC by the public key": by_public_key,
    "HMAC by the client's secret": lambda p: signed(
        p, OctKey.import_key(oidc_provider.SECRET), {"alg": "HS256"}
    ),
    "other claims under its signature": tampered,
    "another's key under its name": lambda p: signed(p, RSAKey.generate_key(2048)),
    "a key of its own": own_key,
    "an unknown key": lambda p: signed(p, RSAKey.generate_key(2048), {"kid": "unknown"}),
    "a key by URL": lambda p: signed(
        p, RSAKey.generate_key(2048), {"jku": "http://127.0.0.1:1/", "kid": "x"}
    ),
    "a critical header": lambda p: signed(p).replace(
        signed(p).split(".")[0], part({"alg": "RS256", "kid": p.key.kid, "crit": ["x"], "x": 1})
    ),
    "another issuer": lambda p: signed(p, iss="https://evil.example"),
    "an issuer with a slash": lambda p: signed(p, iss=f"{p.issuer}/"),
    "no issuer": lambda p: signed(p, iss=None),
    "another audience": lambda p: signed(p, aud="payroll"),
    "no audience": lambda p: signed(p, aud=None),
    "part of the audience": lambda p: signed(p, aud="sprout-api-x"),
    "expired": lambda p: signed(p, exp=NOW - 600, iat=NOW - 1200),
    "without an end": lambda p: signed(p, exp=None),
    "an end that is no number": lambda p: signed(p, exp="never"),
    "not yet": lambda p: signed(p, nbf=NOW + 600),
    "of the future": lambda p: signed(p, iat=NOW + 600),
    "of nobody": lambda p: signed(p, sub=None),
    "an ID token": lambda p: signed(p, nonce="n"),
    "an ID token as Keycloak writes it": lambda p: signed(p, typ="ID"),
    "no JSON": lambda p: "a.b.c",
    "empty parts": lambda p: "..",
    "encrypted": lambda p: "a.b.c.d.e",
    "huge": lambda p: signed(p, x="y" * 20_000),
    "nested": lambda p: f"{part({'alg': 'RS256'})}.{'W' * 8000}.x",
    "no ASCII": lambda p: "\u00e9.b.c",
}


@pytest.mark.services
def test_a_good_token_made_by_hand_is_good(app, provider):
    assert Api(app, signed(provider)).get("/v1/sites").status_code == 200
    assert Api(app, signed(provider, aud=["x", "sprout-api"])).get("/v1/sites").status_code == 200


@pytest.mark.services
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_forged_token_is_refused(app, provider, forge):
    answer = app.test_client().get(
        "/v1/sites", headers={"Authorization": f"Bearer {forge(provider)}"}
    )

    assert answer.status_code == 401, answer.text
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.services
@pytest.mark.parametrize("name", ["admin", "Admin", "engine", "token:ci", "a\nb", "", 7, "x" * 500])
def test_nobody_passes_for_one_of_us_by_what_he_calls_himself(app, provider, api, name):
    token = signed(provider, preferred_username=name)

    assert Api(app, token).post("/v1/sites", make.site()).status_code == 201
    assert api.audit()[0]["actor"] == "oidc:mallory"


@contextmanager
def counted(monkeypatch):
    """The URLs that the edge asks."""
    asked, before = [], requests.Session.request

    def request(self, method, url, **how):
        asked.append(urlsplit(url).path)
        return before(self, method, url, **how)

    monkeypatch.setattr(requests.Session, "request", request)
    yield asked


@pytest.mark.services
def test_keys_are_asked_for_once_and_once_more_for_an_unknown_one(app, provider, monkeypatch):
    good, unknown = signed(provider), FORGED["an unknown key"](provider)
    with counted(monkeypatch) as asked:
        for token in (good, good, good, unknown, unknown, unknown):
            Api(app, token).get("/v1/sites")

    assert asked == ["/.well-known/openid-configuration", "/jwks"]


@pytest.mark.services
def test_keys_that_were_changed_are_found(provider, database_url):
    app = create_app(config(client=client_of(provider.issuer)))
    issuer = app.extensions["sprout-issuer"]
    at = [0.0]
    issuer._clock = lambda: at[0]
    Api(app, signed(provider)).get("/v1/sites")
    issuer._keys = KeySet([RSAKey.generate_key(2048, {"kid": "old"})])

    assert Api(app, signed(provider)).get("/v1/sites").status_code == 401
    at[0] += 60
    assert Api(app, signed(provider)).get("/v1/sites").status_code == 200


@pytest.mark.services
def test_an_opaque_token_is_not_asked_about_each_time(app, provider, monkeypatch):
    token = provider.token("ada", kind="opaque")
    with counted(monkeypatch) as asked:
        for _ in range(3):
            assert Api(app, token).get("/v1/sites").status_code == 200
        for _ in range(3):
            assert Api(app, "made-up").get("/v1/sites").status_code == 401

    assert asked.count("/token/introspection") == 2


@pytest.mark.services
def test_while_the_issuer_is_away_tokens_wait_and_the_admin_does_not(database_url):
    (port,) = process.free_ports(1)
    app = create_app(config(client=client_of(f"http://127.0.0.1:{port}")))

    answer = Api(app, "a.b.c").get("/v1/sites")

    assert (answer.status_code, answer.json["type"]) == (503, "/problems/issuer-away")
    assert Api(app).get("/v1/sites").status_code == 200


@pytest.mark.services
def test_an_issuer_that_calls_itself_otherwise_is_not_believed(provider, database_url):
    other = provider.issuer.replace("127.0.0.1", "localhost")
    app = create_app(config(client=client_of(other)))

    assert Api(app, signed(provider, iss=other)).get("/v1/sites").status_code == 503


# --- people ---


@pytest.fixture
def served(provider, database_url, tmp_path):
    settings = variables(database_url, tmp_path) | {
        "SPROUT_BIND": f"127.0.0.1:{provider.edge_port}",
        "SPROUT_API_URL": f"http://127.0.0.1:{provider.edge_port}",
        "SPROUT_OIDC_ISSUER": provider.issuer,
        "SPROUT_OIDC_CLIENT_SECRET": oidc_provider.SECRET,
    }
    with serving(settings, tmp_path) as started:
        yield started


@pytest.fixture
def browser(chromium, served):
    context = chromium.new_context(base_url=served.url)
    yield context.new_page()
    context.close()
    process.stop(served.master)


def log_in(page, name):
    page.get_by_role("link", name="Log in at").click()
    page.locator('input[name="login"]').fill(name)
    page.locator('input[name="password"]').fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


@pytest.mark.services
def test_a_person_logs_in_at_the_issuer_and_is_where_he_wanted_to_be(browser, served):
    browser.goto("/?state=active")
    log_in(browser, "ada")

    expect(browser).to_have_url(f"{served.url}/?state=active")
    with borrowed():
        row = Audit.select().where(Audit.action == "session.create").get()
        kept = [each.data for each in Session.select()]
    assert (row.actor, row.outcome, row.data["subject"]) == ("ada", "done", "oidc:ada")
    assert [each["operator"] for each in kept] == ["ada"]
    assert set(kept[0]) == {"operator", "subject", "owner", "grants", "csrf", "until"}


@pytest.mark.services
def test_a_person_sees_his_site_alone_and_leaves_by_a_form(browser, served):
    made = [
        requests.post(
            f"{served.url}/v1/sites",
            json=make.site(slug=slug),
            headers={"Authorization": "Bearer t-0123456789abcdef"},
            timeout=60,
        )
        for slug in ("ams-1", "far-1")
    ]
    assert [each.status_code for each in made] == [201, 201]
    browser.goto("/")
    log_in(browser, "eve")
    expect(browser).to_have_url(f"{served.url}/")

    seen = browser.request.get("/v1/sites").json()["items"]

    assert [each["slug"] for each in seen] == ["ams-1"]
    assert browser.request.post("/sign-out").status == 403
    assert browser.request.get("/v1/sites").status == 200


@pytest.mark.services
def test_a_command_line_is_let_in_by_the_device_flow(browser, provider, served):
    how = requests.get(f"{served.url}/sign-in/issuer", timeout=60).json()
    found = requests.get(f"{how['issuer']}/.well-known/openid-configuration", timeout=60).json()
    begun = provider.asked(
        urlsplit(found["device_authorization_endpoint"]).path,
        {"client_id": how["clientId"], "scope": f"{how['scopes']} api"},
    )

    browser.goto(begun["verification_uri_complete"])
    browser.get_by_role("button", name="Continue").click()
    browser.locator('input[name="login"]').fill("ada")
    browser.locator('input[name="password"]').fill("any")
    browser.get_by_role("button", name="Sign-in").click()
    browser.get_by_role("button", name="Continue").click()
    expect(browser.get_by_text("Sign-in Success")).to_be_visible()

    sent = {
        "client_id": how["clientId"],
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": begun["device_code"],
    }
    token = provider.asked(urlsplit(found["token_endpoint"]).path, sent)["access_token"]
    assert served.get("/v1/sites", Authorization=f"Bearer {token}").json()["items"] == []


@pytest.mark.services
def test_a_log_in_asks_for_pkce_and_for_nothing_of_the_callers(app):
    client = app.test_client()

    answer = client.get("/login?next=//evil.example&redirect_uri=https://evil.example")

    sent = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert answer.status_code == 302
    assert (sent["response_type"], sent["code_challenge_method"]) == (["code"], ["S256"])
    assert sent["redirect_uri"] == ["http://localhost/authorize"]
    assert {"state", "nonce", "code_challenge"} <= sent.keys()
    with client.session_transaction() as session:
        assert session["next"] == "/"


BACK = {
    "nothing": "",
    "no state": "?code=x",
    "another's state": "?code=x&state=y",
    "an error": "?error=access_denied&error_description=<script>alert(1)</script>&state=y",
    "a header": "?code=x%0d%0aSet-Cookie:a=b&state=y",
}


@pytest.mark.services
@pytest.mark.parametrize("query", BACK.values(), ids=BACK)
def test_who_comes_back_without_having_been_sent_is_refused_and_written_down(app, api, query):
    client = app.test_client()
    client.get("/login")

    answer = client.get(f"/authorize{query}", headers={"Accept": "text/html"})

    assert answer.status_code == 401
    assert "<script>" not in answer.text
    row = api.audit()[0]
    assert (row["action"], row["outcome"]) == ("session.create", "refused")
    assert row["data"]["code"] == "login-failed"
    assert client.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_another_browsers_state_is_worth_nothing(app):
    sent = app.test_client().get("/login").headers["Location"]
    state = parse_qs(urlsplit(sent).query)["state"][0]

    answer = app.test_client().get(f"/authorize?code=x&state={state}")

    assert answer.status_code == 401


@pytest.mark.services
def test_without_an_issuer_there_is_nothing_to_log_in_at(database_url):
    client = create_app(config()).test_client()

    for path in ("/login", "/authorize", "/sign-in/issuer"):
        assert client.get(path).status_code == 404


@pytest.mark.services
def test_a_program_is_told_where_people_log_in(provider, database_url):
    told = replace(client_of(provider.issuer), cli_client_id="sprout-cli")
    client = create_app(config(client=told)).test_client()

    assert client.get("/sign-in/issuer").json == {
        "issuer": provider.issuer,
        "clientId": "sprout-cli",
        "scopes": "openid profile email",
        "audience": "sprout-api",
    }
