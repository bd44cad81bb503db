"""Tokens of programs: shown once, bounded in role, sites and time, ended at any time."""

from datetime import UTC, datetime, timedelta

import pytest

from models.database import database
from models.tables import ApiToken
from tests.edge import make
from tests.edge.conftest import TOKEN, Api

pytestmark = pytest.mark.services


@pytest.fixture
def token(api, site):
    return api.made("/v1/api-tokens", {"name": "ci", "role": "admin", "sites": ["ams-1"]})


@pytest.fixture
def program(app, token):
    return Api(app, token["token"])


def test_a_token_is_shown_once_and_kept_nowhere(api, token):
    secret = token["token"]

    told = [api.get(path).text for path in ("/v1/api-tokens", "/v1/audit")]
    told.append(api.get(f"/v1/api-tokens/{token['id']}").text)

    assert secret.startswith("sprout_")
    assert not any(secret in text for text in told)
    with database.connection_context():
        kept = database.execute_sql("SELECT t::text FROM api_tokens t").fetchall()
    assert len(kept) == 1
    assert secret not in str(kept)


def test_it_lets_a_program_in_for_its_sites(program, site, api):
    api.made("/v1/sites", make.site(slug="far-1"))

    assert [each["slug"] for each in program.get("/v1/sites").json["items"]] == ["ams-1"]
    assert program.post("/v1/networks", make.network(site["id"])).status_code == 201
    assert program.post("/v1/sites", make.site(slug="new-1")).status_code == 403


def test_what_it_does_is_written_down_under_its_name(program, site, token, api):
    program.post("/v1/networks", make.network(site["id"]))

    row = api.audit()[0]
    assert (row["actor"], row["action"]) == ("token:ci", "network.create")
    assert row["data"]["subject"] == f"token:{token['id']}"


def test_its_last_use_is_shown(api, program, token):
    before = api.get(f"/v1/api-tokens/{token['id']}").json["lastUsedAt"]
    program.get("/v1/sites")

    after = api.get(f"/v1/api-tokens/{token['id']}").json["lastUsedAt"]
    assert before is None
    assert after is not None


def test_a_revoked_token_is_refused_at_once_and_stays_in_the_list(api, program, token):
    answer = api.delete(f"/v1/api-tokens/{token['id']}")

    assert (answer.status_code, answer.json["revokedBy"]) == (200, "admin")
    assert program.get("/v1/sites").status_code == 401
    assert [each["id"] for each in api.get("/v1/api-tokens").json["items"]] == [token["id"]]
    assert api.delete(f"/v1/api-tokens/{token['id']}").status_code == 409


def test_an_expired_token_is_refused(program, token):
    long_ago = datetime.now(UTC) - timedelta(days=100)
    past = {"created_at": long_ago, "expires_at": long_ago + timedelta(days=1)}
    with database.connection_context():
        ApiToken.update(past).where(ApiToken.id == token["id"]).execute()

    assert program.get("/v1/sites").status_code == 401


@pytest.mark.parametrize(
    "wrong", ["sprout_", "sprout_x", "sprout_" + "A" * 100_000, "sprout_\u00e9", "sprout_' OR 1=1"]
)
def test_what_only_looks_like_a_token_is_refused(client, token, wrong):
    answer = client.get("/v1/sites", headers={"Authorization": f"Bearer {wrong}"})

    assert answer.status_code == 401


def test_its_hash_is_no_token(app, token):
    with database.connection_context():
        kept = ApiToken.get_by_id(token["id"]).hash

    assert Api(app, kept).get("/v1/sites").status_code == 401


def test_a_token_makes_no_tokens(program):
    answer = program.post("/v1/api-tokens", {"name": "x", "role": "viewer", "sites": ["ams-1"]})

    assert (answer.status_code, answer.json["type"]) == (403, "/problems/denied")


def test_a_token_of_a_site_reaches_no_token_of_others(api, program):
    api.made("/v1/sites", make.site(slug="far-1"))
    more = [{"sites": ["far-1"]}, {"sites": ["ams-1", "far-1"]}, {}]
    others = [api.made("/v1/api-tokens", {"name": "o", "role": "viewer"} | m) for m in more]

    for other in others:
        assert program.get(f"/v1/api-tokens/{other['id']}").status_code == 404
        assert program.delete(f"/v1/api-tokens/{other['id']}").status_code == 404
    assert [each["name"] for each in program.get("/v1/api-tokens").json["items"]] == ["ci"]


WRONG = {
    "no such site": ({"sites": ["nowhere"]}, "/sites/0"),
    "no sites at all": ({"sites": []}, "/sites"),
    "another role": ({"role": "root"}, "/role"),
    "for too long": ({"days": 367}, "/days"),
    "for no time": ({"days": 0}, "/days"),
    "a name of control characters": ({"name": "a\nb"}, "/name"),
}


@pytest.mark.parametrize(("body", "pointer"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_told_by_its_pointer(api, site, body, pointer):
    answer = api.post("/v1/api-tokens", {"name": "x", "role": "viewer"} | body)

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == pointer


def test_pages_of_the_list_join(api, site):
    made = [api.made("/v1/api-tokens", {"name": f"t{n}", "role": "viewer"})["id"] for n in range(3)]

    first = api.get("/v1/api-tokens?limit=2").json
    second = api.get(f"/v1/api-tokens?limit=2&cursor={first['next']}").json

    shown = [each["id"] for each in first["items"] + second["items"]]
    assert (shown, second["next"]) == (made[::-1], None)


def test_the_admins_token_is_none_of_them(api):
    assert api.get("/v1/api-tokens").json["items"] == []
    assert TOKEN not in api.get("/v1/audit").text


def test_tokens_are_found_by_name_and_by_whether_they_are_good(api, token):
    other = api.made("/v1/api-tokens", {"name": "gone 100%", "role": "viewer"})
    api.delete(f"/v1/api-tokens/{other['id']}")

    def found(query):
        return [each["id"] for each in api.get(f"/v1/api-tokens?{query}").json["items"]]

    assert found("live=true") == [token["id"]]
    assert found("live=false") == found("search=100%25") == [other["id"]]
    assert found("search=nobody") == []
